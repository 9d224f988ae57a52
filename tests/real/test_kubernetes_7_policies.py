"""Runs that require policies: the compliance round trip with Open Cluster Management's own policy controllers and examples/governance.

The propagator copies the policies for each cluster, the controllers of ConfigurationPolicies on the spokes enforce and check them, and
panal's controller, with its own permissions, reads the compliance. Between hub and spokes tests/support/policy_sync.py stands in for
governance-policy-framework-addon.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

import policies
from cluster import Cluster
from command_line import *  # noqa: F403
from kubernetes import Kubernetes
from panal.api.names import COLLABORATOR_NAMESPACE, ROOT_POLICY_LABEL
from panal.kube import kinds
from policy_sync import CONFIGURATION_POLICY, synced
from runs import AHEAD, SPOKES, Run, Status, apply
from waiting import eventually

pytestmark = [pytest.mark.real, pytest.mark.flower]

EXAMPLES = Path(__file__).parents[2] / "examples/governance"
NAMES = ("fl-addon", "fl-namespace", "fl-network", "fl-quota", "fl-images")
REQUIRED = {"requirePolicies": [{"name": name, "namespace": "fl-governance"} for name in NAMES]}
LEVEL = "pod-security.kubernetes.io/enforce"
SLOW = {"env": [{"name": "STEPS_SECONDS", "value": "4"}]}  # seconds of training in each round
SOON = 60  # seconds


@pytest.fixture(scope="module")
def engine(kubernetes: Kubernetes) -> Iterator[Kubernetes]:
    """With the policies of the example, which are gone afterwards."""
    fleet = kubernetes.fleet
    policies.start_on_hub(fleet.hub)
    for spoke in fleet.spokes:
        policies.start_for(spoke)
    with synced(fleet.hub, fleet.spokes):
        for file in ("placement.yaml", "policies.yaml"):
            fleet.hub.kubectl("apply", "-f", str(EXAMPLES / file))
        yield kubernetes
        fleet.hub.kubectl("delete", "--wait=false", "-f", str(EXAMPLES / "policies.yaml"))
        eventually(lambda: not any(kubernetes.spoke(s).list(CONFIGURATION_POLICY, s) for s in SPOKES), "the policies are gone", SOON)
    fleet.hub.kubectl("delete", "namespace", "fl-governance", "--timeout=60s")
    policies.stop(fleet.hub, *fleet.spokes)


def states(engine: Kubernetes, cluster: str) -> dict[str, str]:
    """Of the policies on a cluster, as the hub knows them."""
    copies = engine.hub.list(kinds.POLICY, cluster, ROOT_POLICY_LABEL)
    return {p["metadata"]["name"].removeprefix("fl-governance."): (p.get("status") or {}).get("compliant", "") for p in copies}


def until_compliant(engine: Kubernetes, *clusters: str) -> None:
    wanted = dict.fromkeys(NAMES, "Compliant")
    eventually(lambda: all(states(engine, c) == wanted for c in clusters), lambda: str({c: states(engine, c) for c in clusters}), SOON)


def reason(run: Run, cluster: str) -> str:
    return next((str(c.get("reason", "")) for c in run.status()["collaborators"] if c["cluster"] == cluster), "absent")


def working(status: Status, cluster: str) -> bool:
    return any(c["cluster"] == cluster and c["state"] in ("Training", "Replied") for c in status["collaborators"])


def test_the_policies_hold_on_every_cluster_and_limit_what_runs_there(engine: Kubernetes) -> None:
    until_compliant(engine, *SPOKES)
    spoke = engine.fleet["cluster1"]
    assert "fl-collaborators" in spoke.kubectl("-n", COLLABORATOR_NAMESPACE, "get", "quota,limits", "-o", "name")
    said = "image example/unknown:1 is not permitted for collaborators on this cluster"
    eventually(lambda: said in refusal(spoke, "example/unknown:1"), "the images are limited", SOON)
    assert refusal(spoke, "panal/test-app:1") == ""


def refusal(spoke: Cluster, image: str) -> str:
    """Why the cluster's API server refuses a Pod with the image, which meets Pod Security restricted; empty if it does not."""
    container = {"name": "app", "image": image, "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}}
    security = {"runAsNonRoot": True, "runAsUser": 1000, "seccompProfile": {"type": "RuntimeDefault"}}
    spec = {"containers": [container], "securityContext": security}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a", "namespace": COLLABORATOR_NAMESPACE}, "spec": spec}
    try:
        spoke.kubectl("create", "--dry-run=server", "-f", "-", stdin=json.dumps(pod))
    except RuntimeError as error:
        return str(error)
    return ""


def test_a_cluster_that_violates_a_policy_leaves_the_run_and_comes_back(engine: Kubernetes, panal) -> None:
    clusters = ["cluster1", "cluster2", "cluster3"]
    until_compliant(engine, *clusters)
    run = apply(engine, "runs", "governed", clusters=clusters, minimum=2, server={"rounds": 1 + AHEAD}, client=REQUIRED | SLOW)
    with run.kept_going():
        run.until_round(1)
        assert run.works() == clusters
        # The owner of the site loosens what the hub no longer enforces.
        engine.hub.patch(kinds.POLICY, "fl-governance", "fl-namespace", spec={"remediationAction": "inform"})
        enforced = ("-n", "cluster3", "get", "configurationpolicy", "fl-namespace", "-o", "jsonpath={.spec.remediationAction}")
        eventually(lambda: engine.fleet["cluster3"].kubectl(*enforced) == "inform", "it is not enforced on cluster3", SOON)
        engine.spoke("cluster3").label(kinds.NAMESPACE, COLLABORATOR_NAMESPACE, **{LEVEL: "privileged"})
        run.until(lambda _: reason(run, "cluster3") == "PolicyNotCompliant", "cluster3 does not comply", SOON)
        eventually(lambda: run.works() == ["cluster1", "cluster2"], "the work of cluster3 is removed", SOON)
        gateway = engine.hub.get(kinds.CONFIG_MAP, "runs", "governed-gateway") or {}
        assert json.loads(gateway["data"]["participants"]) == ["cluster1", "cluster2"]
        eventually(lambda: run.collaborators("cluster3") == [], "its collaborator has ended", SOON)
        left_out = explained(engine, panal)
        assert left_out == {"cluster3": "Policy fl-governance/fl-namespace is NonCompliant"}
        without = run.next_rounds(2)["rounds"]["completed"]
        # The hub enforces it again: the spoke's controller repairs the namespace.
        engine.hub.patch(kinds.POLICY, "fl-governance", "fl-namespace", spec={"remediationAction": "enforce"})
        until_compliant(engine, "cluster3")
        assert engine.spoke("cluster3").get(kinds.NAMESPACE, "", COLLABORATOR_NAMESPACE)["metadata"]["labels"][LEVEL] == "restricted"
        eventually(lambda: run.works() == clusters, "cluster3 has a work again", SOON)
        run.until(
            lambda s: any(c["cluster"] == "cluster3" and c["state"] in ("Training", "Replied") for c in s["collaborators"]),
            "it trains",
            SOON,
        )
        run.next_rounds(1)
        assert explained(engine, panal) == {}
    run.until_ended("Completed")
    rounds = run.rounds_of("cluster3")
    assert rounds[0] == 1
    assert without not in rounds
    assert rounds[-1] > without
    assert {("Warning", "PolicyNotCompliant"), ("Normal", "ClusterRemoved"), ("Normal", "ClusterAdded")} <= {e[:2] for e in run.events()}
    run.delete()


def explained(engine: Kubernetes, panal) -> dict[str, str]:
    """What `panal explain` says of the clusters that the run leaves out."""
    code, out, err = panal("explain", "governed", "-n", "runs", "--kubeconfig", str(engine.fleet.hub.kubeconfig), "-o", "json")
    assert code == 0, err
    found = {each["cluster"]: each for each in json.loads(out)["clusters"] if each["decided"]}
    return {name: each["leftOut"][0]["message"] for name, each in found.items() if each["leftOut"]}


def test_no_cluster_takes_part_in_a_run_that_requires_a_policy_that_is_nowhere(engine: Kubernetes) -> None:
    required = {"requirePolicies": [{"name": "nowhere"}]}
    run = apply(engine, "runs", "nowhere", clusters=["cluster1", "cluster2"], server={"quorumTimeoutSeconds": 5}, client=required)
    status = run.until_ended("Failed")
    assert [(c["cluster"], c["reason"]) for c in status["collaborators"]] == [("cluster1", "PolicyUnknown"), ("cluster2", "PolicyUnknown")]
    assert run.reason() == "PolicyUnknown"
    assert "Policy runs/nowhere is placed on no cluster" in status["message"]
    assert run.works() == []
    run.delete()
