"""How the hook handles replies that make a strategy raise, with strategies and grids of the test."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from panal.pod.tools.codes import MAX_METRIC_NAME
from panal.pod.tools.files import RunError, read_records
from panal.pod.tools.flower import trees
from panal.pod.tools.flower.aggregation import strategy_rules
from panal.pod.tools.flower.environment import append_node
from panal.pod.tools.flower.judge import Description
from panal.pod.tools.flower.methods import Method
from panal.pod.tools.flower.part import Part
from panal.pod.tools.flower.replies import MessageResult, in_order, numbers
from panal.pod.tools.flower.robust import Robust
from panal.pod.tools.flower.server_hook import Observation


class Trees:
    """Like Flower's strategy for trees: raises at an invalid tree, after it has aggregated those before."""

    def __init__(self) -> None:
        self.forest: list[int] = []

    def aggregate_train(self, server_round: int, replies: Any) -> Any:
        for reply in replies:
            self.forest.append(int(reply.tree))
        return sum(self.forest), {}

    def aggregate_evaluate(self, server_round: int, replies: Any) -> Any:
        return {}

    configure_train = configure_evaluate = aggregate_evaluate


@dataclass
class Reply:
    tree: str
    node: int

    @property
    def metadata(self) -> Any:
        return SimpleNamespace(src_node_id=self.node, reply_to_message_id=str(self.node))

    def has_error(self) -> bool:
        return False


def observed(run_dir: Path, monkeypatch: pytest.MonkeyPatch, *, module: str, minimum: int = 1) -> tuple[Observation, list[Any]]:
    monkeypatch.setattr("panal.pod.tools.flower.watch._watch", None)  # one per process
    monkeypatch.setenv("PANAL_RUN_DIR", str(run_dir))
    monkeypatch.setenv("PANAL_MIN_CLIENTS", str(minimum))
    for kind in ("train", "evaluate"):
        monkeypatch.setattr(getattr(Trees, f"aggregate_{kind}"), "__module__", module)
    grid = SimpleNamespace(push_messages=None, pull_messages=None, get_node_ids=None)
    observation = Observation(Trees(), {"grid": grid, "evaluate_fn": None, "num_rounds": 1}, lambda: None)
    replies = [Reply("1", 11), Reply("no tree", 22), Reply("5", 33)]
    for reply in replies:
        append_node(reply.node, f"c{reply.node}")
    observation.exchange.got = {str(reply.node): Description({}, {}, {}) for reply in replies}
    observation.phase.sent = observation.phase.replies = 3
    observation.phase.collaborators = {f"c{reply.node}": {} for reply in replies}
    observation.last = 1
    return observation, replies


def test_a_reply_that_makes_flowers_strategy_raise_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    observation, replies = observed(tmp_path, monkeypatch, module="flwr.serverapp.strategy.trees")
    assert observation.aggregate_train(1, replies)[0] == 6
    assert observation.strategy.forest == [1, 5]  # replies aggregated before it raised do not count twice
    assert observation.phase.failed == {"c22": "ReplyInvalid"}
    assert (observation.phase.replies, sorted(observation.phase.collaborators)) == (2, ["c11", "c33"])
    assert "ValueError" in observation.phase.messages["c22"]
    assert [r.content()["failed"] for r in read_records()] == [{"c22": "ReplyInvalid"}]


