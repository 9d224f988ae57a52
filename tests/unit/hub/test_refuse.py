"""A resource that cannot be read fails once, by name of the field, and never holds its own deletion."""

from __future__ import annotations

import pytest

from panal.api.names import FINALIZER
from panal.api.parse import ParseError, parse
from panal.api.types import Phase
from panal.hub.refuse import refuse
from worlds import NOW, resource


def unreadable() -> tuple[dict, ParseError]:
    found = resource(server={"rounds": 0})
    with pytest.raises(ParseError) as error:
        parse(found)
    return found, error.value


def test_it_fails_with_the_fields_name() -> None:
    plan = refuse(*unreadable(), NOW)
    assert plan.status is not None
    assert plan.status.phase is Phase.FAILED
    assert "spec.server.rounds" in plan.status.message
    assert [e.reason for e in plan.events] == ["InvalidSpec"]


def test_it_is_told_once() -> None:
    found, error = unreadable()
    told = refuse(found, error, NOW).status
    assert told is not None
    plan = refuse(found | {"status": {"message": told.message}}, error, NOW)
    assert plan.status is None
    assert not plan.events


def test_it_can_be_deleted() -> None:
    found, error = unreadable()
    found["metadata"] |= {"deletionTimestamp": "2026-03-01T11:30:00Z", "finalizers": [FINALIZER]}
    assert refuse(found, error, NOW).remove_finalizer
