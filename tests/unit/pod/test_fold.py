"""Folding records into Progress: a table of what each record changes, and properties of sequences."""

from __future__ import annotations

from functools import reduce

import pytest

from panal.api.progress import MAX_COLLABORATORS, MAX_METRICS, CollaboratorProgress, Progress, UpdateCounts
from panal.api.text import name
from panal.pod.fold import bounded, resumed
from panal.pod.fold import fold as fold_record
from panal.pod.tools.records import InvalidRecordError, read

TRAIN = {
    "event": "round", "round": 1, "phase": "train", "replies": 2, "failures": 1, "seconds": 4.0, "metrics": {"loss": 0.5},
    "collaborators": {"a": {"seconds": 1.5, "metrics": {"loss": 0.4}}, "b": {"metrics": {}}}, "failed": {"c": "ValueError"},
}  # fmt: skip
EVALUATE = {
    "event": "round", "round": 1, "phase": "evaluate", "replies": 1, "failures": 0, "seconds": 1.0, "metrics": {"accuracy": 0.9},
    "collaborators": {"a": {"seconds": 0.5, "metrics": {"accuracy": 0.8}}}, "failed": {},
}  # fmt: skip
END = {"event": "round", "round": 1, "phase": "end", "seconds": 6.0}


def fold(progress: Progress, record: dict[str, object]) -> Progress:
    return fold_record(progress, read(record))


def after(*records: dict[str, object], start: Progress | None = None) -> Progress:
    return reduce(fold, records, start or Progress())


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        ({"event": "connected", "count": 3}, Progress(connected=3)),
        ({"event": "started", "rounds": 4}, Progress(started=True, rounds_total=4)),
        ({"event": "bundle", "sha256": "a1" * 32}, Progress(app_hash="a1" * 32)),
        ({"event": "bundle", "sha256": "a1" * 32, "version": "1.42.0"}, Progress(app_hash="a1" * 32, runtime_version="1.42.0")),
        ({"event": "bundle", "sha256": "a1" * 32, "version": "1" * 33}, Progress(app_hash="a1" * 32)),
        ({"event": "bundle", "sha256": "a1" * 32, "version": "\x1b[2J"}, Progress(app_hash="a1" * 32)),
        ({"event": "bundle", "sha256": "a1"}, Progress()),
        ({"event": "waiting", "message": "for 5 nodes"}, Progress(waiting="for 5 nodes")),
        ({"event": "notice", "kind": "ModelSuspect", "message": "w"}, Progress(notices={"ModelSuspect": "w"})),
        ({"event": "ended", "result": "Metrics"}, Progress(result="Metrics")),
        (
            {"event": "round", "round": 0, "phase": "server", "metrics": {"accuracy": 0.1}},
            Progress(reported={"accuracy": 0.1}),
        ),
        (END, Progress(rounds_completed=1, seconds=6.0)),
        ({"event": "model", "start": 1, "round": 1}, Progress()),
        ({"event": "stopped", "reason": "QuorumLost", "message": "x"}, Progress()),
        ({"event": "stopped", "reason": "QuorumLost", "message": "x", "of a later version": []}, Progress()),
        ({"event": "something of a later version"}, Progress()),
        ({}, Progress()),
    ],
)
def test_what_each_record_changes(record: dict[str, object], expected: Progress) -> None:
    assert after(record) == expected


def test_replies_and_failures_are_told_while_a_phase_waits() -> None:
    waits = {
        "event": "waiting",
        "message": "waits for a",
        "replied": ["b", "no cluster!"],
        "failed": {"c": "OSError"},
        "messages": {"c": "x"},
    }
    progress = after(TRAIN, EVALUATE, END, waits)
    assert (progress.waiting, progress.replied) == ("waits for a", ["b"])
    assert progress.collaborators["c"] == CollaboratorProgress(round=2, failed=True, reason="OSError", message="x")
    recovered = {**TRAIN, "round": 2, "failed": {}, "collaborators": {"c": {"metrics": {}}}}
    progress = after(recovered, start=progress)
    assert (progress.waiting, progress.replied, progress.collaborators["c"].failed) == ("", [], False)


def test_only_the_first_announced_app_hash_counts() -> None:
    first, second = ({"event": "bundle", "sha256": digit * 64, "version": version} for digit, version in (("a", "1.42.0"), ("b", "1.41.0")))
    assert after(first, second) == Progress(app_hash="a" * 64, runtime_version="1.42.0")