def test_an_apps_own_strategy_may_raise(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    observation, replies = observed(tmp_path, monkeypatch, module="app.strategy")
    with pytest.raises(ValueError, match="no tree"):
        observation.aggregate_train(1, replies)
    assert observation.phase.failed == {}


def test_a_reply_that_makes_the_model_non_finite_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    observation, _ = observed(tmp_path, monkeypatch, module="flwr.serverapp.strategy.trees")
    replies = [Reply("1", 11), Reply("-1", 22), Reply("5", 33)]
    monkeypatch.setitem(observation.methods, "aggregate_train", lambda _round, given: ({"w": array(*(float(r.tree) for r in given))}, {}))
    monkeypatch.setattr("panal.pod.tools.flower.aggregation.not_finite", lambda each: -1 in each)
    assert observation.aggregate_train(1, replies)[0] == {"w": array(1, 5)}
    assert observation.phase.failed == {"c22": "ReplyInvalid"}
    observation.phase.failed.clear()
    assert observation.aggregate_train(1, [*replies, Reply("-1", 44)])[0] == {"w": array(1, -1, 5, -1)}  # two causes: unchanged
    assert observation.phase.failed == {}


def test_neither_of_two_replies_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The strategy succeeds without either of them, so the cause is unknown."""
    observation, replies = observed(tmp_path, monkeypatch, module="flwr.serverapp.strategy.trees")
    with pytest.raises(ValueError, match="no tree"):
        observation.aggregate_train(1, replies[:2])
    assert observation.phase.failed == {}


def test_too_few_updates_for_a_method_of_aggregation_are_a_lost_quorum(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    observation, replies = observed(tmp_path, monkeypatch, module="flwr.serverapp.strategy.trees")
    observation.robust, observation.training = Robust(Method.MEDIAN, 3), True
    updates = [SimpleNamespace(metadata=each.metadata, content=None, has_error=bool, has_content=lambda: True) for each in replies]
    with pytest.raises(RunError, match="3 of 3 collaborators sent an update, 7 needed by Median with 3 Byzantine clients") as error:
        observation.aggregate_train(1, updates)
    assert error.value.reason == "QuorumLost"
    assert observation.strategy.forest == []


def array(*numbers: float) -> tuple[float, ...]:
    return numbers


def test_no_reply_is_refused_if_that_does_not_help(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    observation, replies = observed(tmp_path, monkeypatch, module="flwr.serverapp.strategy.trees")
    with pytest.raises(ValueError, match="no tree"):
        observation.aggregate_train(1, [*replies, Reply("no tree either", 44)])
    assert observation.phase.failed == {}


def test_a_wrapped_strategy_has_the_weight_of_the_inner_one() -> None:
    inner = Trees()
    outer = Trees()
    vars(inner)["weighted_by_key"], vars(outer)["strategy"] = "n", inner
    assert (strategy_rules(inner).weighted_by, strategy_rules(outer).weighted_by, strategy_rules(Trees()).weighted_by) == ("n", "n", "")


class Content(dict[str, dict[str, int]]):
    @property
    def array_records(self) -> dict[str, dict[str, int]]:
        return dict(self)


@pytest.mark.parametrize(
    ("orders", "expected"),
    [
        (["ab", "ba", "ab"], ["ab", "ab", "ab"]),
        (["ba", "ba", "ab"], ["ba", "ba", "ba"]),
        (["ba", "ab"], ["ab", "ab"]),  # no majority: by name
        (["ab", "abc", "ba", "ab"], ["ab", "abc", "ab", "ab"]),
    ],
)
def test_arrays_get_the_order_of_the_majority(orders: list[str], expected: list[str]) -> None:
    contents = {str(i): Content(r=dict.fromkeys(order, i)) for i, order in enumerate(orders)}
    in_order(contents, {key: Description({("r", n): "" for n in each["r"]}, {}, {}) for key, each in contents.items()})
    assert ["".join(each["r"]) for each in contents.values()] == expected
    assert all(set(each["r"].values()) == {int(key)} for key, each in contents.items())


def test_names_of_metrics_are_bounded() -> None:
    assert numbers({"x" * 10_000_000: 1.0}) == {"x" * MAX_METRIC_NAME: 1.0}


def model(*classes: int) -> bytes:
    return json.dumps({"learner": {"gradient_booster": {"model": {"tree_info": classes}}}}).encode()


@pytest.mark.parametrize(
    ("before", "sent", "after", "words"),
    [
        ((), [(0,), (0,)], (0, 0), ""),
        ((0,), [(0, 0), (0, 0)], (0, 0, 0), "2 of the 4 trees that the sites sent are not in the model"),
        ((), [(0, 1, 2), (0, 1, 2)], (0, 1, 2, 0), "2 of the 6 trees that the sites sent are not in the model"),
        (
            (),
            [(0, 1), (0, 1)],
            (0, 1, 2),
            "1 of the 4 trees that the sites sent are not in the model; 1 trees of the sites are in the model under another class",
        ),
        ((0, 1, 2), [(0, 1, 2)], (0, 1, 2, 0, 0, 0), "2 trees of the sites are in the model under another class"),
    ],
)
def test_lost_trees_are_counted(before: Any, sent: Any, after: Any, words: str) -> None:
    counted = [trees.count_by_class(model(*each) if each else b"") for each in (before, after, *sent)]
    assert None not in counted
    assert trees.lost(counted[0], counted[2:], counted[1]) == words  # type: ignore[arg-type]


def test_only_xgboost_models_in_json_are_counted() -> None:
    assert [trees.count_by_class(each) for each in (b"{L", b"[]", b"{}", b'{"learner": 1}')] == [None] * 4
    bagging = type("FedXgbBagging", (), {})
    assert trees.is_bagging(type("Own", (bagging,), {})())
    assert not trees.is_bagging(Trees())


def test_a_reply_that_is_never_polled_for_is_no_failure() -> None:
    came = MessageResult("", "", {"metrics": {}})
    part = Part("train", results={1: came, 2: None, 3: None}, polled={1, 2})
    part.give_up()
    assert part.results == {1: came, 2: MessageResult()}
