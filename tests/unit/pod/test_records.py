"""Records are read as they were written; other lines are not accepted."""

from __future__ import annotations

import json
from dataclasses import fields

import pytest

from panal.pod.tools.codes import END, MAX_COUNT, TRAIN, Doubt, Ending, Refused, Result, Unanswered, read_termination, termination
from panal.pod.tools.records import (
    RECORDS,
    Bundle,
    Checkpoint,
    Connected,
    Ended,
    InvalidRecordError,
    ModelReady,
    NoModel,
    Notice,
    Record,
    Resumed,
    Round,
    Started,
    Stopped,
    Updates,
    Waiting,
    parse,
)

ALL: list[Record] = [
    Bundle(time=1.5, sha256="a" * 64, version="1.42.0"),
    Connected(time=1.5, count=2),
    Started(time=1.5, rounds=0, checkpoints=True),
    Round(
        time=1.5,
        round=1,
        phase=TRAIN,
        replies=1,
        failures=1,
        collaborators={"c1": {"seconds": 1.5, "metrics": {"loss": 0.5, "auc": "NaN"}}},
        failed={"c2": Refused.NOT_FINITE.value},
        messages={"c2": "text"},
        seconds=2.0,
        metrics={"loss": "-Infinity"},
    ),
    Round(time=1.5, round=1, phase=END, seconds=2.0),
    Updates(time=1.5, asked=["c1", "c2"], without=["c2"]),
    Checkpoint(time=1.5, round=1),
    Resumed(time=1.5, round=1),
    ModelReady(time=1.5, start=1, round=2),
    NoModel(time=1.5, message="none"),
    Waiting(time=1.5, message="waits for b", replied=["a"], failed={"c": "OSError"}, messages={"c": "text"}),
    Notice(time=1.5, kind=Doubt.MODEL_SUSPECT.value, message="w has NaN"),
    Ended(time=1.5, result=Result.MODEL.value),
    Stopped(time=1.5, reason=Ending.QUORUM_LOST, message="lost"),
]


def test_there_is_an_example_of_each_record() -> None:
    assert {type(each) for each in ALL} == set(RECORDS.values())
    assert all(getattr(each, field.name) is not None for each in ALL if not isinstance(each, Round) for field in fields(each))


@pytest.mark.parametrize("record", ALL, ids=lambda r: r.event)
def test_a_record_is_read_as_it_was_written(record: Record) -> None:
    line = json.dumps(record.content()).encode()
    assert parse(line) == record
    assert line.startswith(f'{{"event": "{record.event}", "time": 1.5'.encode())


@pytest.mark.parametrize(
    "line", [b"", b"free text", b"[]", b"1", b'{"no": "event"}', b'{"event": 1}', b'{"event": "later"}', b"[" * 100_000]
)
def test_lines_that_are_not_records_are_skipped(line: bytes) -> None:
    assert parse(line) is None


@pytest.mark.parametrize(
    "found",
    [
        {"event": "bundle"},
        {"event": "connected", "count": MAX_COUNT + 1},
        {"event": "started", "rounds": 1, "checkpoints": "no"},
        {"event": "round", "round": 1},
        {"event": "round", "round": 1, "phase": "of the app's own"},
        {"event": "round", "round": 1, "phase": TRAIN, "collaborators": {"c1": []}},
        {"event": "stopped", "reason": "of the app's own", "message": "x"},
    ],
)
def test_a_known_record_that_cannot_be_read_is_reported(found: dict[str, object]) -> None:
    with pytest.raises(InvalidRecordError):
        parse(json.dumps(found).encode())


def test_codes_are_their_values() -> None:
    for each in (*Ending, *Doubt, *Refused, *Unanswered, *Result):
        assert (str(each), f"{each}", json.dumps(each), {each.value: 1}[each]) == (each.value, each.value, f'"{each.value}"', 1)


@pytest.mark.parametrize(
    "text", ["", "free text", "{}", '{"reason": "of the app", "message": ""}', '{"reason": [], "message": ""}', "[" * 9999]
)
def test_only_our_own_termination_messages_are_read(text: str) -> None:
    assert read_termination(text) is None
    assert read_termination(termination(Ending.APP_INVALID, "é").decode()) == (Ending.APP_INVALID, "é")