def test_shared_text_is_truncated() -> None:
    progress = after({**TRAIN, "messages": {"c": "x" * 600}})
    assert progress.collaborators["c"] == CollaboratorProgress(round=1, failed=True, reason="ValueError", message="x" * 499 + "…")


def test_metrics_of_a_round_stay_until_the_next_is_complete() -> None:
    progress = after(TRAIN, EVALUATE, END)
    assert (progress.replies, progress.failures, progress.rounds_completed, progress.seconds) == (2, 1, 1, 6.0)
    assert progress.metrics == {"accuracy": 0.9, "loss": 0.5}
    assert progress.collaborators == {
        "a": CollaboratorProgress(round=1, seconds=1.5, metrics={"accuracy": 0.8, "loss": 0.4}),
        "b": CollaboratorProgress(round=1),
        "c": CollaboratorProgress(round=1, failed=True, reason="ValueError"),
    }
    later = after({**TRAIN, "round": 2, "metrics": {"loss": 0.3}, "failed": {}}, start=progress)
    assert later.metrics == {"loss": 0.5, "accuracy": 0.9}
    assert later.rounds_completed == 1
    assert after({**END, "round": 2}, start=later).metrics == {"loss": 0.3}  # the accuracy was not reported in this round
    assert after({**END, "round": 3}, start=later).metrics == {}
    assert later.collaborators["a"].metrics == {"loss": 0.4}  # only of round 2


def test_a_round_without_training_counts_the_replies_of_its_first_phase() -> None:
    evaluated = {**EVALUATE, "replies": 2, "failures": 1}
    assert (after(evaluated).replies, after(evaluated).failures) == (2, 1)
    server = {"event": "round", "round": 2, "phase": "server", "metrics": {"accuracy": 0.9}}
    assert (after(evaluated, END, server).replies, after(evaluated, {**TRAIN, "replies": 3}).replies) == (2, 3)


def test_a_cluster_that_replies_again_is_not_failed() -> None:
    again = {**TRAIN, "collaborators": {"c": {"seconds": 2.0, "metrics": {}}}, "failed": {}}
    assert after(TRAIN, again).collaborators["c"] == CollaboratorProgress(round=1, seconds=2.0)


def test_non_finite_numbers_and_long_names_are_dropped() -> None:
    metrics = {"nan": float("nan"), "text": "free text", "x" * 500: 1.0} | {f"m{n}": float(n) for n in range(100)}
    progress = after({"event": "round", "round": 1, "phase": "server", "metrics": metrics}, END)
    assert len(progress.metrics) == MAX_METRICS
    assert "nan" not in progress.metrics
    assert "text" not in progress.metrics
    assert max(map(len, progress.metrics)) == 64


def test_non_finite_metrics_are_text() -> None:
    words = {"a": "NaN", "b": "Infinity", "c": "-Infinity"}
    progress = after({**TRAIN, "metrics": words, "collaborators": {"a": {"metrics": words}}}, END)
    assert progress.metrics == progress.collaborators["a"].metrics == words
    assert Progress.model_validate_json(progress.model_dump_json(by_alias=True)) == progress


def test_the_last_notices_are_kept_and_a_wait_ends_with_the_next_round() -> None:
    notices = [{"event": "notice", "kind": f"k{n}", "message": str(n)} for n in range(20)]
    progress = after(*notices, {"event": "waiting", "message": "x"})
    assert list(progress.notices) == [f"k{n}" for n in range(12, 20)]
    assert (progress.waiting, after(TRAIN, start=progress).waiting) == ("x", "")


def test_texts_of_sites_are_printable() -> None:
    hostile = {
        **TRAIN,
        "metrics": {"loss\x1b[2J": 0.5},
        "collaborators": {"a": {"metrics": {"\u202eloss\ud800": 0.4}}, "no\ncluster": {"metrics": {}}, "x" * 300: {"metrics": {}}},
        "failed": {"c": "Value\nError"},
        "messages": {"c": "\0\ud800\nTraceback"},
    }
    progress = after(hostile, END)
    assert list(progress.metrics) == [name("loss\x1b[2J", 64)]
    assert progress.collaborators.keys() == {"a", "c"}
    assert progress.collaborators["a"].metrics == {name("\u202eloss\ud800", 64): 0.4}
    assert (progress.collaborators["c"].reason, progress.collaborators["c"].message) == (r"Value\nError", r"\x00\ud800\nTraceback")
    assert Progress.model_validate_json(progress.model_dump_json(by_alias=True)) == progress


