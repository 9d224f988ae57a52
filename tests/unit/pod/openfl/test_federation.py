"""What the guard of OpenFL's Aggregator does with results, against an Aggregator that keeps what matters here."""

from __future__ import annotations

from queue import Queue
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import pytest

from panal.pod.tools.openfl import federation as module
from panal.pod.tools.openfl.assignment import Assignment, EndingPolicy
from panal.pod.tools.openfl.federation import FAILED, Federation
from panal.pod.tools.openfl.replies import TENSORS, Rules, Tensor
from panal.pod.tools.openfl.sites import Sites

TASKS = ["validate", "train"]
METRIC, TRAINED = frozenset({"metric"}), frozenset({"trained"})


class Key(NamedTuple):
    tensor_name: str
    origin: str


class Agg:
    """As OpenFL's Aggregator: takes results, and ends a round for the collaborators that are done."""

    uuid, round_number, rounds_to_train = "agg", 0, 1

    def __init__(self, policy: EndingPolicy) -> None:
        self.authorized_cols: list[str] = []
        self.collaborators_done: list[str] = []
        self.metric_queue: Queue[Any] = Queue()
        self.has: dict[str, list[str]] = {}
        self.aggregated: list[list[str]] = []
        self.broken = False
        self.tensor_db = SimpleNamespace(get_tensors_by_round_and_tags=self.tensors)
        policy.start_policy(self.end)

    def tensors(self, *_: Any) -> dict[Any, Any]:
        return {Key("w", "agg"): np.zeros(3)}

    def send_local_task_results(self, cluster: str, number: int, task: str, size: int, tensors: Any) -> None:
        if self.broken:
            raise ValueError("OpenFL")
        self.has.setdefault(cluster, []).append(task)
        if sorted(self.has[cluster]) == sorted(TASKS):
            self.collaborators_done.append(cluster)

    def end(self) -> None:
        self.aggregated.append(self.collaborators_done)
        self.round_number, self.collaborators_done, self.has = self.round_number + 1, [], {}


@pytest.fixture
def fed(monkeypatch: pytest.MonkeyPatch) -> Federation:
    monkeypatch.setattr(module, "decoded", lambda _, tensor: tensor)
    policy, sites = EndingPolicy(), Sites()
    found = Federation(Agg(policy), policy, Assignment(TASKS, {}, lambda: sites.participants or ()), sites, Rules())
    found.admit(frozenset({"a", "b", "c"}))
    found.begin_round(5)
    return found


def send(fed: Federation, cluster: str, task: str, metric: str = "loss", size: int = 10, tensors: Any = None) -> None:
    number = fed.agg.round_number
    own = [Tensor(metric, number, True, METRIC, np.array(0.5))]
    own += [Tensor("w", number, False, TRAINED, np.zeros(3))] if task == "train" else []
    fed.results(cluster, SimpleNamespace(round_number=number, task_name=task, data_size=size, tensors=own if tensors is None else tensors))


def complete(fed: Federation, *clusters: str, metric: str = "loss", size: int = 10) -> None:
    for cluster in clusters:
        for task in TASKS:
            send(fed, cluster, task, metric, size)


def test_the_first_reply_does_not_decide_which_names_count(fed: Federation) -> None:
    complete(fed, "c", metric="other")
    complete(fed, "a", "b")
    assert fed.done() == {"a", "b", "c"}
    assert fed.settle() is False
    assert (fed.done(), fed.sites.failed()) == ({"a", "b"}, {"c": "MetricsDiffer"})
    assert fed.settle() is True
    outcome = fed.end_round(fed.sites.failed(), 5)
    assert (outcome.done, outcome.training, fed.agg.aggregated) == ({"a", "b"}, {"train"}, [["a", "b"]])


def test_a_site_alone_in_a_round_does_not_decide_for_later_ones(fed: Federation) -> None:
    complete(fed, "c", metric="other")
    assert fed.settle() is True
    fed.end_round({}, 5)
    fed.begin_round(5)
    complete(fed, "c", metric="other")
    complete(fed, "a", "b")
    assert (fed.settle(), fed.sites.failed()) == (False, {"c": "MetricsDiffer"})


def test_without_a_majority_the_names_of_the_last_round_count(fed: Federation) -> None:
    complete(fed, "a", "b")
    assert fed.settle()
    fed.end_round({}, 5)
    fed.begin_round(5)
    complete(fed, "c", metric="other")
    complete(fed, "a")
    assert (fed.settle(), fed.sites.failed()) == (False, {"c": "MetricsDiffer"})


def test_results_that_openfl_refuses_and_incomplete_ones_decide_nothing(fed: Federation) -> None:
    fed.agg.broken = True
    send(fed, "a", "train", "other")
    fed.agg.broken = False
    send(fed, "c", "train", "other")
    complete(fed, "b")
    assert (fed.done(), fed.sites.failed(), fed.settle()) == ({"b"}, {"a": "ReplyInvalid"}, True)
    send(fed, "c", "validate")  # the round is settled
    assert fed.done() == {"b"}


def test_the_first_results_of_a_site_for_a_task_count(fed: Federation) -> None:
    complete(fed, "a", "b")
    send(fed, "a", "train", "other")
    assert (fed.settle(), fed.agg.has["a"]) == (True, TASKS)


def test_a_failure_of_a_site_that_has_completed_all_tasks_is_ignored(fed: Federation, capsys: pytest.CaptureFixture[str]) -> None:
    complete(fed, "a")
    send(fed, "a", FAILED)
    send(fed, "b", FAILED, tensors=[SimpleNamespace(name="ValueError")])
    assert (fed.done(), fed.sites.failed()) == ({"a"}, {"b": "ValueError"})
    assert "round 1: a failed after it had completed all tasks, which is ignored: " in capsys.readouterr().out


def test_sites_of_which_none_has_data_for_a_task_have_no_part(fed: Federation) -> None:
    complete(fed, "a", "b", size=0)
    assert (fed.settle(), fed.done()) == (False, set())
    assert fed.sites.failed() == {"a": "WeightInvalid", "b": "WeightInvalid"}
    complete(fed, "c")
    assert (fed.settle(), fed.done()) == (True, {"c"})


def test_the_number_of_tensors_is_checked_before_they_are_decoded(fed: Federation, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "decoded", lambda *_: pytest.fail("decoded"))
    send(fed, "a", "train", tensors=[None] * (TENSORS + 5))
    assert fed.sites.failed() == {"a": "ReplyInvalid"}
