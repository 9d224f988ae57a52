"""A real Prometheus watches a real run: on real API servers and real Open Cluster Management, with panal's own nodes.

It scrapes three times: with the token of an account that is bound to `panal-metrics-reader`, with that of another account, and without.
"""

from __future__ import annotations

import ssl
import subprocess
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from kubernetes import Kubernetes
from prometheus import Prometheus, Target, promtool, running
from runs import apply
from waiting import eventually

pytestmark = [pytest.mark.real, pytest.mark.flower]

CLUSTERS = ["cluster1", "cluster2"]
SLOW = {"env": [{"name": "STEPS_SECONDS", "value": "1"}]}
OF_RUN = 'run_namespace="runs", run="watched"'


NAMESPACE = "watching"
JOBS = {"panal": "prometheus", "without-permission": "stranger", "without-token": ""}


@pytest.fixture(scope="module")
def tokens(kubernetes: Kubernetes, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The token of each account, in a file."""
    hub, folder = kubernetes.fleet.hub, tmp_path_factory.mktemp("tokens")
    hub.namespaces(NAMESPACE)
    for account in filter(None, JOBS.values()):
        hub.kubectl("-n", NAMESPACE, "create", "serviceaccount", account)
        (folder / account).write_text(hub.kubectl("-n", NAMESPACE, "create", "token", account).strip())
    reader = f"--serviceaccount={NAMESPACE}:{JOBS['panal']}"
    hub.kubectl("create", "clusterrolebinding", "tests-read-metrics", "--clusterrole=panal-metrics-reader", reader)
    return {account: folder / account for account in filter(None, JOBS.values())}


def get(engine: Kubernetes, token: Path | None) -> tuple[int, str]:
    headers = {"Authorization": f"Bearer {token.read_text()}"} if token else {}
    request = urllib.request.Request(f"https://127.0.0.1:{engine.metrics_port}/metrics", headers=headers)
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        with urllib.request.urlopen(request, timeout=10, context=context) as answer:
            return answer.status, str(answer.read().decode())
    except urllib.error.HTTPError as error:
        return error.code, str(error.read().decode())


def test_the_api_server_decides_who_reads(kubernetes: Kubernetes, tokens: dict[str, Path], tmp_path: Path) -> None:
    eventually(lambda: get(kubernetes, tokens["prometheus"])[0] == 200, "the binding counts", 60)
    code, said = get(kubernetes, None)
    assert (code, "a bearer token" in said) == (401, True)
    (tmp_path / "forged").write_text(tokens["prometheus"].read_text()[:-8] + "AAAAAAAA")
    code, said = get(kubernetes, tmp_path / "forged")
    assert (code, "does not accept the token" in said) == (401, True)
    code, said = get(kubernetes, tokens["stranger"])
    assert (code, "panal-metrics-reader" in said) == (403, True)
    with urllib.request.urlopen(f"http://127.0.0.1:{kubernetes.port}/healthz", timeout=10) as answer:
        assert answer.status == 200
    with pytest.raises(urllib.error.HTTPError, match="404"):
        urllib.request.urlopen(f"http://127.0.0.1:{kubernetes.port}/metrics", timeout=10)


def by_cluster(found: list[dict[str, Any]]) -> dict[str, float]:
    return {each["metric"]["managed_cluster"]: float(each["value"][1]) for each in found}


def test_a_run_is_seen_while_it_goes_on_and_no_alert_fires(kubernetes: Kubernetes, tokens: dict[str, Path], tmp_path: Path) -> None:
    def scrape() -> str:
        return get(kubernetes, tokens["prometheus"])[1]

    def series() -> list[str]:
        return sorted({line.partition("{")[0] for line in scrape().splitlines() if 'run="watched"' in line})

    targets = [Target(kubernetes.metrics_port, job, https=True, token=tokens.get(account)) for job, account in JOBS.items()]
    with running(tmp_path, *targets) as server:
        run = apply(kubernetes, "runs", "watched", clusters=CLUSTERS, server={"rounds": 6}, client=SLOW)
        run.until_round(2)
        with run.kept_going():
            eventually(lambda: answered(server), lambda: f"every query has data, but: {unanswered(server)}", 60)
            text = scrape()
            received = by_cluster(server.query(f"panal_run_cluster_received_bytes_total{{{OF_RUN}}}"))
            certified = by_cluster(server.query("panal_cluster_certificate_expiry_timestamp_seconds - time()"))
        assert sorted(received) == CLUSTERS
        assert min(received.values()) > 1000
        assert set(certified) >= set(CLUSTERS)
        assert min(certified.values()) > 0
        healths = server.targets()
        assert healths["panal"] == ("up", "")
        assert healths["without-permission"] == ("down", "server returned HTTP status 403 Forbidden")
        assert healths["without-token"] == ("down", "server returned HTTP status 401 Unauthorized")
        assert [alert for alert in server.alerts() if alert["state"] == "firing"] == []
        done = subprocess.run([promtool(), "check", "metrics"], input=text, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        run.until_ended("Completed")
        eventually(lambda: series() == ["panal_run_status"], lambda: f"the status is left: {series()}", 60)
        run.delete()
        eventually(lambda: series() == [], "nothing is left of it", 60)


def unanswered(server: Prometheus) -> list[tuple[str, str]]:
    return [query for query, found in server.dashboard().items() if not found]


def answered(server: Prometheus) -> bool:
    return not unanswered(server)