def test_truncated_metric_names_stay_distinct() -> None:
    train, evaluate = "x" * 70 + "train", "x" * 70 + "evaluate"
    progress = after({**TRAIN, "metrics": {train: 1.0}}, {**EVALUATE, "metrics": {evaluate: 2.0}}, END)
    assert progress.metrics == {name(train, 64): 1.0, name(evaluate, 64): 2.0}
    assert len(progress.metrics) == 2


@pytest.mark.parametrize(
    "record",
    [
        {"event": "connected", "count": -1},
        {"event": "connected", "count": float("inf")},
        {"event": "connected", "count": 10**400},
        {"event": "connected", "count": "many"},
        {"event": "started"},
        {"event": "stopped", "reason": "of the app's own", "message": "x"},
        {**TRAIN, "phase": "of the app's own"},
        {**TRAIN, "failed": ["c"]},
        {**TRAIN, "metrics": [1]},
        {**TRAIN, "collaborators": {"a": 1}},
        {**TRAIN, "round": None},
    ],
)
def test_a_foreign_record_is_recognized(record: dict[str, object]) -> None:
    with pytest.raises(InvalidRecordError):
        after(record)


def test_numbers_beyond_a_double_are_left_out() -> None:
    assert after({**TRAIN, "metrics": {"huge": 10**400, "loss": 0.5}, "seconds": 10**400}, END).metrics == {"loss": 0.5}
    assert after({**END, "seconds": float("inf")}).seconds is None


def test_the_bound_keeps_failed_clusters() -> None:
    many = {f"c{n:04}": CollaboratorProgress(failed=n >= 4990) for n in range(5000)}
    kept = bounded(Progress(collaborators=many)).collaborators
    assert len(kept) == MAX_COLLABORATORS
    assert sum(c.failed for c in kept.values()) == 10


def test_reading_again_gives_the_same_result() -> None:
    records = [{"event": "connected", "count": 2}, {"event": "started", "rounds": 1}, TRAIN, EVALUATE, END]
    assert after(*records, *records) == after(*records)


def test_the_largest_number_of_rounds_can_be_reported():
    found = fold(Progress(), {"event": "started", "rounds": 2**63 - 1}).model_dump_json(by_alias=True)
    assert Progress.model_validate_json(found).rounds_total == 2**63 - 1


def test_an_evaluation_does_not_clear_a_failed_training():
    train = {"event": "round", "round": 2, "phase": "train", "replies": 1, "failures": 1, "failed": {"c1": "ArraysDiffer"}, "metrics": {}}
    evaluate = {"event": "round", "round": 2, "phase": "evaluate", "collaborators": {"c1": {"metrics": {"accuracy": 1.0}}}, "metrics": {}}
    progress = fold(fold(Progress(), train), evaluate)
    assert (progress.collaborators["c1"].failed, progress.collaborators["c1"].reason) == (True, "ArraysDiffer")
    again = fold(progress, {**train, "failed": {}, "failures": 0, "collaborators": {"c1": {"metrics": {}}}})
    assert not again.collaborators["c1"].failed  # the training was repeated
    assert not fold(progress, {**evaluate, "round": 3}).collaborators["c1"].failed


PRIVATE = Progress(updates=UpdateCounts())


def spent(progress: Progress) -> dict[str, int]:
    assert progress.updates is not None
    return progress.updates.by_cluster()


def test_updates_count_from_when_they_are_asked_for() -> None:
    asked = {"event": "updates", "asked": ["a", "b", "a"]}
    assert spent(after(asked, start=PRIVATE)) == {"a": 2, "b": 1}
    assert spent(after(asked, {"event": "updates", "without": ["a"]}, asked, start=PRIVATE)) == {"a": 3, "b": 2}
    assert spent(after({"event": "updates", "without": ["c"]}, start=PRIVATE)) == {"c": 0}
    assert after(asked).updates is None  # the run is not private


def test_updates_of_lost_aggregators_count_and_one_more_for_each() -> None:
    before = Progress(attempt="1", updates=UpdateCounts(own={"a": 2, "b": 1}))
    counts = UpdateCounts(own={"a": 1}).followed(UpdateCounts(own={"a": 2, "b": 1}))
    assert counts.by_cluster() == {"a": 4, "b": 2}
    assert counts.followed(UpdateCounts(own={"a": 1})) == counts  # from an older place
    assert counts.followed(counts).lost == 2
    own = Progress(attempt="2", updates=UpdateCounts(own={"a": 1}))
    assert spent(resumed(own, before, 1)) == {"a": 4, "b": 2}
    assert resumed(Progress(attempt="2"), before, 1).updates is None
