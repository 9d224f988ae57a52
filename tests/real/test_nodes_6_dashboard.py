"""The dashboard as the chart deploys it, and the controller's metrics, on a hub with a real node that enforces NetworkPolicies.

Both are asked from a Pod's network over their Services, with tokens of ServiceAccounts. It runs before the how-to, which removes panal in
its last step.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import yaml

from certificates import authority
from cluster import PROJECT
from containers import Containers
from on_nodes import Network, bystander, pod_on
from panal.kube import kinds
from runs import Run, apply
from waiting import eventually

pytestmark = [pytest.mark.real, pytest.mark.nodes]

SYSTEM, OURS, THEIRS, MONITORING = "panal-system", "runs", "dash-theirs", "dash-monitoring"
FL = "federatedlearnings.federation-ai.open-cluster-management.io"
VALUES = (
    "dashboard.enabled=true",
    "dashboard.tlsSecret=panal-dashboard-tls",
    "metrics.networkPolicy.enabled=true",
    f"metrics.networkPolicy.from[0].namespaceSelector.matchLabels.kubernetes\\.io/metadata\\.name={MONITORING}",
)
# A request of a Pod's network: the status and the text, or the error.
ASK = """
import http.client, json, ssl, sys
host, port, path, token = sys.argv[1:]
context = ssl.create_default_context()
context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
connection = http.client.HTTPSConnection(host, int(port), timeout=5, context=context)
headers = {"Authorization": f"Bearer {token}"} if token else {}
try:
    connection.request("GET", path, headers=headers)
    answer = connection.getresponse()
    print(json.dumps([answer.status, answer.read().decode()]))
except OSError as error:
    print(json.dumps([0, str(error)]))
