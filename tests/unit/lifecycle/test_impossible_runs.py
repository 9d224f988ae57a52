"""Runs that cannot work end or wait with a reason, and a message that names the field or object and a remedy."""

from __future__ import annotations

import copy

import pytest

from impossible_runs import CLUSTERS, FAILED, WAITING, Case
from panal.api.types import Phase
from panal.lifecycle.decide import decide
from panal.lifecycle.reasons import Reason
from panal.lifecycle.world import World
from worlds import NOW, fresh, reason_of, remedy, run


def world(case: Case) -> World:
    return fresh(run=run(**copy.deepcopy(case.spec)), **case.world)


def ids(case: Case) -> str:
    return case.id


def test_there_are_a_hundred() -> None:
    assert len({case.id for case in (*FAILED, *WAITING, *CLUSTERS)}) == len([*FAILED, *WAITING, *CLUSTERS]) >= 100


@pytest.mark.parametrize("case", FAILED, ids=ids)
def test_it_fails(case: Case) -> None:
    plan = decide(world(case), NOW)
    assert plan.status is not None
    assert (plan.status.phase, reason_of(plan.status)) == (Phase.FAILED, case.reason)
    assert case.words in plan.status.message
    assert plan.status.message.endswith(remedy(case.reason))
    assert not plan.apply


@pytest.mark.parametrize("case", WAITING, ids=ids)
def test_it_waits(case: Case) -> None:
    plan = decide(world(case), NOW)
    assert plan.status is not None
    assert (plan.status.phase, reason_of(plan.status)) == (Phase.WAITING, case.reason)
    assert case.words in plan.status.message
    if case.reason is not Reason.ADDRESS_PENDING:  # each listener type has its own remedy
        assert plan.status.message.endswith(remedy(case.reason))
    assert "ManifestWork" not in {obj["kind"] for obj in plan.apply}


@pytest.mark.parametrize("case", CLUSTERS, ids=ids)
def test_its_clusters_cannot_take_part(case: Case) -> None:
    status = decide(world(case), NOW).status
    assert status is not None
    assert status.phase is Phase.WAITING
    assert {c.reason for c in status.collaborators} == {case.reason}
    assert case.words in status.collaborators[0].message
    assert status.collaborators[0].message.endswith(remedy(case.reason))
    assert case.words in status.message
