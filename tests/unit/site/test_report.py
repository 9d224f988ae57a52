"""What the owner of a site sees of runs, from the ledger's entries."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from panal.site.entries import Kind
from panal.site.report import Report

POD = {"pod": "digits-0", "podUid": "1", "request": "r", "run": "team/digits", "uid": "u"}
ASKED = {"image": "app", "data": "pvc://digits"}


def entries(*content: tuple[int, Kind, dict[str, Any]]) -> list[dict[str, Any]]:
    """Each with its day of March."""
    times = (f"2026-03-{day:02}T12:00:00.000Z" for day, _, _ in content)
    chain = {"previous": "0", "hash": "1", "signature": "2"}
    return [
        {"time": time, "number": number, "kind": kind, **chain, **more}
        for number, (time, (_, kind, more)) in enumerate(zip(times, content), 1)
    ]


def reply(number: int, kind: str = "train", **more: Any) -> dict[str, Any]:
    return POD | {"type": kind, "reply": number, "digest": "d", "announcement": f"{kind}{number}", "bytes": 100} | more


STORY = entries(
    (1, Kind.STARTED, {"version": "1"}),
    (1, Kind.ASKED, POD | ASKED),
    (1, Kind.DECIDED, POD | {"verdict": "Allowed", "rule": "research", "text": "rule research", "policy": 1}),
    (2, Kind.LEFT, reply(1)),
    (2, Kind.LEFT, reply(1, "evaluate")),
    (3, Kind.LEFT, reply(2, error=True)),
    (3, Kind.SENT, POD | {"requests": 7, "bytes": 50}),
    (4, Kind.STOPPED, POD | {"code": "SiteSuspended", "rule": "research", "text": "spec.suspend is true", "policy": 2}),
    (4, Kind.ENDED, POD | {"bytes": 350, "rounds": 2, "replies": 3}),
)


def report(found: list[dict[str, Any]], since: int | None = None) -> Report:
    made = Report(datetime(2026, 3, since, tzinfo=UTC) if since else None)
    for entry in found:
        made.add(entry)
    return made


def test_a_run_is_told_from_its_entries() -> None:
    (run,) = report(STORY).listed()
    found = run.record()
    assert found == {
        "run": "team/digits",
        "uid": "u",
        "first": "2026-03-01T12:00:00.000Z",
        "last": "2026-03-04T12:00:00.000Z",
        "here": False,
        "allowed": True,
        "asked": {"request": "r", "run": "team/digits", "uid": "u"} | ASKED,
        "verdict": "Stopped",
        "code": "SiteSuspended",
        "rule": "research",
        "text": "spec.suspend is true",
        "rounds": 2,
        "replies": {"evaluate": 1, "train": 2},
        "errors": 1,
        "otherRequests": 7,
        "bytes": 350,
    }
    assert (report(STORY).begins, report(STORY).number) == ("2026-03-01T12:00:00.000Z", 9)


def test_only_the_time_that_is_asked_for_is_counted() -> None:
    (run,) = report(STORY, since=3).listed()
    assert (run.bytes, dict(run.replies), run.others, run.errors) == (150, {"train": 1}, 7, 1)
    assert (run.first, run.asked["image"], run.allowed) == ("2026-03-01T12:00:00.000Z", "app", True)
    assert not list(report(STORY, since=5).listed())
    (still_here,) = report(STORY[:-1], since=5).listed()
    assert (still_here.bytes, bool(still_here.pods)) == (0, True)


def test_what_is_here_is_by_its_pod() -> None:
    again = {"pod": "digits-0", "podUid": "2"}
    story = [
        *STORY,
        *entries((4, Kind.ASKED, POD | ASKED | again), (5, Kind.DECIDED, POD | again | {"verdict": "Waits", "code": "SiteSuspended"})),
    ]
    here = report(story).here()
    assert list(here) == ["2"]
    assert (here["2"]["verdict"], here["2"]["code"], here["2"]["text"]) == ("Waits", "SiteSuspended", "")
    assert (here["2"]["rounds"], here["2"]["bytes"], here["2"]["asked"]["request"]) == (2, 350, "r")


def test_a_pod_that_was_not_recognized_is_a_line_of_its_own() -> None:
    stranger = {"pod": "stranger", "podUid": "9"}
    decided = stranger | {"verdict": "Refused", "code": "PodNotRecognized", "text": "why"}
    story = entries((1, Kind.DECIDED, decided), (1, Kind.STOPPED, stranger | {"code": "PodNotRecognized"}), (2, Kind.ENDED, stranger))
    (run,) = report(story).listed()
    assert (run.name, run.allowed, run.decision["code"], run.asked) == ("Pod stranger", False, "PodNotRecognized", {})
    assert not report(story).here()