"""


@dataclass(frozen=True)
class Site:
    """`inside`: the network of a Pod in the namespace that may scrape; `outside`: of one beside it in another."""

    engine: Containers
    inside: Network
    outside: Network

    def address(self, service: str) -> tuple[str, int]:
        found = self.engine.hub.get(kinds.SERVICE, SYSTEM, service)
        assert found
        return found["spec"]["clusterIP"], found["spec"]["ports"][0]["port"]

    def ask(self, service: str, path: str, account: str = "", *, network: Network | None = None) -> tuple[int, str]:
        host, port = self.address(service)
        token = self.engine.fleet.hub.kubectl("-n", OURS, "create", "token", account).strip() if account else ""
        status, text = json.loads((network or self.inside).run("-c", ASK, host, str(port), path, token))
        return status, text


def rendered() -> list[dict[str, Any]]:
    """The dashboard, and the policy of the metrics: what the chart has beside the manifest."""
    settings = [word for value in VALUES for word in ("--set", value)]
    command = [f"{os.environ['KUBEBUILDER_ASSETS']}/helm", "template", "panal", str(PROJECT / "charts/panal"), "-n", SYSTEM, *settings]
    done = subprocess.run([*command, "--kube-version", "1.30.0"], capture_output=True, text=True, check=True)
    objects = [found for found in yaml.safe_load_all(done.stdout) if found]
    return [o for o in objects if o["metadata"]["name"] == "panal-dashboard" or o["kind"] == "NetworkPolicy"]


@pytest.fixture(scope="module")
def runs_of_both(engine: Containers) -> Iterator[list[Run]]:
    """A run in each of two namespaces that wait for clusters which there are not."""
    engine.fleet.hub.namespaces(THEIRS, MONITORING)
    made = [apply(engine, namespace, f"of-{namespace}", clusters=["nowhere"]) for namespace in (OURS, THEIRS)]
    yield made
    for run in made:
        run.delete()
    engine.fleet.hub.kubectl("delete", "namespace", THEIRS, MONITORING, "--wait=false")


@pytest.fixture(scope="module")
def site(engine: Containers, runs_of_both: list[Run]) -> Iterator[Site]:
    hub = engine.fleet.hub
    pair = authority().server("panal-dashboard.panal-system.svc")
    tls = {"tls.crt": pair.certificate.decode(), "tls.key": pair.key.decode()}
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "panal-dashboard-tls", "namespace": SYSTEM}}
    hub.apply({**secret, "type": "kubernetes.io/tls", "stringData": tls})
    objects = rendered()
    hub.apply(*objects)
    for account in ("viewer", "prometheus"):
        hub.kubectl("-n", OURS, "create", "serviceaccount", account)
    hub.kubectl("-n", OURS, "create", "role", "viewer", "--verb=get,list,watch", f"--resource={FL},configmaps,events,pods")
    hub.kubectl("-n", OURS, "create", "rolebinding", "viewer", "--role=viewer", f"--serviceaccount={OURS}:viewer")
    reader = f"--serviceaccount={OURS}:prometheus"
    hub.kubectl("create", "clusterrolebinding", "dash-prometheus", "--clusterrole=panal-metrics-reader", reader)
    try:
        hub.kubectl("-n", SYSTEM, "rollout", "status", "deployment/panal-dashboard", "--timeout=120s")
        with pod_on(engine.hub, bystander("scraper", MONITORING)), pod_on(engine.hub, bystander("beside", OURS)):
            yield Site(engine, *(Network.of_pod(engine.fleet, "hub", pod) for pod in ("scraper", "beside")))
    finally:
        print(hub.kubectl("-n", SYSTEM, "logs", "deployment/panal-dashboard", "--tail=40", check=False))
        hub.kubectl("delete", "-f", "-", stdin=yaml.safe_dump_all(objects))
        hub.kubectl("-n", SYSTEM, "delete", "secret", "panal-dashboard-tls")
        hub.kubectl("-n", OURS, "delete", "serviceaccount/viewer", "serviceaccount/prometheus", "role/viewer", "rolebinding/viewer")
        hub.kubectl("delete", "clusterrolebinding", "dash-prometheus")


def test_a_viewer_sees_the_runs_that_he_may_list(site: Site) -> None:
    status, page = site.ask("panal-dashboard", "/runs", "viewer")
    assert (status, f"of-{OURS}" in page, f"of-{THEIRS}" in page) == (200, True, False)
    assert site.ask("panal-dashboard", f"/runs/{OURS}/of-{OURS}", "viewer")[0] == 200
    assert site.ask("panal-dashboard", f"/runs/{THEIRS}/of-{THEIRS}", "viewer")[0] == 403
    status, page = site.ask("panal-dashboard", "/runs", "prometheus")
    assert (status, f"of-{OURS}" in page, f"of-{THEIRS}" in page) == (200, False, False)


def test_whoever_has_no_token_is_sent_to_sign_in(site: Site) -> None:
    assert site.ask("panal-dashboard", "/runs") == (303, "")
    assert site.ask("panal-dashboard", f"/runs/{OURS}/of-{OURS}") == (303, "")
    assert site.ask("panal-dashboard", "/sign-in")[0] == 200


def test_the_metrics_are_for_those_who_may_read_them(site: Site) -> None:
    eventually(lambda: site.ask("panal-metrics", "/metrics", "prometheus")[0] == 200, "the binding counts", 40)
    assert "panal_leader 1.0" in site.ask("panal-metrics", "/metrics", "prometheus")[1]
    assert site.ask("panal-metrics", "/metrics", "viewer")[0] == 403
    assert site.ask("panal-metrics", "/metrics")[0] == 401


def test_the_policy_lets_the_scraper_through_and_nobody_else(site: Site) -> None:
    eventually(lambda: not site.outside.connects(*site.address("panal-metrics"), 1), "the policy is at work", 40)
    assert site.inside.connects(*site.address("panal-metrics"))
    assert site.outside.connects(*site.address("panal-dashboard"))
    (pod,) = (each for each in site.engine.hub.list(kinds.POD, SYSTEM) if each["metadata"]["name"].startswith("panal-controller"))
    assert not site.inside.connects(pod["status"]["podIP"], 8080, 1)
    assert Network.of_machine(site.engine.fleet, "hub").get(f"{pod['status']['podIP']}:8080", "/readyz") == {"/readyz": 200}
