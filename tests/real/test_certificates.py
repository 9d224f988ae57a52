"""Which clusters take part, on real Open Cluster Management, with the manifest, deploy/all-clusters.yaml and `panal certs`.

The controller has the permissions of its ServiceAccount. The audit log shows which permissions it lacked and which it did not use.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from api import Api, api
from fleet import Fleet
from panal.addon.config import GROUP, RESOURCE
from panal.addon.manifests import WORK
from panal.api import names
from panal.client.problem import Code
from panal.kube import kinds
from panal.kube.objects import Object, condition, labels_of
from processes import free_port
from requests_of_certificates import request
from rights import MANIFEST, allowed, creates, entries, granted, of_controller, right_of
from waiting import eventually

pytestmark = pytest.mark.real

SYSTEM, SITE_NS = names.SYSTEM_NAMESPACE, names.COLLABORATOR_NAMESPACE
ALL_CLUSTERS = MANIFEST.with_name("all-clusters.yaml")
CONTROLLER = "panal-controller"
CONFIG = {"group": GROUP, "resource": RESOURCE}
SOON = 90


@dataclass(frozen=True)
class Hub:
    fleet: Fleet
    api: Api

    def panal(self, *arguments: str, code: int = 0) -> str:
        """Runs `panal certs`. Returns its stdout."""
        program = Path(sys.executable).with_name("panal")
        env = os.environ | {"KUBECONFIG": str(self.fleet.hub.kubeconfig)}
        done = subprocess.run([program, "certs", *arguments], env=env, capture_output=True, text=True, check=False)
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout

    def shown(self, cluster: str) -> dict[str, Any]:
        return next(c for c in json.loads(self.panal("-o", "json"))["clusters"] if c["cluster"] == cluster)

    def addon(self, cluster: str) -> Object:
        return self.api.get(kinds.MANAGED_CLUSTER_ADDON, cluster, names.ADDON) or {"metadata": {}}

    def until(self, cluster: str, type_: str, reason: str) -> None:
        state = lambda: f"{cluster}: {type_} {reason}: {self.state(cluster)}"  # noqa: E731
        eventually(lambda: condition(self.addon(cluster), type_).get("reason") == reason, state, SOON)

    def state(self, cluster: str) -> str:
        """The add-on of a cluster, its work and the certificate requests, with the end of its agent's log."""
        requests = self.fleet.hub.kubectl("get", "csr", "-o", "wide")
        work = self.fleet.hub.kubectl("-n", cluster, "get", "manifestwork", "-o", "yaml")
        agent = (self.fleet[cluster].processes.logs / "ocm-registration.agent.log").read_text()[-3000:]
        return f"{json.dumps(self.addon(cluster), indent=1)}\n{requests}\n{work}\n{agent}"

    def send(self, name: str, csr: Object, labels: dict[str, str]) -> None:
        """Sends a certificate request as the user and the groups in its spec, which the API server sets."""
        body = {key: csr[key] for key in ("apiVersion", "kind", "spec")} | {"metadata": {"name": name, "labels": labels}}
        groups = [f"--as-group={group}" for group in csr["spec"]["groups"]]
        self.fleet.hub.kubectl("create", f"--as={csr['spec']['username']}", *groups, "-f", "-", stdin=json.dumps(body))

    def csr(self, name: str) -> Object:
        return self.api.get(kinds.CERTIFICATE_SIGNING_REQUEST, "", name) or {"metadata": {}}

    def has_key(self, cluster: str, wanted: bool = True) -> None:
        spoke = api(self.fleet[cluster].kubeconfig)
        eventually(lambda: bool(spoke.get(kinds.SECRET, SITE_NS, names.IDENTITY_SECRET)) is wanted, f"{cluster}: key {wanted}", SOON)

    def configured(self, cluster: str) -> list[str]:
        """The names of the configurations that have been applied on the cluster."""
        references = (self.addon(cluster).get("status") or {}).get("configReferences") or []
        return [r["name"] for r in references if r.get("lastAppliedConfig") == r["desiredConfig"] and r["desiredConfig"]["specHash"]]

    def configure(self, namespace: str, name: str) -> None:
        metadata = {"name": name, "namespace": namespace}
        spec = {"customizedVariables": [{"name": "AGGREGATOR_HOST", "value": "192.0.2.1"}]}
        self.api.apply({"apiVersion": f"{GROUP}/v1alpha1", "kind": "AddOnDeploymentConfig", "metadata": metadata, "spec": spec})


