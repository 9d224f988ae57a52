"""A hub's administrator tries to get data out of a site whose owner has confined the work agent, with the real agent.

The administrator may create any ManifestWork. Each attempt is one, and what it would have done does not happen.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from api import api
from cluster import Cluster
from containers import Containers
from evidence import ended, entered
from fleet import Fleet
from panal.api import names
from panal.api.names import ClusterName
from panal.hub import works
from panal.kube import kinds
from panal.kube.objects import Object, condition
from panal.lifecycle import countersigning
from panal.site.form import POD_SECURITY, SECURITY
from sites import Site
from waiting import eventually

pytestmark = [pytest.mark.real, pytest.mark.nodes, pytest.mark.long]

SITE = "cluster4"
ROOT = Path(__file__).parents[2]
AGENT_NS, ACCOUNT = "open-cluster-management-agent", "klusterlet-work-sa"
USER = f"system:serviceaccount:{AGENT_NS}:{ACCOUNT}"
PROCESS = "ocm-work.agent"
NS = names.COLLABORATOR_NAMESPACE
SECRET = "the-owners"  # what the administrator wants


@pytest.fixture(scope="module")
def site(engine: Containers, images: Path) -> Iterator[Cluster]:
    """A site with a policy, whose work agent is the real one with the permissions of deploy/confined-work-agent.yaml."""
    cluster = engine.fleet[SITE]
    installed = Site(engine, SITE)
    installed.install(images)
    cluster.apply(named("v1", "Secret", SECRET, stringData={"password": "correct-horse"}))
    cluster.kubectl("apply", "--server-side", "-f", str(ROOT / "deploy/confined-work-agent.yaml"))
    policy = {"rules": [{"name": "nothing", "data": ["pvc://nothing"], "images": ["nothing"]}], "panalImages": ["nothing"]}
    api(cluster.kubeconfig).apply(
        {"apiVersion": names.API_VERSION, "kind": names.SITE_KIND, "metadata": {"name": names.SITE_POLICY}, "spec": policy}
    )
    with confined(engine.fleet, cluster):
        yield cluster
    cluster.kubectl("delete", "--ignore-not-found", "-f", str(ROOT / "deploy/confined-work-agent.yaml"))
    cluster.kubectl("-n", NS, "delete", "secret", SECRET)
    installed.remove()


class confined:  # noqa: N801
    """The agent as its ServiceAccount, instead of as an administrator; afterwards as before."""

    def __init__(self, fleet: Fleet, cluster: Cluster) -> None:
        self.fleet, self.cluster = fleet, cluster
        self.command = cluster.processes.pids / f"{PROCESS}.command"
        self.before = self.command.read_text()

    def __enter__(self) -> None:
        cluster = self.cluster
        cluster.apply(named("v1", "ServiceAccount", ACCOUNT, AGENT_NS))
        token = cluster.kubectl("create", "token", ACCOUNT, "-n", AGENT_NS, "--duration=24h").strip()
        config = json.loads(cluster.kubeconfig.read_text())
        config["users"][0]["user"] = {"token": token}
        own = cluster.dir / "confined.kubeconfig"
        own.write_text(json.dumps(config))
        self.command.write_text(self.before.replace(f"--kubeconfig={cluster.kubeconfig}", f"--kubeconfig={own}"))
        assert str(own) in self.command.read_text()
        self._again()

    def __exit__(self, *_: object) -> None:
        self.command.write_text(self.before)
        self._again()

    def _again(self) -> None:
        self.cluster.processes.end(PROCESS)
        self.cluster.processes.start_again(PROCESS)


def work(engine: Containers, name: str, *manifests: Object, **spec: Any) -> Callable[[], list[Object]]:
    """A ManifestWork for the site; returns what reads the conditions of its manifests."""
    hub = engine.hub
    metadata = {"name": name, "namespace": SITE}
    body = {"workload": {"manifests": list(manifests)}, **spec}
    hub.apply({"apiVersion": kinds.MANIFEST_WORK.api_version, "kind": "ManifestWork", "metadata": metadata, "spec": body})

    def read() -> list[Object]:
        found = hub.get(kinds.MANIFEST_WORK, SITE, name) or {}
        status: list[Object] = ((found.get("status") or {}).get("resourceStatus") or {}).get("manifests") or []
        return status if len(status) == len(manifests) else []

    return read


def named(api_version: str, kind: str, name: str, namespace: str = NS, **content: Any) -> Object:
    metadata = {"name": name, **({"namespace": namespace} if namespace else {})}
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata, **content}


def pod_spec(**more: Any) -> Object:
    """It meets the Pod Security Standard of the namespace."""
    container = {"name": "take", "image": "docker.io/panal/test-app:0.1.0", "command": ["sleep", "600"], "securityContext": SECURITY}
    return {"containers": [container], "securityContext": POD_SECURITY, **more}


def template(labels: dict[str, str], **more: Any) -> Object:
    return {"metadata": {"labels": labels}, "spec": pod_spec(**more)}


def workload(kind: str, name: str, namespace: str = NS, **more: Any) -> Object:
    labels = {"app": name}
    spec: Object = {"selector": {"matchLabels": labels}, "template": template(labels, **more)}
    if kind == "StatefulSet":
        spec |= {"serviceName": name, "replicas": 1}
    return named("apps/v1", kind, name, namespace, spec=spec)


DATA = {"volumes": [{"name": "data", "secret": {"secretName": SECRET}}]}
ADMIN = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"}
AGENT = [{"kind": "ServiceAccount", "name": ACCOUNT, "namespace": AGENT_NS}]
RBAC = "rbac.authorization.k8s.io/v1"
EVERYWHERE = {"podSelector": {}, "policyTypes": ["Egress"], "egress": [{}]}

# What the administrator sends, and what does not exist afterwards.
REFUSED: dict[str, Object] = {
    "a Pod with the data": named("v1", "Pod", "take", spec=pod_spec(**DATA)),
    "a Pod on the node's files": named(
        "v1", "Pod", "node", spec=pod_spec(volumes=[{"name": "node", "hostPath": {"path": "/"}}], hostNetwork=True)
    ),
    "a Deployment with the data": workload("Deployment", "take", **DATA),
    "a DaemonSet in another namespace": workload("DaemonSet", "take", "default", hostPID=True),
    "a CronJob": named(
        "batch/v1", "CronJob", "take", spec={"schedule": "* * * * *", "jobTemplate": {"spec": {"template": {"spec": pod_spec(**DATA)}}}}
    ),
    "all permissions for the agent": named(RBAC, "ClusterRoleBinding", "take", "", roleRef=ADMIN, subjects=AGENT),
    "permissions in the namespace": named(RBAC, "RoleBinding", "take", roleRef=ADMIN, subjects=AGENT),
    "another policy of the site": named(
        names.API_VERSION, names.SITE_KIND, names.SITE_POLICY, "", spec={"rules": [], "panalImages": ["*"]}
    ),
    "an admission policy without its rule": named(
        "admissionregistration.k8s.io/v1",
        "ValidatingAdmissionPolicy",
        "panal-site-gate",
        "",
        spec={"validations": [{"expression": "true"}]},
    ),
    "a webhook that sees every Pod": named(
        "admissionregistration.k8s.io/v1",
        "MutatingWebhookConfiguration",
        "take",
        "",
        webhooks=[
            {
                "name": "take.example.com",
                "clientConfig": {"url": "https://192.0.2.1"},
                "sideEffects": "None",
                "admissionReviewVersions": ["v1"],
            }
        ],
    ),
    "an open network": named("networking.k8s.io/v1", "NetworkPolicy", "open", spec=EVERYWHERE),
    "another site controller": named("v1", "ConfigMap", names.SITE_CONTROLLER, data={"address": "192.0.2.1:8443", "ca.crt": ""}),
    "a Service that leads elsewhere": named("v1", "Service", "take", spec={"type": "ExternalName", "externalName": "example.com"}),
}


def content(site: Cluster, obj: Object) -> Object | None:
    return api(site.kubeconfig).get(kinds.kind_of(obj), obj["metadata"].get("namespace", ""), obj["metadata"]["name"])


@pytest.mark.parametrize("attempt", REFUSED)
def test_the_agent_refuses(engine: Containers, site: Cluster, attempt: str) -> None:
    obj, name = REFUSED[attempt], f"attempt-{list(REFUSED).index(attempt)}"
    before = content(site, obj) if obj["kind"] in (names.SITE_KIND, "ValidatingAdmissionPolicy", "ConfigMap") else None
    read = work(engine, name, obj)
    try:
        (found,) = eventually(read, lambda: f"the agent says something about {attempt}", 60)
        applied = next(each for each in found["conditions"] if each["type"] == "Applied")
        assert applied["status"] == "False", applied
        now = content(site, obj) if before is not None else None
        assert (now or {}).get("spec") == (before or {}).get("spec")
        assert (now or {}).get("data") == (before or {}).get("data")
    finally:
        engine.hub.delete(kinds.MANIFEST_WORK, SITE, name)


def test_a_stateful_set_without_the_gate_gets_no_pod(engine: Containers, site: Cluster) -> None:
    """The agent may create one, as for any collaborator; the Pod is refused."""
    read = work(engine, "ungated", workload("StatefulSet", "ungated", **DATA))
    try:
        eventually(read, lambda: "the agent has applied it", 60)
        events = lambda: site.kubectl("-n", NS, "get", "events", "--field-selector=involvedObject.name=ungated", "-o", "json")  # noqa: E731
        eventually(lambda: "panal-site-gate" in events(), lambda: events(), 60)
        assert not site.kubectl("-n", NS, "get", "pods", "-l", "app=ungated", "-o", "name")
    finally:
        engine.hub.delete(kinds.MANIFEST_WORK, SITE, "ungated")


def test_a_stateful_set_with_the_gate_is_refused_by_the_site_controller(engine: Containers, site: Cluster) -> None:
    gate = {"schedulingGates": [{"name": names.SITE_GATE}]}
    read = work(engine, "gated", workload("StatefulSet", "gated", **DATA, **gate))
    own = api(site.kubeconfig)
    try:
        eventually(read, lambda: "the agent has applied it", 60)
        pod = lambda: own.get(kinds.POD, NS, "gated-0") or {}  # noqa: E731
        found = eventually(lambda: condition(pod(), names.SITE_GATE), lambda: json.dumps(pod()), 90)
        assert (found["status"], found["reason"]) == ("False", "PodNotRecognized")
        assert pod()["spec"]["schedulingGates"] == gate["schedulingGates"]
        assert not (pod().get("status") or {}).get("containerStatuses")
    finally:
        engine.hub.delete(kinds.MANIFEST_WORK, SITE, "gated")


def test_the_record_of_a_run_comes_through_and_something_alike_does_not(engine: Containers, site: Cluster) -> None:
    """The site answers that it does not know the run, and the answer reaches the hub."""
    world = entered(ended(1))
    assert world.evidence
    wanted = countersigning.work(world, world.evidence, ClusterName(SITE))
    del wanted["metadata"]["labels"]  # of a run that is not there, so that the controller would remove the work
    engine.hub.apply(wanted)
    name = wanted["metadata"]["name"]

    def feedback() -> dict[str, Any]:
        found = engine.hub.get(kinds.MANIFEST_WORK, SITE, name) or {}
        return dict(works.view({**found, "status": found.get("status") or {}}).feedback) if found else {}

    try:
        eventually(lambda: feedback().get("refusal") == "RunNotKnown", lambda: str(engine.hub.get(kinds.MANIFEST_WORK, SITE, name)), 90)
    finally:
        engine.hub.delete(kinds.MANIFEST_WORK, SITE, name)
    (record,) = wanted["spec"]["workload"]["manifests"]
    elsewhere = {**record, "metadata": {**record["metadata"], "namespace": "default"}}
    answered = {**record, "metadata": {**record["metadata"], "name": "answered"}, "status": {"refusal": "Mine"}}
    long = {**record, "metadata": {**record["metadata"], "name": "long"}, "spec": {**record["spec"], "key": "x" * 10_000}}
    for number, obj in enumerate((elsewhere, long)):
        read = work(engine, f"alike-{number}", obj)
        try:
            (found,) = eventually(read, lambda: "the agent says something", 60)
            assert next(each for each in found["conditions"] if each["type"] == "Applied")["status"] == "False", found
        finally:
            engine.hub.delete(kinds.MANIFEST_WORK, SITE, f"alike-{number}")
    read = work(engine, "answered", answered)
    own = api(site.kubeconfig)
    try:
        eventually(read, lambda: "the agent has applied it", 60)
        status = eventually(lambda: (own.get(kinds.RUN_RECORD, NS, "answered") or {}).get("status"), lambda: "it has an answer", 60)
        assert status == {"refusal": "RunNotKnown"}, "the answer is the site's"
    finally:
        engine.hub.delete(kinds.MANIFEST_WORK, SITE, "answered")


def test_feedback_reads_no_secret(engine: Containers, site: Cluster) -> None:
    """A ManifestWork can report any field of an object that the agent may read."""
    identifier = {"group": "", "resource": "secrets", "name": SECRET, "namespace": NS}
    path = {"type": "JSONPaths", "jsonPaths": [{"name": "password", "path": ".data.password"}]}
    configs = [{"resourceIdentifier": identifier, "updateStrategy": {"type": "ReadOnly"}, "feedbackRules": [path]}]
    read = work(engine, "feedback", named("v1", "Secret", SECRET), manifestConfigs=configs)
    try:
        (found,) = eventually(read, lambda: "the agent says something", 60)
        assert not (found.get("statusFeedback") or {}).get("values")
        assert "correct-horse" not in json.dumps(found)
    finally:
        engine.hub.delete(kinds.MANIFEST_WORK, SITE, "feedback")


def test_the_agent_writes_nothing_else_whatever_it_is_permitted(site: Cluster) -> None:
    """The second line: with all permissions, as after its operator has bound it again."""
    site.kubectl("create", "clusterrolebinding", "bound-again", "--clusterrole=cluster-admin", f"--serviceaccount={AGENT_NS}:{ACCOUNT}")
    try:
        for refused in (
            ("create", "configmap", "take", "-n", "default"),
            ("delete", "sitepolicy", names.SITE_POLICY),
            ("create", "clusterrolebinding", "take", "--clusterrole=cluster-admin", "--user=take"),
            ("create", "token", ACCOUNT, "-n", AGENT_NS),
            ("-n", NS, "delete", "secret", SECRET),
        ):
            with pytest.raises(RuntimeError, match="ValidatingAdmissionPolicy 'panal-site-"):
                site.kubectl(*refused, f"--as={USER}", "--as-group=system:serviceaccounts")
    finally:
        site.kubectl("delete", "clusterrolebinding", "bound-again")
