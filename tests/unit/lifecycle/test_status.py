"""The status that a reconcile writes."""

from __future__ import annotations

from dataclasses import replace

import pytest

from panal.api.types import FilesStatus, ModelStatus, Phase
from panal.lifecycle.decide import decide
from panal.lifecycle.reasons import Reason
from panal.lifecycle.world import PlacementView, World
from worlds import NOW, cluster, clusters, done, names_of, progress, run, running, said, seen, sites, status_after, work, works


def test_a_running_run_has_rounds_metrics_and_clients() -> None:
    status = status_after(running(progress=progress(collaborators={"cluster1": seen(metrics={"accuracy": 0.4}, seconds=1.5)})))
    assert (status.phase, status.message) == (Phase.RUNNING, "round 2 of 3")
    assert status.rounds.summary == "1/3"
    assert (status.clients.selected, status.clients.ready, status.clients.summary) == (3, 3, "3/3")
    assert status.headline_metric == "accuracy 0.5"
    first = status.collaborators[0]
    assert (first.cluster, first.state, first.metrics, first.seconds) == ("cluster1", "Training", {"accuracy": 0.4}, 1.5)


def test_a_failed_run_keeps_its_rounds_and_metrics() -> None:
    found = ModelStatus(uri="pvc://m", digest="sha256:0", size=1, round=2)
    failed = replace(said("ServerAppFailed", "its words"), progress=progress(rounds_completed=2, model=found))
    status = status_after(failed)
    assert (status.phase, status.model) == (Phase.FAILED, found)


def test_notices_are_conditions() -> None:
    world = done(progress=progress(rounds_completed=3, metrics={"loss": "NaN"}, notices={"ModelSuspect": "w with NaN", "Other": "x"}))
    plan = decide(world, NOW)
    assert plan.status is not None
    (found,) = [c for c in plan.status.conditions if c.type in ("ModelSuspect", "Other")]
    assert (found.type, found.status, found.message[:11]) == ("ModelSuspect", "True", "w with NaN.")
    assert ("Warning", "ModelSuspect") in [(e.type, e.reason) for e in plan.events]
    assert (plan.status.metrics, plan.status.non_finite_metrics, plan.status.headline_metric) == ({}, {"loss": "NaN"}, "loss NaN")


def test_counts_include_clusters_that_are_not_listed() -> None:
    """The status lists only some clusters; counts, creation and deletion include all."""
    many = range(1, 61)
    views = clusters(*(cluster(n) for n in many))
    known = {"clusters": views, "placement": PlacementView(selected=names_of(*many)), "works": works(*(work(n) for n in many))}
    known["sites"] = sites(*many)
    before = status_after(running(**known))
    lost = views | clusters(cluster(58, available=None))
    plan = decide(running(**known | {"clusters": lost, "run": run(before)}), NOW)
    assert [e.reason for e in plan.events] == [Reason.CLUSTER_UNREACHABLE]
    assert before.clients.summary == "60/60"
    late = status_after(running(**known, run=run(before, activeDeadlineSeconds=60)))
    assert late.clients.summary == "60/60"


def test_the_status_has_replies_failures_and_seconds_of_the_round() -> None:
    rounds = status_after(running(progress=progress(replies=3, failures=1, seconds=4.5))).rounds
    assert (rounds.replies, rounds.failures, rounds.seconds) == (3, 1, 4.5)


@pytest.mark.parametrize("ended", [running(), said("ServerAppFailed", "after its training")], ids=["running", "failed"])
def test_files_of_the_app_are_in_the_status_of_every_ended_run(ended: World) -> None:
    files = FilesStatus(uri="pvc://models/x/files/", count=2, size=9)
    assert status_after(replace(ended, progress=progress(files=files))).files == files
    assert status_after(ended).files is None
