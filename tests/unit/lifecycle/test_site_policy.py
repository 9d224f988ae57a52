"""A collaborator at a site with a policy: its Pod waits for the site controller, and its state is what that has decided."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from panal.api import names
from panal.api.types import CollaboratorStatus, Phase
from panal.lifecycle.decide import decide
from panal.lifecycle.reasons import REMEDY, Reason
from panal.lifecycle.support import unsupported
from panal.lifecycle.world import World
from panal_local.ocm.feedback import read
from worlds import (
    NOW,
    UID,
    ago,
    applied,
    cluster,
    clusters,
    fresh,
    job,
    manifests,
    pod,
    progress,
    reason_of,
    run,
    running,
    said,
    seen,
    service,
    status_after,
    work,
    works,
)

GATED = "Scheduling is blocked due to non-empty scheduling gates"


def with_policy(number: int, version: str = "1") -> Any:
    view = cluster(number)
    return replace(view, claims={**view.claims, names.SITE_CLAIM: version})


def starting(**changes: Any) -> World:
    """Of three sites, the first has a policy."""
    three = clusters(with_policy(1), cluster(2), cluster(3))
    known = {"exposed": (service(),), "job": job(pod()), "progress": progress(connected=0, started=False), "clusters": three}
    return fresh(**(known | changes))


def template(world: World, of: str = "cluster1") -> dict[str, Any]:
    found: dict[str, Any] = manifests(decide(world, NOW), of)["StatefulSet"]["spec"]["template"]
    return found


def variables(container: dict[str, Any]) -> dict[str, Any]:
    return {each["name"]: each.get("value", each.get("valueFrom")) for each in container["env"]}


def mounted(container: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {each["name"]: each for each in container["volumeMounts"]}


# --- the Pod ----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("version", ["1", "", "anything"])
def test_the_pod_waits_behind_the_gate_with_the_files_of_the_site_controller(version: str) -> None:
    spec = template(starting(clusters=clusters(with_policy(1, version), cluster(2), cluster(3))))["spec"]
    assert spec["schedulingGates"] == [{"name": "fl.panal/site-policy"}]
    tools, gateway = spec["initContainers"]
    assert variables(tools)["PANAL_SITE_POLICY"] == "Required"
    assert variables(gateway)["PANAL_POD_UID"] == {"fieldRef": {"fieldPath": "metadata.uid"}}
    for each in (tools, gateway):
        assert mounted(each)["site"] == {"name": "site", "mountPath": "/panal/site", "readOnly": True}
    (main,) = spec["containers"]
    assert "site" not in mounted(main)
    volume = next(each for each in spec["volumes"] if each["name"] == "site")
    address = {"name": "panal-site", "items": [{"key": "address", "path": "address"}, {"key": "ca.crt", "path": "ca.crt"}]}
    token = {"name": "panal-site", "items": [{"key": "token", "path": "token"}]}
    assert volume["projected"] == {"defaultMode": 0o440, "sources": [{"configMap": address}, {"secret": token}]}


def test_a_site_without_a_policy_gets_the_pod_that_it_always_got() -> None:
    without = starting(clusters=clusters(cluster(1), cluster(2), cluster(3)))
    assert template(starting(), "cluster2") == template(without, "cluster2")
    spec, metadata = template(without)["spec"], template(without)["metadata"]
    assert "schedulingGates" not in spec
    assert "annotations" not in metadata
    assert "site" not in [each["name"] for each in spec["volumes"]]
    more = template(starting())["spec"]
    changed = ("schedulingGates", "volumes", "initContainers")
    assert {key: value for key, value in more.items() if key not in changed} == {k: v for k, v in spec.items() if k not in changed}


def test_the_annotation_says_what_is_set() -> None:
    text = template(starting())["metadata"]["annotations"]["fl.panal/request"]
    known = {"namespace": "ns", "name": "digits", "uid": UID, "framework": "flower", "mode": "Train", "rounds": 3, "minimumClusters": 2}
    assert json.loads(text) == known
    assert text == json.dumps(known, sort_keys=True, separators=(",", ":"))
    asked = run(purpose="Prüfung der Röntgenbilder", requester="mara@example.org")
    found = json.loads(template(starting(run=asked))["metadata"]["annotations"]["fl.panal/request"])
    assert found == known | {"purpose": "Prüfung der Röntgenbilder", "requester": "mara@example.org"}


@pytest.mark.parametrize(("framework", "bodies"), [("flower", "Whole"), ("openfl", None), ("flare", None)])
def test_the_site_controller_sees_the_bodies_of_runtimes_that_declare_their_length(framework: str, bodies: str | None) -> None:
    tools, _ = template(starting(run=run(framework=framework)))["spec"]["initContainers"]
    assert variables(tools).get("PANAL_SITE_BODIES") == bodies


def test_the_collaborator_reaches_the_site_controller_and_only_where_there_is_one() -> None:
    plan = decide(starting(), NOW)
    theirs = {
        "to": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "panal-site"}}}],
        "ports": [{"protocol": "TCP", "port": 8443}],
    }
    assert theirs in manifests(plan)["NetworkPolicy"]["spec"]["egress"]
    assert theirs not in manifests(plan, "cluster2")["NetworkPolicy"]["spec"]["egress"]


def test_an_existing_collaborator_keeps_its_pod_and_its_feedback() -> None:
    """A change of the Pod template would restart its training."""
    before = manifests(decide(starting(clusters=clusters(cluster(1), cluster(2), cluster(3))), NOW))["StatefulSet"]
    wanted = decide(starting(), NOW).works
    assert wanted
    found = wanted.render(next(s for s in wanted.sites if s.cluster == "cluster1"), existing=[before])
    assert before in found["spec"]["workload"]["manifests"]
    assert "siteDecision" not in json.dumps(found["spec"]["manifestConfigs"])


# --- feedback ---------------------------------------------------------------------------------------------------
def feedback(obj: dict[str, Any], of: str = "cluster1") -> dict[str, Any]:
    made = next(w for w in applied(decide(starting(), NOW), "ManifestWork") if w["metadata"]["namespace"] == of)
    (config,) = made["spec"]["manifestConfigs"]
    found, condition = read({"apiVersion": "v1", "kind": "Pod", **obj}, config["feedbackRules"])
    assert condition["status"] == "True"
    return {each["name"]: each["fieldValue"]["string"] for each in found}


def condition(status: str, reason: str) -> dict[str, Any]:
    return {"type": "fl.panal/site-policy", "status": status, "reason": reason, "message": "for the site's owner"}


def test_the_feedback_has_the_decision_and_its_code() -> None:
    gated = {"type": "PodScheduled", "status": "False", "reason": "SchedulingGated", "message": GATED}
    status = {"phase": "Pending", "conditions": [gated, condition("Unknown", "ApprovalRequired")]}
    found = feedback({"spec": {"schedulingGates": [{"name": "other"}, {"name": "fl.panal/site-policy"}]}, "status": status})
    assert found == {
        "phase": "Pending",
        "unschedulable": GATED,
        "siteGate": "fl.panal/site-policy",
        "siteDecision": "Unknown",
        "siteReason": "ApprovalRequired",
    }
    allowed = {"spec": {}, "status": {"phase": "Pending", "conditions": [condition("True", "Allowed")]}}
    assert feedback(allowed) == {"phase": "Pending", "siteDecision": "True", "siteReason": "Allowed"}
    assert feedback(allowed, "cluster2") == {"phase": "Pending"}


# --- the state --------------------------------------------------------------------------------------------------
def decision(status: str, code: str, **more: Any) -> dict[str, Any]:
    return {"phase": "Pending", "ready": False, "siteDecision": status, "siteReason": code} | more


def of_cluster3(world: World) -> CollaboratorStatus:
    return next(c for c in status_after(world).collaborators if c.cluster == "cluster3")


GATE = {"siteGate": "fl.panal/site-policy", "unschedulable": GATED}
REFUSED = "cluster3: the site refuses the run"
WAITS = "cluster3: the site has not allowed the run yet"
FAILED_BEFORE = {"cluster3": seen(round=2, failed=True, reason="ValueError", time=ago(5).timestamp())}


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        (decision("False", "ImageNotAllowed", **GATE), ("Failed", "SiteRefused", f"{REFUSED} (ImageNotAllowed).")),
        (decision("False", "Refused", **GATE), ("Failed", "SiteRefused", f"{REFUSED} (Refused).")),
        # What is no code is not shown: it might be any text.
        (decision("False", "no, and here is why: \x1b[2J", **GATE), ("Failed", "SiteRefused", f"{REFUSED}.")),
        (decision("False", "A" * 42, **GATE), ("Failed", "SiteRefused", f"{REFUSED}.")),
        # Its Pod still runs, or is ending.
        (decision("False", "SiteSuspended", phase="Running", ready=True), ("Failed", "SiteRefused", f"{REFUSED} (SiteSuspended).")),
        (
            decision("False", "RoundsExhausted", phase="Running", restarts=1, waiting="CrashLoopBackOff", lastExitCode=1),
            ("Failed", "SiteRefused", f"{REFUSED} (RoundsExhausted)."),
        ),
        (decision("Unknown", "ApprovalRequired", **GATE), ("Pending", "SiteDecisionPending", f"{WAITS} (ApprovalRequired).")),
        (decision("Unknown", "no code", **GATE), ("Pending", "SiteDecisionPending", f"{WAITS}.")),
        ({"phase": "Pending", "ready": False, **GATE}, ("Pending", "SiteDecisionPending", f"{WAITS}.")),
        (decision("True", "Allowed", **GATE), ("Pending", "", "")),  # the gate is about to be removed
        (decision("True", "Allowed"), ("Pending", "", "")),
        (decision("True", "Allowed", phase="Running", ready=True), ("Training", "", "")),
        # It has the site's permission until the site controller ends it.
        (decision("Unknown", "OutsideHours", phase="Running", ready=True), ("Training", "", "")),
    ],
)
def test_the_state_of_a_collaborator_is_what_its_site_has_decided(told: dict[str, Any], expected: tuple[str, str, str]) -> None:
    found = of_cluster3(running(works=works(work(1), work(2), work(3, **told))))
    remedy = REMEDY.get(expected[1], "")
    assert (found.state, found.reason, found.message) == (*expected[:2], f"{expected[2]} {remedy}".strip())


@pytest.mark.parametrize("told", [decision("False", "ImageNotAllowed", **GATE), decision("Unknown", "OutsideHours", **GATE)])
def test_a_site_that_decides_anew_during_the_run_is_not_shown_as_crashing(told: dict[str, Any]) -> None:
    world = running(works=works(work(1), work(2), work(3, ago(300), **told)), progress=progress(collaborators=FAILED_BEFORE))
    assert of_cluster3(world).reason in (Reason.SITE_REFUSED, Reason.SITE_PENDING)
    allowed = running(works=works(work(1), work(2), work(3, ago(300))), progress=progress(collaborators=FAILED_BEFORE))
    assert of_cluster3(allowed).reason == Reason.CRASHING


def test_a_pod_that_cannot_be_scheduled_after_the_decision_says_so() -> None:
    told = decision("True", "Allowed", unschedulable="0/1 nodes are available: 1 Insufficient nvidia.com/gpu.")
    assert of_cluster3(running(works=works(work(1), work(2), work(3, **told)))).reason == Reason.UNSCHEDULABLE


def test_the_run_says_for_which_sites_it_waits() -> None:
    waiting = [replace(work(n, **decision("Unknown", "ApprovalRequired", **GATE)), cluster=f"cluster{n}") for n in (1, 2, 3)]
    world = starting(run=run(status_after(fresh())), works=works(*waiting))
    status = status_after(world)
    assert (status.phase, reason_of(status)) == (Phase.WAITING, Reason.COLLABORATORS_STARTING)
    assert status.message.startswith("0 of 2 needed collaborators connected. cluster1: the site has not allowed the run yet")
    assert "panal site" in status.message
    assert (status.clients.failed, status.clients.ready) == (0, 0)


def test_a_run_whose_sites_have_not_decided_in_time_ends_with_that_reason() -> None:
    waiting = works(*(work(n, **decision("Unknown", "ApprovalRequired", **GATE)) for n in (1, 2, 3)))
    status = status_after(replace(said("QuorumNotReached", "0 of 2 collaborators connected within 600 s"), works=waiting))
    assert (status.phase, reason_of(status)) == (Phase.FAILED, Reason.SITE_PENDING)
    assert "cluster1: the site has not allowed the run yet (ApprovalRequired)" in status.message


DENIED = (
    "statefulsets.apps \"fl-digits\" is forbidden: ValidatingAdmissionPolicy '{}' with binding '{}' denied request: the Pod has no gate"
)


@pytest.mark.parametrize(
    ("policy", "reason"),
    [
        ("panal-site", Reason.SITE_REFUSED),
        ("panal-site-gate", Reason.SITE_REFUSED),
        ("panal-sitemap.example", Reason.SITE_REFUSED),
        ("other", Reason.WORK_NOT_APPLIED),
        ("not-panal-site", Reason.WORK_NOT_APPLIED),
    ],
)
def test_a_work_that_the_sites_policy_denies_is_refused_by_the_site(policy: str, reason: str) -> None:
    denied = replace(work(3), applied=False, applied_message=DENIED.format(policy, policy), pod_exists=False)
    found = of_cluster3(running(works=works(work(1), work(2), denied)))
    assert (found.state, found.reason) == ("Failed", reason)
    assert "the Pod has no gate" in found.message or len(found.message) > 200


# --- the spec ---------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", [names.IDENTITY_SECRET, names.PROXY, names.SITE_CONTROLLER])
@pytest.mark.parametrize("reference", ["secretKeyRef", "configMapKeyRef"])
def test_an_app_may_not_read_what_is_for_the_gateway_of_a_site(reference: str, name: str) -> None:
    env = [{"name": "A", "value": "1"}, {"name": "KEY", "valueFrom": {reference: {"name": name, "key": "tls.key"}}}]
    trouble = unsupported("digits", run(client={"env": env}).spec)
    assert trouble
    assert trouble.reason == Reason.INVALID_SPEC
    assert trouble.message.startswith(f"spec.client.env[KEY].valueFrom.{reference}: the ")
    assert name in trouble.message
    other = [{"name": "KEY", "valueFrom": {reference: {"name": "theirs", "key": "tls.key"}}}]
    assert unsupported("digits", run(client={"env": other}).spec) is None
    assert unsupported("digits", run(server={"env": env}).spec) is None  # the Secrets of its namespace on the hub
