"""The records of the rounds of a job."""

from __future__ import annotations

from panal.pod.tools.flare.journal import Journal, camel, numbers, phase


def test_a_round_ends_with_the_next() -> None:
    journal = Journal()
    assert journal.begin(1, 10.0) == []
    for cluster in ("a", "b", "c", "d"):
        journal.assigned(f"1-{cluster}", "train", cluster, 11.0)
    journal.replied("1-a", "a", "OK", True, {"loss": 0.5}, 13.0)
    journal.replied("1-b", "b", "EXECUTION_EXCEPTION", True, {}, 13.0)
    journal.replied("1-c", "c", "OK", False, {}, 13.0)
    journal.metrics = {"loss": 0.4}
    assert (journal.trained, journal.completed) == (1, 0)
    train, end = (record.content() for record in journal.begin(2, 15.0))
    assert train == {
        "event": "round",
        "round": 1,
        "phase": "train",
        "replies": 1,
        "failures": 3,
        "collaborators": {"a": {"seconds": 2.0, "metrics": {"loss": 0.5}}},
        "failed": {"b": "ExecutionException", "c": "ReplyInvalid", "d": "NoReply"},
        "metrics": {"loss": 0.4},
    }
    assert end == {"event": "round", "round": 1, "phase": "end", "seconds": 5.0}
    assert (journal.completed, journal.history) == (1, {"train": {1: {"loss": 0.4}}})
    assert journal.end(16.0) == []


def test_the_first_result_of_a_task_counts_and_only_in_its_round() -> None:
    journal = Journal()
    journal.begin(1, 0.0)
    for cluster in ("a", "b"):
        journal.assigned(f"1-{cluster}", "train", cluster, 0.0)
    journal.replied("1-a", "a", "OK", True, {"loss": 0.5}, 1.0)
    journal.replied("1-a", "a", "EXECUTION_EXCEPTION", True, {}, 2.0)  # again
    journal.replied("1-b", "a", "OK", True, {}, 2.0)  # the task of another cluster
    journal.replied("other", "c", "OK", True, {}, 2.0)  # a task that nobody has got
    train, _ = (record.content() for record in journal.begin(2, 3.0))
    assert (list(train["collaborators"]), train["failed"]) == (["a"], {"b": "NoReply"})
    journal.assigned("2-a", "train", "a", 3.0)
    journal.replied("1-b", "b", "OK", True, {}, 4.0)  # late
    train, _ = (record.content() for record in journal.end(5.0))
    assert (train["collaborators"], train["failed"]) == ({}, {"a": "NoReply"})
    assert journal.completed == 1


def test_a_round_that_failed_has_no_end() -> None:
    journal = Journal()
    journal.begin(1, 0.0)
    journal.assigned("1", "train", "a", 0.0)
    journal.replied("1", "a", "OK", True, {}, 0.5)
    assert [record.content()["phase"] for record in journal.end(1.0, complete=False)] == ["train"]
    assert (journal.trained, journal.completed) == (1, 0)


def test_a_workflow_without_rounds_has_one_with_a_phase_for_each_task() -> None:
    journal = Journal()
    for number, task in enumerate(("submit_model", "validate")):
        journal.assigned(str(number), task, "a", 0.0)
        journal.replied(str(number), "a", "OK", True, {"auc": 1.0}, 1.0)
    assert [(each.content()["round"], each.content()["phase"]) for each in journal.end(3.0)] == [
        (1, "submit-model"),
        (1, "validate"),
        (1, "end"),
    ]


def test_names_and_numbers_of_flare_become_those_of_records() -> None:
    assert [phase(name) for name in ("train", "Cross_Val", "end", "1st", "")] == ["train", "cross-val", "query", "query", "query"]
    assert [camel(code) for code in ("BAD_TASK_DATA", "_", "x" * 99)] == ["BadTaskData", "ReplyInvalid", "X" + "x" * 63]
    found = numbers({"a": 1, "b": "x", "c": float("nan"), "d": float("inf"), "e": -float("inf"), "f": [1]})
    assert found == {"a": 1.0, "c": "NaN", "d": "Infinity", "e": "-Infinity"}
    assert numbers(None) == {}