@pytest.fixture(scope="module")
def hub(ocm: Fleet) -> Iterator[Hub]:
    """A hub with panal's manifest, except that the controller is a process instead of a Pod."""
    documents = [d for d in yaml.safe_load_all(MANIFEST.read_text()) if d]
    (deployment,) = (d for d in documents if d["kind"] == "Deployment")
    installed = yaml.safe_dump_all(sorted((d for d in documents if d is not deployment), key=lambda d: d["kind"] != "Namespace"))
    _begin(ocm)
    ocm.hub.kubectl("apply", "-f", "-", stdin=installed)
    env = {e["name"]: e["value"] for e in deployment["spec"]["template"]["spec"]["containers"][0]["env"] if "value" in e}
    env |= {"KUBECONFIG": str(_as_controller(ocm)), "POD_NAMESPACE": SYSTEM, "POD_NAME": "tests"}
    env |= {"PANAL_PORT": str(free_port()), "PANAL_METRICS_PORT": str(free_port())}
    ocm.hub.processes.start(CONTROLLER, [str(Path(sys.executable).with_name("panal-controller"))], env)
    try:
        ocm.hub.kubectl("apply", "--server-side", "--field-manager=panal-placements", "-f", str(ALL_CLUSTERS))
        yield Hub(ocm, api(ocm.hub.kubeconfig))
    finally:
        ocm.hub.processes.end(CONTROLLER)
        print((ocm.hub.processes.logs / f"{CONTROLLER}.log").read_text()[-6000:])
        ocm.hub.kubectl("delete", "-f", "-", "--ignore-not-found", "--timeout=60s", stdin=installed)


def _begin(fleet: Fleet) -> None:
    """Removes authorities, certificates and requests of other tests: an agent sends no request while ten have its labels."""
    fleet.hub.kubectl("delete", "clustermanagementaddon", names.ADDON, "--ignore-not-found")
    fleet.hub.kubectl("delete", "namespace", SYSTEM, "--ignore-not-found", "--timeout=60s")
    fleet.hub.kubectl("delete", "csr", "-l", f"{names.ADDON_LABEL}={names.ADDON}")
    for spoke in fleet.spokes:
        server = api(spoke.kubeconfig)
        eventually(lambda server=server: not server.get(kinds.SECRET, SITE_NS, names.IDENTITY_SECRET), f"{spoke.name} has no key", SOON)


def _as_controller(fleet: Fleet) -> Path:
    config = json.loads(fleet.hub.kubeconfig.read_text())
    config["users"][0]["user"] = {"token": fleet.hub.kubectl("-n", SYSTEM, "create", "token", CONTROLLER, "--duration=24h").strip()}
    path = fleet.root / "certificates.kubeconfig"
    path.write_text(json.dumps(config))
    return path


def test_every_cluster_gets_its_certificate(hub: Hub) -> None:
    for cluster in ("cluster1", "cluster2"):
        hub.until(cluster, "Available", "CollaboratorReady")
        hub.until(cluster, "Progressing", "Completed")
        hub.has_key(cluster)
    assert [(c["cluster"], c["available"]) for c in json.loads(hub.panal("-o", "json"))["clusters"]] == [
        ("cluster1", "True"),
        ("cluster2", "True"),
    ]


def test_a_cluster_is_revoked_and_restored(hub: Hub) -> None:
    before = hub.shown("cluster2")["certificates"]
    hub.panal("revoke", "cluster2")
    hub.has_key("cluster2", wanted=False)
    hub.until("cluster2", "Available", "Revoked")
    hub.panal("restore", "cluster2")
    hub.has_key("cluster2")
    hub.until("cluster2", "Available", "CollaboratorReady")
    now = {c["serial"]: c["revoked"] for c in hub.shown("cluster2")["certificates"]}
    assert all(now[c["serial"]] for c in before)
    assert list(now.values()).count(None) == 1


