"""What the owner of a site sees of runs, from the ledger's entries."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from panal.site.entries import Kind
from panal.site.report import OfRun, Pods, Runs

POD = {"pod": "digits-0", "podUid": "1", "request": "r", "run": "team/digits", "uid": "u"}
ASKED = {"framework": "flower", "image": "app", "data": "pvc://digits", "variables": {"A": "1"}}


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
    (2, Kind.IMAGES, POD | {"images": {"supernode": "app@sha256:1"}}),
    (2, Kind.LEFT, reply(1)),
    (2, Kind.LEFT, reply(1, "evaluate")),
    (3, Kind.LEFT, reply(2, error=True)),
    (3, Kind.SENT, POD | {"requests": 7, "bytes": 50}),
    (4, Kind.STOPPED, POD | {"code": "SiteSuspended", "rule": "research", "text": "spec.suspend is true", "policy": 2}),
    (4, Kind.ENDED, POD | {"bytes": 350, "rounds": 2, "replies": 3}),
)


def runs(found: list[dict[str, Any]], since: int | None = None) -> list[OfRun]:
    made = Runs(datetime(2026, 3, since, tzinfo=UTC) if since else None)
    for entry in found:
        made.add(entry)
    return list(made.listed())


def pods(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    made = Pods()
    for entry in found:
        made.add(entry)
    return list(made.records())


def test_a_run_is_told_from_its_entries() -> None:
    (run,) = runs(STORY)
    assert run.record() == {
        "run": "team/digits",
        "uid": "u",
        "first": "2026-03-01T12:00:00.000Z",
        "last": "2026-03-04T12:00:00.000Z",
        "here": False,
        "works": False,
        "allowed": True,
        "asked": {"framework": "flower", "image": "app", "data": "pvc://digits"},
        "images": {"supernode": "app@sha256:1"},
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


def test_only_the_time_that_is_asked_for_is_counted() -> None:
    (run,) = runs(STORY, since=3)
    assert (run.bytes, dict(run.replies), run.others, run.errors) == (150, {"train": 1}, 7, 1)
    assert (run.first, run.asked["image"], run.allowed) == ("2026-03-01T12:00:00.000Z", "app", True)
    assert not runs(STORY, since=5)
    (still_here,) = runs(STORY[:-1], since=5)
    assert (still_here.bytes, list(still_here.pods), still_here.last) == (0, ["1"], "2026-03-04T12:00:00.000Z")


def test_what_is_here_is_by_its_pod() -> None:
    again = {"podUid": "2"}
    story = [
        *STORY,
        *entries((4, Kind.ASKED, POD | ASKED | again), (5, Kind.DECIDED, POD | again | {"verdict": "Waits", "code": "SiteSuspended"})),
    ]
    (here,) = pods(story)
    assert (here["podUid"], here["verdict"], here["code"], here["text"]) == ("2", "Waits", "SiteSuspended", "")
    assert (here["rounds"], here["bytes"], here["asked"]["request"], here["asked"]["variables"]) == (2, 350, "r", {"A": "1"})


STRANGER = {"pod": "digits-0", "podUid": "1"}
NOT_RECOGNIZED = STRANGER | {"verdict": "Refused", "code": "PodNotRecognized", "text": "why"}


def test_a_pod_that_was_not_recognized_is_a_line_of_its_own() -> None:
    story = entries(
        (1, Kind.DECIDED, NOT_RECOGNIZED), (1, Kind.STOPPED, STRANGER | {"code": "PodNotRecognized"}), (2, Kind.ENDED, STRANGER)
    )
    (run,) = runs(story)
    assert (run.name, run.allowed, run.said["code"], run.asked, run.pods) == ("Pod digits-0", False, "PodNotRecognized", {}, {})
    assert not pods(story)


def test_a_pod_that_is_recognized_later_belongs_to_its_run() -> None:
    """As after an upgrade of the site controller."""
    story = [*entries((1, Kind.DECIDED, NOT_RECOGNIZED)), *STORY[1:8]]
    (run,) = runs(story)
    assert (run.name, run.bytes, run.pods) == ("team/digits", 350, {"1": "Allowed"})
    (here,) = pods(story)
    assert (here["rounds"], here["bytes"]) == (2, 350)


def test_a_hub_that_says_another_run_with_the_same_uid_hides_nothing() -> None:
    other = {"pod": "x-0", "podUid": "2", "request": "q", "run": "evil/other", "uid": "u"}
    refused = other | {"verdict": "Refused", "code": "DataNotAllowed", "rule": "research", "text": "no"}
    asks = other | ASKED | {"data": "pvc://harmless"}
    first, second = runs([*STORY[:8], *entries((3, Kind.ASKED, asks), (3, Kind.DECIDED, refused))])
    assert (first.name, first.asked["data"], first.bytes, first.works) == ("team/digits", "pvc://digits", 350, True)
    assert (second.name, second.asked["data"], second.bytes, second.works) == ("evil/other", "pvc://harmless", 0, False)


def test_a_refused_pod_of_a_run_that_works_changes_neither_its_state_nor_what_it_asked() -> None:
    other = {"podUid": "2", "request": "q"}
    refused = POD | other | {"verdict": "Refused", "code": "ImageNotAllowed"}
    (run,) = runs([*STORY[:8], *entries((3, Kind.ASKED, POD | ASKED | other | {"image": "other"}), (3, Kind.DECIDED, refused))])
    assert (run.works, run.asked["image"], run.said["code"]) == (True, "app", "ImageNotAllowed")
