"""The data of a run from an app's folder."""

import asyncio

import pytest

from fake_client import FakeAccess, FakeClient
from panal.client.problem import Code, Problem
from panal_local.commands import data
from panal_local.commands.install import claim

CLUSTERS = ["cluster1", "cluster2", "cluster3"]


def folders(place, *names):
    for name in names:
        (place / name).mkdir(parents=True)
    return place


def test_clusters_with_a_folder_take_part(tmp_path):
    place = folders(tmp_path / "größe a b", "cluster1", "cluster3", "cluster9")
    assert data.found(place, CLUSTERS) == {"cluster1": f"{place}/cluster1", "cluster3": f"{place}/cluster3"}
    with pytest.raises(Problem, match="contains none of the folders cluster1, cluster2, cluster3") as refused:
        data.found(tmp_path, CLUSTERS)
    assert refused.value.code == Code.USAGE


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("visit 2026:03", 'contains ":", which Kubernetes does not accept'),
        ("line\nbreak", "unprintable characters"),
        ("part#5", "is no volume of data"),
    ],
)
def test_an_unsupported_path_is_refused_before_a_run_is_created(tmp_path, name, why):
    with pytest.raises(Problem, match=why) as refused:
        data.found(folders(tmp_path / name, "cluster1"), CLUSTERS)
    assert refused.value.code == Code.USAGE
    assert "Rename the folder" in refused.value.remedy


def test_another_folder_has_another_claim(tmp_path, monkeypatch):
    first, second = folders(tmp_path / "a", "cluster1"), folders(tmp_path / "b", "cluster1")
    assert data.claim_name("digits", first) != data.claim_name("digits", second)
    assert data.claim_name("digits", first) != data.claim_name("other", first)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "link").symlink_to("a")
    assert (
        data.claim_name("digits", first)
        == data.claim_name("digits", tmp_path / "link")
        == data.claim_name("digits", first.relative_to(tmp_path))
    )
    assert len(data.claim_name("x" * 34, first)) <= 63


def run(name, claim_name, phase):
    selector = {"requiredClusterSelector": {"claimSelector": {"matchExpressions": [{"key": claim_name, "operator": "Exists"}]}}}
    spec = {"client": {"placement": {"predicates": [selector]}}}
    return {"apiVersion": "federation-ai.open-cluster-management.io/v1alpha1", "kind": "FederatedLearning",
            "metadata": {"name": name, "namespace": "default"}, "spec": spec, "status": {"phase": phase}}  # fmt: skip


def announced(hub, spokes, name, claims):
    clients = dict(zip(CLUSTERS, spokes, strict=True))
    asyncio.run(data.announce(FakeAccess(clients), hub, name, claims, CLUSTERS))
    return [spoke.names() for spoke in spokes]


def test_waiting_runs_keep_their_claims_and_unused_claims_are_removed():
    waiting, running, over, mine = (f"data-{n}0000000.app.panal" for n in range(4))
    hub = FakeClient(run("app-1", waiting, "Waiting"), run("app-2", running, "Running"), run("app-3", over, "Completed"))
    there = [claim(name, "/old") for name in (waiting, running, over)]
    spokes = [FakeClient(*there), FakeClient(*there, claim(mine, "/gone")), FakeClient(claim("digits.example.com", "/site"))]
    found = announced(hub, spokes, mine, {"cluster1": "/new", "cluster3": "/new"})
    assert found == [{waiting, running, mine}, {waiting, running}, {"digits.example.com", mine}]
    assert spokes[0].objects["ClusterClaim", "", waiting]["spec"]["value"] == "/old"
    assert spokes[0].objects["ClusterClaim", "", mine]["spec"]["value"] == "/new"
