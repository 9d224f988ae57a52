"""The site controller's chart and its admission policies on a real API server, and the controller there with the permissions of its
ServiceAccount. An agent of the hub may do everything, as with stock Open Cluster Management; the site's policies are in its way."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from cluster import Cluster
from gated_pods import NAME as RUN
from gated_pods import NAMESPACE as NAMESPACE_OF_RUN
from gated_pods import bare_pod, policy, rule, stateful_set
from panal.addon.manifests import namespace
from panal.api import names
from panal.client.site_ledger import misfits
from panal.evidence.ledger import Head, sealed
from panal.evidence.receipt import RECORD, read
from panal.evidence.sealed import public_pem
from panal.privacy.accountant import epsilon
from panal.site.crd import crd, record_crd
from panal.site.form import SECURITY
from processes import free_port
from waiting import eventually
from worlds import UID as RUN_UID

pytestmark = pytest.mark.real

ROOT = Path(__file__).parents[2]
MANIFEST, NAMESPACE = ROOT / "deploy/site.yaml", ROOT / "deploy/site-namespace.yaml"
CHART = ROOT / "charts/panal-site"
THERE, HERE = names.COLLABORATOR_NAMESPACE, names.SITE_CONTROLLER
AGENT = "system:serviceaccount:open-cluster-management-agent:klusterlet-work-sa"
CONTROLLER = "system:serviceaccount:panal-site:panal-site-controller"
ADMIN = {
    "apiVersion": "rbac.authorization.k8s.io/v1",
    "kind": "ClusterRoleBinding",
    "metadata": {"name": "agent"},
    "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
    "subjects": [{"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": AGENT}],
}
ALLOWS = policy(rule())


def helm(*settings: str) -> str:
    flags = [word for each in settings for word in ("--set", each)]
    command = [
        f"{os.environ['KUBEBUILDER_ASSETS']}/helm",
        "template",
        "panal-site",
        str(CHART),
        "--namespace",
        HERE,
        "--kube-version",
        "1.30.0",
    ]
    done = subprocess.run([*command, *flags], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def site(hub_api: Cluster) -> Iterator[Cluster]:
    hub_api.crds("cluster.*_clusterclaims")
    hub_api.kubectl("apply", "-f", str(NAMESPACE))
    hub_api.kubectl("apply", "--server-side", "-f", str(MANIFEST))
    hub_api.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=60s")
    hub_api.apply(ADMIN, {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": names.ADDON, "namespace": THERE}}, ALLOWS)
    bad = json.dumps(network_policy("ready", [{"to": [{"ipBlock": {"cidr": "0.0.0.0/0"}}]}]))
    eventually(lambda: "panal-site-network" in refused(hub_api, "create", bad), "the policies are effective", 60)
    yield hub_api
    for kind in ("statefulset", "pod"):
        hub_api.kubectl("delete", kind, "--all", "-n", THERE, "--force", "--grace-period=0")
    hub_api.kubectl("delete", "-f", str(MANIFEST), "--ignore-not-found")
    for kind in ("configmap", "secret", "networkpolicy"):
        hub_api.kubectl("delete", kind, HERE, "-n", THERE, "--ignore-not-found")
    hub_api.kubectl("delete", "clusterrolebinding", "agent")


def call(cluster: Cluster, *args: str, stdin: str | None = None, user: str = AGENT) -> subprocess.CompletedProcess[str]:
    command = [
        f"{os.environ['KUBEBUILDER_ASSETS']}/kubectl",
        f"--kubeconfig={cluster.kubeconfig}",
        *([f"--as={user}"] if user else []),
        *args,
    ]
    return subprocess.run(command, input=stdin or "", capture_output=True, text=True, check=False)


def refused(cluster: Cluster, verb: str, document: str, user: str = AGENT) -> str:
    """What the API server says to a request that it refuses; empty if it does not."""
    done = call(cluster, verb, "--dry-run=server", "-f", "-", stdin=document, user=user)
    return done.stderr if done.returncode else ""


def network_policy(name: str, egress: list[Any], **spec: Any) -> dict[str, Any]:
    metadata = {"name": name, "namespace": THERE}
    body = {"podSelector": {}, "policyTypes": ["Egress"], "egress": egress, **spec}
    return {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": metadata, "spec": body}


def to(cidr: str) -> list[Any]:
    return [{"to": [{"ipBlock": {"cidr": cidr}}]}]


HUB = Ed25519PrivateKey.generate()


def run_record(name: str = "study", uid: str = RUN_UID, digest: str = "ab" * 32, **changes: Any) -> dict[str, Any]:
    """As the hub sends it."""
    content = {"kind": RECORD, "namespace": NAMESPACE_OF_RUN, "name": RUN, "uid": uid, "record": digest, "time": "2026-03-01T12:00:00Z"}
    entry, _ = sealed(content, Head(7, "cd" * 32), HUB)
    spec = {**{each: value for each, value in entry.items() if each != "kind"}, "key": public_pem(HUB.public_key()), **changes}
    metadata = {"name": name, "namespace": THERE}
    return {"apiVersion": names.API_VERSION, "kind": names.RECORD_KIND, "metadata": metadata, "spec": spec}


def config_map(name: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": THERE}, "data": {"a": "b"}}


# --- the manifest -------------------------------------------------------------------------------------------------------
@pytest.mark.usefixtures("hub_api")
def test_the_manifest_is_what_the_chart_renders() -> None:
    wanted = [each for each in yaml.safe_load_all(helm("createNamespace=true")) if each]
    found = [each for each in yaml.safe_load_all(MANIFEST.read_text()) if each]
    assert found == wanted, "run `make manifest` and commit deploy/site.yaml"
    assert yaml.safe_load((CHART / "files/crd.yaml").read_text()) == crd(), "run `make manifest`"
    assert yaml.safe_load((CHART / "files/runrecord.yaml").read_text()) == record_crd(), "run `make manifest`"


def test_the_namespace_is_that_of_the_addon() -> None:
    assert yaml.safe_load(NAMESPACE.read_text()) == namespace()


@pytest.mark.parametrize(
    "settings",
    [
        ["owners.groups[0]=owners", "owners.users[0]=kube:admin", "owners.users[1]=ann"],
        ["ledger.existingClaim=mine", "clusterClaim=false", "crd.install=false", "imagePullSecrets[0].name=pull"],
        [
            "ledger.storageClassName=fast",
            "nodeSelector.disk=ssd",
            "tolerations[0].operator=Exists",
            "images.controller=c@sha256:" + "0" * 64,
        ],
    ],
    ids=["owners", "less", "more"],
)
def test_the_api_server_accepts_every_object(site: Cluster, settings: list[str]) -> None:
    text = helm(*settings)
    said = site.kubectl("apply", "--server-side", "--force-conflicts", "--dry-run=server", "-f", "-", stdin=text)
    assert said.count("serverside-applied (server dry run)") == len([each for each in yaml.safe_load_all(text) if each])


def test_the_expressions_have_the_types_of_what_they_read(site: Cluster) -> None:
    found = json.loads(site.kubectl("get", "validatingadmissionpolicy", "-o", "json"))["items"]
    ours = [each for each in found if each["metadata"]["name"].startswith("panal-site-")]
    assert len(ours) == 7
    assert {each["spec"]["failurePolicy"] for each in ours} == {"Fail"}
    assert not [each["metadata"]["name"] for each in ours if each.get("status", {}).get("typeChecking", {}).get("expressionWarnings")]


# --- what an agent of the hub may not do -----------------------------------------------------------------------------------
REFUSED: dict[str, tuple[Any, str]] = {
    "a Pod without the gate": (bare_pod("p", gated=False), "schedulingGates"),
    "a NetworkPolicy for everything": (network_policy("n", to("0.0.0.0/0")), "single addresses"),
    "a NetworkPolicy for much of IPv6": (network_policy("n", to("2001:db8::/32")), "single addresses"),
    "a NetworkPolicy without peers": (network_policy("n", [{}]), "every address"),
    "a NetworkPolicy for other Pods": (network_policy("n", [{"to": [{"podSelector": {}}]}]), "single addresses"),
    "a NetworkPolicy for all namespaces": (network_policy("n", [{"to": [{"namespaceSelector": {}}]}]), "single addresses"),
    "a NetworkPolicy that lets in": (network_policy("n", [], ingress=[{}], policyTypes=["Ingress"]), "nothing reaches"),
    "the ConfigMap of the site controller": (config_map(HERE), "only the site's owner"),
    "the configuration of the site": (config_map(names.SITE), "only the site's owner"),
    "the NetworkPolicy of the site controller": (network_policy(HERE, to("192.0.2.1/32")), "only the site's owner"),
    "a SitePolicy": ({**ALLOWS, "metadata": {"name": "site"}}, "no ServiceAccount"),
}


@pytest.mark.parametrize(("manifest", "word"), REFUSED.values(), ids=REFUSED.keys())
def test_an_agent_of_the_hub_is_refused_and_the_owner_is_not(site: Cluster, manifest: dict[str, Any], word: str) -> None:
    document = json.dumps(manifest)
    verb = "replace" if manifest["kind"] == names.SITE_KIND else "create"
    said = refused(site, verb, document)
    assert "panal-site-" in said, said
    assert word in said, said
    assert not refused(site, verb, document, user="")


ALLOWED: dict[str, Any] = {
    "a Pod with the gate": bare_pod("p"),
    "a NetworkPolicy for one address": network_policy("n", to("192.0.2.1/32")),
    "a NetworkPolicy for one address of IPv6": network_policy("n", to("2001:db8::1/128")),
    "a NetworkPolicy that closes": network_policy("n", [], policyTypes=["Ingress", "Egress"]),
    "a NetworkPolicy for the site controller": network_policy(
        "n", [{"to": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": HERE}}}]}]
    ),
    "another ConfigMap": config_map("study"),
    "the record of a run": run_record(),
}


@pytest.mark.parametrize("manifest", ALLOWED.values(), ids=ALLOWED.keys())
def test_what_a_run_needs_is_allowed(site: Cluster, manifest: dict[str, Any]) -> None:
    assert not refused(site, "create", json.dumps(manifest))


def test_a_network_policy_opens_only_what_the_site_policy_lists(site: Cluster) -> None:
    site.apply(policy(rule(), egress=["192.0.2.1/32"]))
    try:
        other, listed = (json.dumps(network_policy("n", to(f"192.0.2.{last}/32"))) for last in (2, 1))
        eventually(lambda: "is not in spec.egress" in refused(site, "create", other), "the policy is effective", 30)
        assert not refused(site, "create", listed)
        site.kubectl("delete", "sitepolicy", "site")
        eventually(lambda: refused(site, "create", listed), "without a SitePolicy nothing is opened", 30)
    finally:
        site.apply(ALLOWS)


def test_pods_that_controllers_make_are_judged_as_well(site: Cluster) -> None:
    assert not call(site, "create", "-f", "-", stdin=json.dumps(stateful_set("open", gated=False))).returncode
    found = ("get", "events", "-n", THERE, "--field-selector", "involvedObject.name=open", "-o", "jsonpath={.items[*].message}")
    eventually(lambda: "panal-site-gate" in site.kubectl(*found), "its Pod is refused", 60)
    assert not site.kubectl("get", "pods", "-n", THERE, "-o", "name")
    site.kubectl("delete", "statefulset", "open", "-n", THERE)


EPHEMERAL = {"name": "e", "image": "e:1", "securityContext": SECURITY}
PATCHES: dict[str, tuple[str, str, str]] = {
    "the gate": ("", '{"spec": {"schedulingGates": null}}', "removes the gate"),
    "the decision": (
        "status",
        '{"status": {"conditions": [{"type": "fl.panal/site-policy", "status": "True", "reason": "Allowed"}]}}',
        "only the site controller says",
    ),
    "the image": ("", '{"spec": {"containers": [{"name": "supernode", "image": "other:1"}]}}', "images"),
    "the request": ("", '{"metadata": {"annotations": {"fl.panal/request": "{}"}}}', "asks does not change"),
    "a container": ("ephemeralcontainers", json.dumps({"spec": {"ephemeralContainers": [EPHEMERAL]}}), "no container is added"),
}


def test_a_gated_pod_stays_as_it_is(site: Cluster) -> None:
    site.apply(bare_pod("waits"))
    try:
        for what, (subresource, patch, word) in PATCHES.items():
            args = [
                "patch",
                "pod",
                "waits",
                "-n",
                THERE,
                "--dry-run=server",
                "-p",
                patch,
                *([f"--subresource={subresource}"] if subresource else []),
            ]
            said = call(site, *args).stderr
            assert word in said, (what, said)
            assert "panal-site-decision" in said, (what, said)
        said = call(site, "exec", "waits", "-n", THERE, "--", "true").stderr
        assert "panal-site-enter" in said, said
    finally:
        site.kubectl("delete", "pod", "waits", "-n", THERE, "--force", "--grace-period=0")


# --- the controller ----------------------------------------------------------------------------------------------------------
class Running:
    """The site controller as a process, with the token of its ServiceAccount."""

    def __init__(self, site: Cluster, folder: Path) -> None:
        self.ledger = folder / "ledger"
        self.log = folder / "log"
        token = site.kubectl("create", "token", "panal-site-controller", "-n", HERE, "--duration=2h").strip()
        config = json.loads(site.kubeconfig.read_text())
        config["users"][0]["user"] = {"token": token}
        (folder / "kubeconfig").write_text(json.dumps(config))
        self.ports = free_port(), free_port()
        self.env = {
            "KUBECONFIG": str(folder / "kubeconfig"),
            "PANAL_LEDGER_DIR": str(self.ledger),
            "PANAL_SITE_PORT": str(self.ports[0]),
            "PANAL_PORT": str(self.ports[1]),
        }
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self.log.open("ab") as log:
            command = [sys.executable, "-m", "panal.site_controller.main"]
            self.process = subprocess.Popen(command, stdout=log, stderr=log, env={**os.environ, **self.env})

    def kill(self) -> None:
        assert self.process
        self.process.kill()
        self.process.wait(20)

    def entries(self, *args: str) -> list[dict[str, Any]]:
        command = [sys.executable, "-m", "panal.site_controller.ledger", *args]
        done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **self.env}, check=False)
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]

    def kinds(self) -> list[str]:
        return [each["kind"] for each in self.entries()]


@pytest.fixture
def controller(site: Cluster, tmp_path: Path) -> Iterator[Running]:
    running = Running(site, tmp_path)
    running.start()
    yield running
    running.kill()
    site.kubectl("delete", "statefulset,pod", "--all", "-n", THERE, "--force", "--grace-period=0")
    site.kubectl("delete", names.RECORD_PLURAL, "--all", "-n", THERE)
    site.apply(ALLOWS)
    print(running.log.read_text())


def answer(site: Cluster, name: str = "study") -> dict[str, str]:
    found = json.loads(site.kubectl("get", names.RECORD_PLURAL, name, "-n", THERE, "-o", "json", check=False) or "{}")
    return dict(found.get("status") or {})


def record_is_answered(site: Cluster, *records: dict[str, Any]) -> dict[str, str]:
    """As the agent of the hub brings it."""
    for each in records:
        done = call(site, "create", "-f", "-", stdin=json.dumps(each))
        assert not done.returncode, done.stderr
    last = records[-1]["metadata"]["name"]
    return eventually(lambda: answer(site, last), lambda: f"{last} has an answer", 30)


def pod(site: Cluster, name: str = "study-0") -> dict[str, Any]:
    text = site.kubectl("get", "pod", name, "-n", THERE, "-o", "json", check=False)
    return json.loads(text) if text else {}


def decision(site: Cluster, name: str = "study-0") -> tuple[str, str]:
    found = [each for each in pod(site, name).get("status", {}).get("conditions", []) if each["type"] == names.SITE_GATE]
    return (found[0]["status"], found[0]["reason"]) if found else ("", "")


def gates(site: Cluster) -> list[Any]:
    return pod(site)["spec"].get("schedulingGates", [])


def test_the_gate_falls_for_what_is_allowed_and_the_ledger_says_so(site: Cluster, controller: Running) -> None:
    assert not call(site, "create", "-f", "-", stdin=json.dumps(stateful_set("study"))).returncode
    eventually(lambda: decision(site) == ("True", "Allowed") and not gates(site), "the Pod may run", 60)
    *entries, head = controller.entries("--verify")
    assert [each["kind"] for each in entries] == ["started", "policy", "asked", "decided"]
    assert (head["number"], head["hash"]) == (4, entries[-1]["hash"])
    assert (entries[3]["run"], entries[3]["verdict"]) == ("ns/digits", "Allowed")
    published = json.loads(site.kubectl("get", "configmap", HERE, "-n", HERE, "-o", "json"))["data"]["key.pub"]
    assert published == head["key"]


def test_the_site_controller_gets_ready_before_there_is_a_policy(site: Cluster, controller: Running) -> None:
    """And says to what comes meanwhile that there is none."""
    site.kubectl("delete", "sitepolicy", "site")
    for kind in ("configmap", "secret", "networkpolicy"):
        site.kubectl("delete", kind, HERE, "-n", THERE, "--ignore-not-found")
    open_ = json.dumps(network_policy("study", to("192.0.2.1/32")))
    eventually(lambda: refused(site, "create", open_), "without a SitePolicy nothing is opened", 30)
    site.kubectl("-n", THERE, "delete", "networkpolicy", HERE, "--ignore-not-found")
    found = ("get", f"networkpolicy/{HERE}", f"secret/{HERE}", f"configmap/{HERE}", "-n", THERE, "-o", "name")
    eventually(lambda: len(site.kubectl(*found, check=False).split()) == 3, lambda: controller.log.read_text(), 60)
    site.apply(stateful_set("study"))
    eventually(lambda: decision(site) == ("False", "NoSitePolicy"), "it is refused", 60)


def test_suspend_stops_and_resume_lets_go_on(site: Cluster, controller: Running) -> None:
    site.apply(stateful_set("study"))
    eventually(lambda: decision(site)[0] == "True", "the Pod may run", 60)
    before = pod(site)["metadata"]["uid"]
    site.apply(policy(rule(), suspend=True))
    stopped = eventually(lambda: (found := pod(site)) and found["metadata"]["uid"] != before and found, "the Pod is stopped", 5)
    assert stopped["spec"]["schedulingGates"]
    eventually(lambda: decision(site) == ("Unknown", "SiteSuspended"), "the new one waits", 10)
    site.apply(ALLOWS)
    eventually(lambda: decision(site)[0] == "True", "it goes on", 10)
    assert [kind for kind in controller.kinds() if kind in ("stopped", "ended")] == ["stopped", "ended"]


def test_the_ledger_says_which_images_a_pod_runs(site: Cluster, controller: Running) -> None:
    site.apply(stateful_set("study"))
    eventually(lambda: decision(site)[0] == "True" and not gates(site), "the Pod may run", 60)
    ids = {"tools": "panal/tools@sha256:1", "gateway": "panal/gateway@sha256:2", "supernode": "app@sha256:3"}
    state = {"ready": True, "restartCount": 0, "image": "", "state": {"running": {}}}
    said = [{"name": name, "imageID": image, **state} for name, image in ids.items()]
    for count in (1, 3, 3):  # as the kubelet says it, one after the other, and again
        status = {"initContainerStatuses": said[:2], "containerStatuses": said[2:count], "phase": "Running", "podIP": f"192.0.2.{count}"}
        patch = ("--subresource=status", "--type=merge", "-p", json.dumps({"status": status}))
        site.kubectl("patch", "pod", "study-0", "-n", THERE, *patch)
    eventually(lambda: "images" in controller.kinds(), "it is in the ledger", 10)
    site.kubectl("delete", "statefulset", "study", "-n", THERE)
    eventually(lambda: "ended" in controller.kinds(), "the Pod has ended", 60)
    (entry,) = (each for each in controller.entries() if each["kind"] == "images")
    assert (entry["images"], entry["run"]) == (ids, "ns/digits")


def test_refused_then_approved(site: Cluster, controller: Running) -> None:
    site.apply(policy(rule(images=["other:1"])), stateful_set("study"))
    eventually(lambda: decision(site) == ("False", "ImageNotAllowed"), "it is refused", 60)
    assert gates(site)
    site.apply(policy(rule(images=["other:1"]), disclosure="None"))
    eventually(lambda: decision(site) == ("False", "Undisclosed"), "nothing is disclosed", 10)
    site.apply(policy(rule(approval="Required")))
    eventually(lambda: decision(site) == ("Unknown", "ApprovalRequired"), "it waits", 10)
    request = next(each["request"] for each in controller.entries() if each["kind"] == "asked")
    site.apply(policy(rule(approval="Required"), approved=[request]))
    eventually(lambda: decision(site)[0] == "True" and not gates(site), "it goes on", 10)
    site.kubectl("delete", "sitepolicy", "site")
    eventually(lambda: decision(site) == ("False", "NoSitePolicy"), "without a policy nothing runs", 10)


PRIVATE = {"privacy": {"differentialPrivacy": {"clippingNorm": 1, "noiseMultiplier": 2}}, "server": {"rounds": 3}}
BUDGET = {"data": "None", "epsilon": 5}  # of five such updates, not of six


def test_a_run_that_does_not_fit_into_the_privacy_budget_starts_when_another_has_ended(site: Cluster, controller: Running) -> None:
    site.apply(policy(rule(), privacyBudgets=[BUDGET]), stateful_set("study", spec=PRIVATE, uid="first"))
    eventually(lambda: decision(site)[0] == "True" and not gates(site), "the first may run", 60)
    site.apply(stateful_set("second", spec=PRIVATE, uid="second"), stateful_set("open", uid="third"))
    eventually(lambda: decision(site, "second-0") == ("False", "PrivacyBudgetSpent"), "the second is refused", 60)
    eventually(lambda: decision(site, "open-0") == ("False", "PrivacyTooWeak"), "one without noise is refused", 60)
    *pods, known = controller.entries("--here")
    assert known["budgets"][0]["reserved"] == pytest.approx(epsilon(3, 2.0, 1e-5), rel=1e-5)
    verdicts = {each["asked"]["uid"]: (each["verdict"], each["code"]) for each in pods}
    assert verdicts == {"first": ("Allowed", ""), "second": ("Refused", "PrivacyBudgetSpent"), "third": ("Refused", "PrivacyTooWeak")}
    assert str(known["policy"]) == site.kubectl("get", "sitepolicy", "site", "-o", "jsonpath={.metadata.generation}")
    assert controller.entries("--verify")[-1]["budgets"][0] | {"reserved": 0} == {
        "data": "None",
        "delta": 1e-5,
        "limit": 5,
        "spent": 0,
        "reserved": 0,
        "updates": 0,
        "unprotected": 0,
    }
    controller.kill()
    controller.start()
    site.kubectl("delete", "statefulset", "study", "-n", THERE)
    eventually(lambda: decision(site, "second-0")[0] == "True", "the second may run when the first has ended", 60)


def test_wrong_numbers_of_privacy_are_refused_by_the_api_server(site: Cluster) -> None:
    for wrong, word in (({"delta": 0}, "delta: must be larger than 0"), ({"epsilon": 0}, "epsilon"), ({"data": ""}, "data")):
        document = json.dumps(policy(rule(), privacyBudgets=[BUDGET | wrong]))
        assert word in refused(site, "replace", document, user="")
    for noise in (0, 0.0, -1):
        assert "minimumNoiseMultiplier" in refused(site, "replace", json.dumps(policy(rule(minimumNoiseMultiplier=noise))), user="")


def test_a_pod_that_was_never_allowed_is_deleted_and_the_owners_own_is_not(site: Cluster, controller: Running) -> None:
    site.apply(policy(rule(), ownPods=["fill"]))
    eventually(lambda: "policy" in controller.kinds(), "it has begun", 60)
    site.apply(bare_pod("fill", gated=False), bare_pod("stranger", gated=False))
    eventually(lambda: not pod(site, "stranger"), "it is deleted", 10)
    entry = eventually(lambda: next((e for e in controller.entries() if e["kind"] == "stopped"), None), "it is recorded", 10)
    assert entry["pod"] == "stranger"
    assert pod(site, "fill")


def test_killed_it_goes_on_and_writes_nothing_twice(site: Cluster, controller: Running) -> None:
    site.apply(stateful_set("study"))
    eventually(lambda: decision(site)[0] == "True", "the Pod may run", 60)
    controller.kill()
    with (controller.ledger / "ledger.jsonl").open("ab") as file:
        file.write(b'{"half":')
    site.kubectl("delete", "configmap", HERE, "-n", THERE)
    uid = pod(site)["metadata"]["uid"]
    controller.start()
    eventually(lambda: site.kubectl("get", "configmap", HERE, "-n", THERE, check=False), "it makes again what is missing", 60)
    eventually(lambda: controller.kinds()[-2:] == ["cut", "started"], "what was half-written is cut off", 10)
    assert pod(site)["metadata"]["uid"] == uid
    controller.entries("--verify")


def test_with_a_broken_ledger_nothing_runs_until_it_is_moved_away(site: Cluster, controller: Running) -> None:
    site.apply(stateful_set("study"))
    eventually(lambda: decision(site)[0] == "True", "the Pod may run", 60)
    controller.kill()
    file = controller.ledger / "ledger.jsonl"
    file.write_text(file.read_text().replace("ns/digits", "ns/others", 1))
    controller.start()
    eventually(lambda: decision(site) == ("Unknown", "LedgerUnavailable"), "it waits", 60)
    assert "entry 3 was changed" in controller.log.read_text()
    file.rename(file.with_name("kept"))
    eventually(lambda: decision(site)[0] == "True", "it goes on", 30)


# --- the record of a run -----------------------------------------------------------------------------------------------------
def gone(site: Cluster) -> None:
    site.kubectl("delete", "statefulset", "study", "-n", THERE)
    site.kubectl("delete", "pod", "--all", "-n", THERE, "--force", "--grace-period=0")


def test_a_record_is_countersigned_when_the_runs_pods_are_gone(site: Cluster, controller: Running) -> None:
    site.apply(stateful_set("study"))
    eventually(lambda: decision(site)[0] == "True", "the Pod may run", 60)
    assert not call(site, "create", "-f", "-", stdin=json.dumps(run_record())).returncode
    time.sleep(3)
    assert not answer(site), "the ledger may get more about the run"
    gone(site)
    status = eventually(lambda: answer(site), lambda: controller.log.read_text(), 30)
    receipt = read(status["receipt"], status["signature"], status["key"], uid=RUN_UID, record="ab" * 32)
    *entries, head = controller.entries("--verify")
    assert status["key"] == head["key"]
    (entry,) = [each for each in entries if each["kind"] == "record"]
    asked = next(each for each in entries if each["kind"] == "asked")
    assert receipt.content["ledger"] == {"number": entry["number"], "hash": entry["hash"]}
    assert (entry["run"], entry["record"], entry["hub"]["number"]) == ("ns/digits", "ab" * 32, 8)
    assert receipt.content["requests"] == {asked["request"]: 1}
    assert receipt.content["decision"]["verdict"] == "Allowed"
    assert receipt.content["decision"]["policy"]["generation"] >= 1
    assert misfits({"content": receipt.content}, entries) == []
    changed = {**receipt.content, "bytes": 7}
    assert [each.pointer for each in misfits({"content": changed}, entries)] == ["/content/bytes"]

    controller.kill()  # the same answer again, and no second entry
    controller.start()
    site.kubectl("delete", names.RECORD_PLURAL, "study", "-n", THERE)
    again = record_is_answered(site, run_record())
    assert again == status
    assert controller.kinds().count("record") == 1


def test_who_gets_no_receipt(site: Cluster, controller: Running) -> None:
    site.apply(stateful_set("study"))
    eventually(lambda: decision(site)[0] == "True", "the Pod may run", 60)
    gone(site)
    assert record_is_answered(site, run_record("unknown", uid="0" * 8))["refusal"] == "RunNotKnown"
    assert record_is_answered(site, run_record("other", namespace="other"))["refusal"] == "RunNotKnown"
    forged = run_record("forged", record="ef" * 32)
    assert record_is_answered(site, forged) == {"refusal": "RecordNotSigned"}
    assert "record" not in controller.kinds()
    for number in range(4):
        assert record_is_answered(site, run_record(f"r{number}", digest=f"{number}" * 64))["receipt"]
    assert record_is_answered(site, run_record("r4", digest="4" * 64))["refusal"] == "TooManyRecords"
    assert controller.kinds().count("record") == 4
    site.apply(policy(rule(), disclosure="None"))
    site.kubectl("delete", names.RECORD_PLURAL, "--all", "-n", THERE)
    eventually(lambda: controller.kinds()[-1] == "policy", "the policy is in force", 30)
    assert record_is_answered(site, run_record("unknown", uid="0" * 8)) == {"refusal": "Undisclosed"}
    least = json.loads(record_is_answered(site, run_record("r0", digest="0" * 64))["receipt"])
    assert set(least) == {"kind", "version", "uid", "record", "ledger"}


def test_the_record_of_a_run_has_limits_and_stays(site: Cluster, controller: Running) -> None:
    for changes, word in (
        ({"record": "x"}, "spec.record"),
        ({"key": "x" * 300}, "spec.key"),
        ({"uid": "n" * 64}, "spec.uid"),
        ({"signature": "x"}, "spec.signature"),
        ({"number": 0}, "spec.number"),
    ):
        assert word in refused(site, "create", json.dumps(run_record(**changes)))
    record_is_answered(site, run_record(uid="0" * 8))
    args = ("patch", names.RECORD_PLURAL, "study", "-n", THERE, "--type=merge")
    changed = call(site, *args, "-p", json.dumps({"spec": {"record": "00" * 32}})).stderr
    assert "does not change" in changed
    said = call(site, *args, "--subresource=status", "-p", json.dumps({"status": {"refusal": "x"}})).stderr
    assert "panal-site-answer" in said
    site.kubectl("delete", names.RECORD_PLURAL, "study", "-n", THERE)
