"""All series, within their limits."""

from __future__ import annotations

from typing import Any

import pytest

from panal.hub.scrape import families as f
from panal.hub.scrape.runs import RunState
from panal.hub.scrape.series import families, series
from panal.hub.scrape.snapshot import Snapshot
from panal.kube.queue import Waiting


def run(name: str, created: str, status: object = None) -> RunState:
    collaborators = [{"cluster": "c1", "state": "Ready"}, {"cluster": "c2", "state": "Ready"}]
    known: dict[str, Any] = {"phase": "Running", "rounds": {"completed": 1}, "collaborators": collaborators}
    return RunState({"metadata": {"namespace": "ns", "name": name, "creationTimestamp": created}, "status": status or known})


OLD, NEW = run("old", "2026-01-01T00:00:00Z"), run("new", "2026-01-02T00:00:00Z")
OF_A_RUN, OF_CLUSTERS = 9, 4


def shown(snapshot: Snapshot, most: int) -> tuple[set[str], set[str], dict[str, float]]:
    """Runs with series, runs whose clusters have series, and the numbers of those that are left out."""
    found = list(series(snapshot, most))
    runs = {each.labels[1] for each in found if each.family == f.ROUNDS_COMPLETED}
    clusters = {each.labels[1] for each in found if each.family == f.CLUSTER_ROUND}
    return runs, clusters, {each.labels[0]: each.value for each in found if each.family == f.WITHOUT_SERIES}


@pytest.mark.parametrize(
    ("most", "runs", "clusters", "left_out"),
    [
        (2 * OF_A_RUN + 2 * OF_CLUSTERS, {"old", "new"}, {"old", "new"}, (0, 0)),
        (2 * OF_A_RUN + 2 * OF_CLUSTERS - 1, {"old", "new"}, {"old"}, (0, 1)),
        (2 * OF_A_RUN, {"old", "new"}, set(), (0, 2)),
        (2 * OF_A_RUN - 1, {"old"}, {"old"}, (1, 1)),
        (0, set(), set(), (2, 2)),
    ],
)
def test_runs_come_before_clusters_and_older_runs_before_newer_ones(
    most: int, runs: set[str], clusters: set[str], left_out: tuple[int, int]
) -> None:
    found = shown(Snapshot(runs=(NEW, OLD)), most)
    assert found == (runs, clusters, {"run": left_out[0], "clusters": left_out[1], "unreadable": 0})


@pytest.mark.parametrize(
    "status",
    [{"rounds": 5}, {"rounds": {"completed": "x"}}, {"collaborators": [{}]}, {"metrics": {"a": None}}, {"metrics": {"a": 10**400}},
     {"clients": []}, {"conditions": [5]}, {"restarts": "x"}],
    ids=str,
)  # fmt: skip
def test_a_status_of_another_form_hides_no_other_run(status: dict[str, Any]) -> None:
    runs, _, left_out = shown(Snapshot(runs=(run("bad", "2026-01-01T00:00:00Z", {"phase": "Running"} | status), NEW)), 1000)
    assert "new" in runs
    assert left_out["unreadable"] == (0 if status == {"clients": []} else 1)


def test_every_family_is_described_once_and_has_the_labels_that_it_declares() -> None:
    snapshot = Snapshot(runs=(OLD,), phases=("Running", "Failed", "Failed"), queues={"runs": Waiting(3, 1.5)})
    found = {metric.name: metric for metric in families(snapshot)}
    assert list(found) == [family.name.removesuffix("_total") for family in f.ALL]
    assert {sample.labels["phase"]: sample.value for sample in found["panal_runs"].samples} == {
        "Waiting": 0, "Running": 1, "Completed": 0, "Failed": 2,
    }  # fmt: skip
    assert [sample.value for name in ("panal_queue_keys", "panal_queue_oldest_age_seconds") for sample in found[name].samples] == [3, 1.5]
    for family in f.ALL:
        metric = found[family.name.removesuffix("_total")]
        assert metric.type == family.type
        assert all(sample.name == family.name and set(sample.labels) == set(family.labels) for sample in metric.samples)


@pytest.mark.parametrize("family", f.ALL, ids=lambda family: family.name)
def test_names_follow_the_conventions(family: f.Family) -> None:
    assert family.name.startswith("panal_")
    assert family.name.endswith("_total") == (family.type == "counter")
    assert not {"namespace", "cluster", "job", "instance", "pod"} & set(family.labels)  # others set them
