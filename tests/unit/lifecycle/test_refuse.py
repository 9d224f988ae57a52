"""A resource that cannot be parsed fails once, with the field's name, and can be deleted."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from panal.api.names import FINALIZER
from panal.api.parse import ParseError, parse, parse_metadata
from panal.api.types import Phase
from panal.lifecycle.plan import Plan
from panal.lifecycle.refuse import refuse
from panal.lifecycle.world import WorkView
from worlds import NOW, ago, deleted, resource, work

LIMIT = timedelta(minutes=5)


def unreadable() -> tuple[dict, ParseError]:
    found = resource(server={"rounds": 0})
    with pytest.raises(ParseError) as error:
        parse(found)
    return found, error.value


def plan(found: dict, error: ParseError, text: str = "", works: tuple[WorkView, ...] = ()) -> Plan:
    return refuse(parse_metadata(found), text, error, works, LIMIT, NOW)


def test_it_fails_with_the_fields_name() -> None:
    made = plan(*unreadable())
    assert made.status is not None
    assert made.status.phase is Phase.FAILED
    assert "spec.server.rounds" in made.status.message
    assert [e.reason for e in made.events] == ["InvalidSpec"]


def test_it_is_reported_once() -> None:
    found, error = unreadable()
    status = plan(found, error).status
    assert status is not None
    again = plan(found, error, status.message)
    assert again.status is None
    assert not again.events


def test_its_collaborators_are_deleted() -> None:
    assert deleted(plan(*unreadable(), works=(work(1), work(2))), "ManifestWork") == ["cluster1", "cluster2"]


def test_it_can_be_deleted_after_its_collaborators() -> None:
    found, error = unreadable()
    found["metadata"] |= {"deletionTimestamp": "2026-03-01T11:30:00Z", "finalizers": [FINALIZER]}
    assert plan(found, error).remove_finalizer
    held = plan(found, error, works=(replace(work(1), deleting_since=ago(10)),))
    assert not held.remove_finalizer
    assert not held.delete
    given_up = plan(found, error, works=(replace(work(1), deleting_since=ago(600)),))
    assert [r.strip_finalizers for r in given_up.delete] == [True]
