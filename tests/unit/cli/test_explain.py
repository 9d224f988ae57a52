"""`panal explain` at the embedded API server: what it reads, what it says, and what it refuses."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from api import Api, api
from command_line import *  # noqa: F403
from embedded import Embedded
from panal.api.crd import crd
from panal.cli.explanation import Report
from panal.client.problem import Code
from panal.kube import kinds
from panal.kube.client import Client
from panal.kube.times import now_utc, to_time
from panal.placement.hub import Hub
from panal.placement.selection import explained
from panal_local.ocm import crds
from panal_local.ocm.writing import serve

GROUP = "cluster.open-cluster-management.io"
CLAIM = "data.example.com/mnist"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Embedded]:
    started = Embedded(tmp_path_factory.mktemp("hub")).start()
    try:
        asyncio.run(_define(started.kubeconfig))
        _fill(api(started.kubeconfig))
        yield started
    finally:
        started.stop()


async def _define(kubeconfig: Path) -> None:
    async with Client.from_kubeconfig(kubeconfig) as client:
        await serve(client, [crd(), *crds.hub()])


def run(name: str, **client: Any) -> dict[str, Any]:
    has_data = {"claimSelector": {"matchExpressions": [{"key": CLAIM, "operator": "Exists"}]}}
    placement = {"clusterSets": ["default"], "predicates": [{"requiredClusterSelector": has_data}]}
    return {
        "apiVersion": "federation-ai.open-cluster-management.io/v1alpha1",
        "kind": "FederatedLearning",
        "metadata": {"name": name, "namespace": "team"},
        "spec": {
            "server": {"image": "example/app:1", "rounds": 1, "minAvailableClients": 2},
            "client": {"image": "example/app:1", "placement": placement} | client,
        },
    }


def _fill(hub: Api) -> None:
    """Three clusters: c1 with all it needs, c2 without the add-on, c3 without data. Only c1 and c3 are decided."""
    hub.make_namespace("team")
    hub.apply({"apiVersion": f"{GROUP}/v1beta2", "kind": "ManagedClusterSet", "metadata": {"name": "default"}, "spec": {}})
    binding = {"name": "default", "namespace": "team"}
    hub.apply(
        {"apiVersion": f"{GROUP}/v1beta2", "kind": "ManagedClusterSetBinding", "metadata": binding, "spec": {"clusterSet": "default"}}
    )
    for name in ("c1", "c2", "c3"):
        labels = {f"{GROUP}/clusterset": "default"}
        hub.apply({"apiVersion": f"{GROUP}/v1", "kind": "ManagedCluster", "metadata": {"name": name, "labels": labels}, "spec": {}})
        accepted = {"type": "HubAcceptedManagedCluster", "status": "True", "reason": "x", "lastTransitionTime": to_time(now_utc())}
        claims = [] if name == "c3" else [{"name": CLAIM, "value": "pvc://mnist"}]
        hub.patch_status(kinds.MANAGED_CLUSTER, "", name, conditions=[accepted], clusterClaims=claims)
        hub.make_namespace(name)
    addon = kinds.MANAGED_CLUSTER_ADDON
    for name in ("c1", "c3"):
        metadata = {"name": "fl-collaborator", "namespace": name}
        hub.apply({"apiVersion": addon.api_version, "kind": addon.kind, "metadata": metadata, "spec": {}})


@pytest.fixture
def explain(panal, server):
    return lambda *words: panal("explain", *words, "--kubeconfig", str(server.kubeconfig))


@pytest.fixture
def file(tmp_path):
    def written(obj: Any) -> str:
        path = tmp_path / "run.yaml"
        path.write_text(yaml.safe_dump(obj))
        return str(path)

    return written


def test_a_run_that_does_not_exist_yet_is_explained(explain, file):
    code, out, _ = explain("--dry-run", "-f", file(run("digits")))
    assert code == Code.OK
    assert out.splitlines() == [
        "digits in namespace team: 2 of 3 clusters would be selected, 1 can take part, 2 needed",
        "",
        "SELECTED",
        "  c1",
        "  c2; does not take part: the add-on fl-collaborator is not installed",
        "",
        "NOT SELECTED",
        f"  c3: lacks claim {CLAIM}",
        f"      Create the ClusterClaim {CLAIM} on the cluster.",
        "",
        "`panal explain … --cluster NAME` explains one cluster, -o json lists all.",
    ]


def test_one_cluster_is_explained_in_detail(explain, file):
    code, out, _ = explain("--dry-run", "-f", file(run("digits")), "--cluster", "c3")
    assert code == Code.OK
    assert out.splitlines() == [
        "c3: does not qualify",
        f"  lacks claim {CLAIM} (spec.client.placement.predicates[0].requiredClusterSelector.claimSelector.matchExpressions[0])",
        f"      Create the ClusterClaim {CLAIM} on the cluster.",
        "  the run leaves it out even if it is selected:",
        "  has no ClusterClaim data.example.com/mnist",
        "      Create the ClusterClaim on the cluster.",
    ]
    code, _, err = explain("--dry-run", "-f", file(run("digits")), "--cluster", "c9")
    assert (code, "nothing is known of a cluster c9" in err) == (Code.NOT_FOUND, True)


def test_a_disagreement_with_the_decisions_is_shown(explain, server):
    hub = api(server.kubeconfig)
    made = hub.apply(run("decided"))
    labels = {"fl.panal/run-uid": made["metadata"]["uid"]}
    metadata = {"name": "decided", "namespace": "team", "labels": labels}
    hub.apply({"apiVersion": f"{GROUP}/v1beta1", "kind": "Placement", "metadata": metadata, "spec": made["spec"]["client"]["placement"]})
    code, out, _ = explain("decided")
    assert (code, "note: Open Cluster Management has not scheduled the Placement" in out) == (Code.OK, True)
    mine = {"name": "decided-decision-1", "namespace": "team", "labels": {f"{GROUP}/placement": "decided"}}
    hub.apply({"apiVersion": f"{GROUP}/v1beta1", "kind": "PlacementDecision", "metadata": mine})
    decided = [{"clusterName": each, "reason": ""} for each in ("c1", "c3")]
    hub.patch_status(kinds.PLACEMENT_DECISION, "team", "decided-decision-1", decisions=decided)
    satisfied = {"type": "PlacementSatisfied", "status": "True", "reason": "x", "lastTransitionTime": to_time(now_utc())}
    hub.patch_status(kinds.PLACEMENT, "team", "decided", conditions=[satisfied], numberOfSelectedClusters=2)
    code, out, _ = explain("decided", "-n", "team")
    assert "2 decided otherwise by OCM than is found here" in out
    assert "  c3; decided otherwise by OCM; does not take part: has no ClusterClaim" in out
    assert "  c2: qualifies here, and is not selected: decided otherwise by OCM" in out
    code, out, _ = explain("decided", "-o", "json")
    found = json.loads(out)
    assert found["summary"] == {
        "clusters": 3,
        "selected": 2,
        "outscored": 0,
        "notQualified": 1,
        "notEvaluated": 0,
        "takePart": 1,
        "decidedOtherwise": 2,
    }
    assert [(each["cluster"], each["verdict"], each["decided"], each["takesPart"]) for each in found["clusters"]] == [
        ("c1", "Selected", True, True),
        ("c2", "Selected", False, False),
        ("c3", "NotQualified", True, False),
    ]


def test_standard_cel_is_evaluated_where_the_local_platform_is_installed(explain, file):
    for expression, selected in (('managedCluster.metadata.name == "c1"', "1 of 3"), ("quantity(managedCluster.x).isInteger()", "0 of 3")):
        placement = {
            "clusterSets": ["default"],
            "predicates": [{"requiredClusterSelector": {"celSelector": {"celExpressions": [expression]}}}],
        }
        _, out, _ = explain("--dry-run", "-f", file(run("digits", placement=placement, dataClaim="None")))
        assert selected in out
        assert ("celSelector is not evaluated" in out) == (selected == "0 of 3")


WRONG = [
    # client, what is named
    ({"placement": {"numberOfClusters": -1}}, "spec.client.placement.numberOfClusters"),
    ({"placement": {"predicates": [{"requiredClusterSelector": {"labelSelector": {"matchExpressions": [{"key": "a"}]}}}]}}, "operator"),
    ({"image": "a b"}, "spec.client.image"),
]


@pytest.mark.parametrize(("client", "named"), WRONG)
def test_a_wrong_field_is_named(explain, file, client, named):
    code, out, err = explain("--dry-run", "-f", file(run("digits", **client)))
    assert (code, out, named in err) == (Code.USAGE, "", True), err


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ((), Code.USAGE, "either NAME or --dry-run -f FILE"),
        (("x", "--dry-run"), Code.USAGE, "either NAME or --dry-run -f FILE"),
        (("-f", "x"), Code.USAGE, "either NAME or --dry-run -f FILE"),
        (("--dry-run", "-f", "/nowhere"), Code.USAGE, "/nowhere cannot be read"),
        (("nothing",), Code.NOT_FOUND, "the run nothing does not exist"),
    ],
)
def test_wrong_words_are_refused(explain, words, code, said):
    ended, out, err = explain(*words)
    assert (ended, out, said in err) == (code, "", True), err


def test_two_runs_in_a_file_are_too_many(explain, tmp_path):
    path = tmp_path / "run.yaml"
    path.write_text(yaml.safe_dump_all([run("a"), run("b")]))
    code, _, err = explain("--dry-run", "-f", str(path))
    assert (code, "contains the runs a, b" in err) == (Code.USAGE, True)
    path.write_text(yaml.safe_dump(run("a")))
    code, _, err = explain("--dry-run", "-f", str(path), "-n", "other")
    assert (code, "has the namespace team, but -n is other" in err) == (Code.USAGE, True)


POLICY = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": str(kinds.POLICY)},
    "spec": {
        "group": kinds.POLICY.group,
        "names": {"kind": "Policy", "listKind": "PolicyList", "plural": "policies", "singular": "policy"},
        "scope": "Namespaced",
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "subresources": {"status": {}},
                "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}},
            }
        ],
    },
}


def test_required_policies_are_checked_before_the_run_exists(explain, file, server):
    required = {"requirePolicies": [{"name": "fl-site"}]}
    code, out, _ = explain("--dry-run", "-f", file(run("digits", **required)))
    assert code == Code.OK
    assert "note: the hub does not have policies.policy.open-cluster-management.io: no cluster can comply" in out
    assert "  c1; does not take part: Policy team/fl-site is placed on no cluster\n" in out
    asyncio.run(_serve_policies(server.kubeconfig))
    hub = api(server.kubeconfig)
    for cluster, state in (("c1", "NonCompliant"), ("c2", "Compliant")):
        labels = {"policy.open-cluster-management.io/root-policy": "team.fl-site"}
        metadata = {"name": "team.fl-site", "namespace": cluster, "labels": labels}
        hub.apply({"apiVersion": kinds.POLICY.api_version, "kind": "Policy", "metadata": metadata, "spec": {}})
        hub.patch_status(kinds.POLICY, cluster, "team.fl-site", compliant=state)
    _, out, _ = explain("--dry-run", "-f", file(run("digits", **required)))
    assert "digits in namespace team: 2 of 3 clusters would be selected, 0 can take part, 2 needed" in out
    assert "  c1; does not take part: Policy team/fl-site is NonCompliant\n" in out
    assert "  c2; does not take part: the add-on fl-collaborator is not installed\n" in out
    _, out, _ = explain("--dry-run", "-f", file(run("digits", **required)), "--cluster", "c3", "-o", "json")
    left_out = json.loads(out)["clusters"][0]["leftOut"]
    assert [(each["cause"], each["message"]) for each in left_out][1:] == [("Policy", "Policy team/fl-site is not placed on it")]


async def _serve_policies(kubeconfig: Path) -> None:
    async with Client.from_kubeconfig(kubeconfig) as client:
        await serve(client, [POLICY])


def test_thousands_of_clusters_give_a_page():
    def cluster(number: int) -> dict[str, Any]:
        labels = {f"{GROUP}/clusterset": "s", "zone": str(number % 40)}
        return {"metadata": {"name": f"c{number:04}", "labels": labels}, "spec": {"taints": []}}

    placement = {
        "metadata": {"name": "p", "namespace": "n"},
        "spec": {"predicates": [{"requiredClusterSelector": {"labelSelector": {"matchLabels": {"zone": "7"}}}}], "numberOfClusters": 50},
    }
    clusters = [
        cluster(number) | ({"spec": {"taints": [{"key": f"t{number}", "effect": "NoSelect"}]}} if number < 80 else {})
        for number in range(3500)
    ]
    hub = Hub(clusters, [{"metadata": {"name": "s"}}], [{"metadata": {"name": "s", "namespace": "n"}}])
    selection = explained(placement, hub, now_utc(), lambda _e, _c: None)
    lines = list(Report("p", "n", True, 1, 50, selection, {}, ()).lines(detailed=False))
    assert len(lines) < 60
    assert max(map(len, lines)) < 300
    assert lines[:2] == [
        "p in namespace n: 50 of 3500 clusters would be selected, 50 can take part, 1 needed",
        "36 qualify, but have lower scores",
    ]
    assert "  and 30 more" in lines
    assert any(line.startswith("  and 7") and line.endswith("other reasons") for line in lines)
