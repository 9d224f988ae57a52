"""Amounts become scores: tables. A score is renewed long before it expires, and not before."""

from datetime import UTC, datetime, timedelta

import pytest

from panal.addon import scores

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ADDON = {"metadata": {"name": "fl-collaborator", "namespace": "c1", "uid": "u1"}}


def cluster(available="True", **allocatable):
    conditions = [{"type": "ManagedClusterConditionAvailable", "status": available}]
    return {"status": {"conditions": conditions, "allocatable": {key.replace("__", "."): value for key, value in allocatable.items()}}}


SCORES = [
    ({"memory": "1Gi"}, {"memory": 0}),
    ({"memory": "512Mi"}, {"memory": 0}),
    ({"memory": "2Gi"}, {"memory": 8}),
    ({"memory": "64Gi"}, {"memory": 50}),
    ({"memory": "4Ti"}, {"memory": 100}),
    ({"memory": "9Pi"}, {"memory": 100}),
    ({"cpu": "1"}, {"cpu": 0}),
    ({"cpu": "32"}, {"cpu": 50}),
    ({"cpu": "500m"}, {"cpu": 0}),
    ({"cpu": "0"}, {"cpu": 0}),
    ({"cpu": "many", "memory": "64Gi"}, {"memory": 50}),
    ({"pods": "110"}, {}),
    ({"cpu": "1e99", "memory": "9" * 64, "gpu": "9" * 64}, {"cpu": 100, "memory": 100, "gpu": 100}),
    ({"cpu": "1e300000000", "memory": "1" * 400, "gpu": "1/0"}, {}),
    ({}, {}),
]


@pytest.mark.parametrize(("allocatable", "expected"), SCORES)
def test_amounts_become_scores(allocatable, expected):
    assert scores.scores(cluster(**allocatable), []) == expected


def test_gpus_are_counted_over_all_kinds():
    found = {"nvidia.com/gpu": "3", "amd.com/gpu": "1", "nvidia.com/mig-1g.5gb": "7"}
    assert scores.scores({"status": cluster()["status"] | {"allocatable": found}}, []) == {"gpu": 4}
    assert scores.scores({"status": cluster()["status"] | {"allocatable": {"nvidia.com/gpu": "0"}}}, []) == {"gpu": 0}


def test_what_collaborators_request_is_not_free():
    offered = {"status": cluster()["status"] | {"allocatable": {"memory": "64Gi", "cpu": "32", "nvidia.com/gpu": "4"}}}
    requests = [{"memory": "30Gi", "nvidia.com/gpu": 1}, {"memory": "30Gi", "cpu": "40", "ephemeral-storage": "1Gi"}]
    assert scores.scores(offered, requests) == {"cpu": 0, "gpu": 3, "memory": 16}


def test_announced_data_is_scored_by_claim():
    found = scores.scores(cluster(memory="64Gi"), [], {"a.example.com": 2**45, "b.example.com": 2**20, "c": 2**30})
    assert found == {"memory": 50, "data/a.example.com": 100, "data/b.example.com": 0, "data/c": 40}
    assert scores.scores(cluster(memory="64Gi"), [], {"a": 10**400}) == {"memory": 50, "data/a": 100}


@pytest.mark.parametrize("available", ["False", "Unknown"])
def test_a_cluster_that_is_not_available_has_no_scores(available):
    assert scores.scores(cluster(available, memory="64Gi"), []) == {}


def test_scores_differ_by_ten_percent():
    """So that sites can be told apart, and a score does not change with every Pod."""
    assert len({scores.scores(cluster(memory=f"{1024 * 1.1**n:.0f}Mi"), [])["memory"] for n in range(80)}) == 80


def written(found, now=NOW):
    return scores.resource(ADDON) | {"status": scores.status(found, now)}


def test_an_unchanged_score_is_written_again_when_it_is_due():
    live = written({"cpu": 5})
    assert scores.current(live, {"cpu": 5}, NOW)
    assert not scores.current(live, {"cpu": 6}, NOW)
    due = scores.renewal(live, NOW)
    assert timedelta(hours=2) <= timedelta(seconds=due) <= timedelta(hours=3)
    assert not scores.current(live, {"cpu": 5}, NOW + timedelta(seconds=due))
    assert not scores.current(scores.resource(ADDON), {}, NOW)


def test_it_belongs_to_the_add_on():
    live = written({})
    assert scores.owned(live, ADDON)
    assert not scores.owned(live, {"metadata": ADDON["metadata"] | {"uid": "u2"}})
    assert not scores.owned(None, ADDON)