def test_ten_requests_keep_the_agent_from_sending_another_and_the_status_says_so(hub: Hub) -> None:
    labels = {names.CLUSTER_LABEL: "cluster1", names.ADDON_LABEL: names.ADDON}
    hub.panal("revoke", "cluster1")
    hub.until("cluster1", "Available", "Revoked")
    hub.has_key("cluster1", wanted=False)
    for number in range(10):
        hub.send(f"many-{number}", request("cluster1", labels=labels), labels)
        eventually(lambda n=number: condition(hub.csr(f"many-{n}"), "Denied"), "it is denied", SOON)
    hub.panal("restore", "cluster1")
    hub.until("cluster1", "Available", "TooManyCertificateRequests")
    selector = ",".join(f"{key}={value}" for key, value in labels.items())
    assert selector in condition(hub.addon("cluster1"), "Available")["message"]
    hub.fleet.hub.kubectl("delete", "csr", "-l", selector)
    hub.until("cluster1", "Available", "CollaboratorReady")
    hub.has_key("cluster1")


def test_new_authorities_are_created(hub: Hub) -> None:
    printed = hub.panal("rotate")
    assert printed.count("is created and is distributed to every gateway") == 2
    shown = {(a["authority"], a["role"]) for a in json.loads(hub.panal("-o", "json"))["authorities"]}
    assert shown >= {("servers", "next"), ("servers", "current"), ("collaborators", "next"), ("collaborators", "current")}


def test_an_unknown_cluster_is_not_found(hub: Hub) -> None:
    assert hub.panal("revoke", "nowhere", code=Code.NOT_FOUND) == ""


def test_a_configuration_for_all_and_one_for_a_cluster_are_rolled_out(hub: Hub) -> None:
    hub.configure(SYSTEM, "usual")
    hub.configure("cluster2", "special")
    default = [CONFIG | {"defaultConfig": {"namespace": SYSTEM, "name": "usual"}}]
    hub.api.patch(kinds.CLUSTER_MANAGEMENT_ADDON, "", names.ADDON, spec={"supportedConfigs": default})
    eventually(lambda: hub.configured("cluster1") == hub.configured("cluster2") == ["usual"], "the default is applied", SOON)
    own = [CONFIG | {"namespace": "cluster2", "name": "special"}]
    hub.api.patch(kinds.MANAGED_CLUSTER_ADDON, "cluster2", names.ADDON, spec={"configs": own})
    eventually(lambda: (hub.configured("cluster1"), hub.configured("cluster2")) == (["usual"], ["special"]), "its own is applied", SOON)
    hub.until("cluster2", "Progressing", "Completed")


def test_a_request_with_the_labels_of_another_cluster_is_denied(hub: Hub) -> None:
    labels = {names.CLUSTER_LABEL: "cluster2", names.ADDON_LABEL: names.ADDON}
    hub.send("forged", request("cluster1", labels=labels), labels)
    forged = lambda: hub.csr("forged")  # noqa: E731
    eventually(lambda: condition(forged(), "Denied"), "it is denied", SOON)
    eventually(lambda: names.CLUSTER_LABEL not in labels_of(forged()), "it no longer has the label of cluster2", SOON)
    assert not (forged().get("status") or {}).get("certificate")


def test_clusters_without_a_placement_keep_only_the_namespace(hub: Hub) -> None:
    hub.fleet.hub.kubectl("delete", "-f", str(ALL_CLUSTERS))
    for cluster in ("cluster1", "cluster2"):
        eventually(lambda cluster=cluster: hub.addon(cluster) == {"metadata": {}}, "the add-on is deleted", SOON)
        eventually(lambda cluster=cluster: hub.api.get(kinds.MANIFEST_WORK, cluster, WORK) is None, "its work is deleted", SOON)
        hub.has_key(cluster, wanted=False)
        assert api(hub.fleet[cluster].kubeconfig).get(kinds.NAMESPACE, "", SITE_NS)


def test_the_controller_has_exactly_the_permissions_that_it_uses(hub: Hub) -> None:
    requests = [entry for entry in entries(hub.fleet.root / "hub/log/audit.log") if of_controller(entry)]
    assert {right_of(entry) for entry in requests if not allowed(entry)} == set()
    used = {right_of(entry) for entry in requests} | {right_of(entry)._replace(verb="create") for entry in requests if creates(entry)}
    assert {right for right in granted() - used if right.is_about_certificates} == set()
