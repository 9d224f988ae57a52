"""The table of an evaluation: fairness, worst site, and what hostile numbers do to it."""

from __future__ import annotations

import asyncio
import json
import math
import random
from pathlib import Path
from typing import Any

import pytest

from panal.api.progress import Progress
from panal.api.types import Evaluation, EvaluationStatus, Goal, InitialModelStatus
from panal.pod.evaluation import goal, headline, read, summary
from panal.pod.evaluator import Evaluator
from panal.pod.progress_map import ProgressMap
from panal.pod.settings import Settings
from panal.pod.state import State
from panal.pod.storing import Place
from panal.pod.tools.flower.evaluation import averages
from panal.pod.tools.records import Reply
from reporting import ConfigMap, Gateway

ANY = Evaluation()


def site(accuracy: Any = None, local: Any = None, examples: Any = 10, **more: Any) -> dict[str, Any]:
    found = dict(more)
    if accuracy is not None:
        found["global"] = {"accuracy": accuracy, "num-examples": examples}
    if local is not None:
        found["local"] = {"accuracy": local, "num-examples": examples}
    return found


def judged(wanted: Evaluation = ANY, **sites: Any) -> EvaluationStatus:
    return summary(read({"sites": sites}), wanted)


def test_the_worst_site_and_the_spread_are_those_of_the_sites_and_not_of_the_average() -> None:
    found = judged(a=site(0.9, 0.8, 1000), b=site(0.8, 0.85, 10), c=site(0.4, 0.3, 10))
    assert (found.metric, found.goal, found.sites, found.examples) == ("accuracy", Goal.MAXIMIZE, 3, 1020)
    assert (found.worst_site, found.worst) == ("c", 0.4)
    assert found.spread == pytest.approx(0.5)
    assert found.standard_deviation == pytest.approx(math.sqrt((0.2**2 + 0.1**2 + 0.3**2) / 3))
    assert found.weighted_mean == pytest.approx((900 + 8 + 4) / 1020)
    assert (found.better, found.compared) == (2, 3)
    assert [(row.cluster, round(row.difference or 0, 3)) for row in found.table] == [("c", 0.1), ("b", -0.05), ("a", 0.1)]


@pytest.mark.parametrize(
    ("metric", "wanted", "towards"),
    [
        ("accuracy", ANY, Goal.MAXIMIZE),
        ("val_loss", ANY, Goal.MINIMIZE),
        ("rmse", ANY, Goal.MINIMIZE),
        ("Mean Absolute Error", ANY, Goal.MINIMIZE),
        ("loss", Evaluation(goal=Goal.MAXIMIZE), Goal.MAXIMIZE),
        ("recall", Evaluation(goal=Goal.MINIMIZE), Goal.MINIMIZE),
    ],
)
def test_the_goal_follows_from_the_name_unless_it_is_set(metric: str, wanted: Evaluation, towards: Goal) -> None:
    assert goal(metric, wanted) is towards


def test_a_lower_loss_is_better() -> None:
    found = judged(a={"global": {"loss": 1.0}, "local": {"loss": 2.0}}, b={"global": {"loss": 3.0}, "local": {"loss": 2.0}})
    assert (found.worst_site, found.better, found.compared, found.goal) == ("b", 1, 2, Goal.MINIMIZE)
    assert (found.weighted_mean, found.examples) == (None, 0)  # no site says how many examples


def test_an_equal_model_is_not_better() -> None:
    assert judged(a=site(0.5, 0.5)).better == 0


def test_the_headline_is_chosen_as_that_of_a_run() -> None:
    sites = read({"sites": {"a": {"global": {"zeta": 1, "auc": 1, "accuracy": 1}}, "b": {"global": {"alpha": 1}}}})
    assert headline(sites, ANY) == "accuracy"
    assert headline(sites, Evaluation(metric="zeta")) == "zeta"
    assert headline([], ANY) == ""


def test_sites_without_a_value_come_first_with_the_reason() -> None:
    found = judged(
        a=site(0.9),
        b=site("NaN"),
        c={"failed": "TooFewExamples"},
        d={"global": {"other": 1.0}},
        e=site(0.5, localFailed="ValueError"),
    )
    assert [(row.cluster, row.reason) for row in found.table] == [
        ("b", "MetricNotFinite"),
        ("c", "TooFewExamples"),
        ("d", "MetricNotReported"),
        ("e", "ValueError"),
        ("a", ""),
    ]
    assert (found.sites, found.without, found.worst_site, found.compared) == (2, 3, "e", 0)


def test_no_site_at_all() -> None:
    found = judged()
    assert (found.sites, found.worst_site, found.worst, found.spread, found.standard_deviation, found.table) == (
        0,
        "",
        None,
        None,
        None,
        [],
    )


@pytest.mark.parametrize("examples", ["NaN", -1, 2.0**60, True, [1], None, "many"])
def test_a_number_of_examples_that_is_none_does_not_count(examples: Any) -> None:
    found = judged(a=site(0.9, examples=examples), b=site(0.5, examples=4))
    assert (found.examples, found.weighted_mean, found.sites) == (4, 0.5, 2)
    assert next(row.examples for row in found.table if row.cluster == "a") is None


def test_names_and_numbers_of_a_hostile_site_are_bounded() -> None:
    huge = {f"\x1b[31m{number}" * 50: 1e308 * number for number in range(1000)}
    found = judged(a={"global": {**huge, "accuracy": 1e308}, "local": {"accuracy": -1e308}}, b=site(-1e308), **{"../c": site(0.5)})
    text = found.model_dump_json()
    assert "\x1b" not in text
    assert len(text) < 5000
    assert {row.cluster for row in found.table} == {"a", "b"}
    json.dumps(found.model_dump(mode="json"), allow_nan=False)


@pytest.mark.parametrize("content", [[], {}, {"sites": 7}, {"sites": {"a": 7}}, {"sites": None}])
def test_what_is_no_evaluation_is_refused(content: Any) -> None:
    with pytest.raises(ValueError, match="cannot be read"):
        read(content)


def test_the_status_holds_for_any_numbers() -> None:
    chance = random.Random(5)
    for _ in range(200):
        values = [chance.choice([chance.uniform(-1, 1), chance.uniform(-1e279, 1e279), "NaN", "Infinity", None]) for _ in range(8)]
        found = judged(**{f"s{n}": site(value, chance.random(), chance.choice([0, 1, 10**9])) for n, value in enumerate(values)})
        numbers = [value for value in values if isinstance(value, float)]
        assert found.sites + found.without == 8
        assert found.sites == len(numbers)
        if numbers:
            assert found.worst == min(numbers)
            assert found.spread is not None
            assert 0 <= (found.standard_deviation or 0) <= found.spread
        json.dumps(found.model_dump(mode="json"), allow_nan=False)


def evaluator(tmp_path: Path, content: str) -> tuple[Evaluator, list[bool]]:
    """With what the hook has written; and for each time that something is published, whether the table is there."""
    (tmp_path / "run").mkdir()
    (tmp_path / "run/evaluation.json").write_text(content)
    published: list[bool] = []
    place = Place(tmp_path / "place", "pvc://models/x")
    settings = Settings(tmp_path / "run", place, {"name": "digits"}, "job-1", evaluation=ANY)
    state = State(Progress(initial_model=InitialModelStatus(uri="pvc://a/m.safetensors", digest="sha256:1")))
    progress_map = ProgressMap(state, Gateway(), ConfigMap(), tmp_path / "run/rounds", tmp_path / "run/spent.json")
    publish = lambda: published.append((place.folder / "evaluation.json").exists())  # noqa: E731
    return Evaluator(settings, state, progress_map, publish, (tmp_path / "run/storing").touch), published


async def evaluated(made: Evaluator) -> None:
    """Runs it, with a hub that can be reached."""
    task = asyncio.create_task(made.run(asyncio.Event()))
    while not task.done():
        await made.progress_map.sync()
        await asyncio.sleep(0.01)
    await task


def test_an_average_that_is_not_finite_is_left_out() -> None:
    replies: list[Reply] = [{"metrics": {"loss": 1e308, "accuracy": 0.5, "num-examples": 1000}}, {"metrics": {"num-examples": 1000}}]
    assert averages(replies) == {"accuracy": 0.5}


async def test_the_status_has_fifty_sites_and_the_file_has_all(tmp_path: Path) -> None:
    made, published = evaluator(tmp_path, json.dumps({"sites": {f"s{n:03}": site(n / 1000, n / 2000) for n in range(300)}}))
    await evaluated(made)
    status = made.state.progress.evaluation
    assert status is not None
    assert (status.sites, len(status.table), status.table[0].cluster, status.worst_site) == (300, 50, "s000", "s000")
    document = json.loads((tmp_path / "place/evaluation.json").read_text())
    assert len(document["table"]) == 300
    assert document["model"]["digest"] == "sha256:1"
    assert published == [True]
    assert json.loads((tmp_path / "run/evaluated.json").read_text()) == {"uri": "pvc://models/x/evaluation.json"}
    Progress.model_validate_json(made.state.text())


async def test_the_answer_waits_until_the_hub_knows_the_table(tmp_path: Path) -> None:
    made, published = evaluator(tmp_path, json.dumps({"sites": {"a": site(0.5)}}))
    await made.progress_map.sync()
    mark, answer = tmp_path / "run/storing", tmp_path / "run/evaluated.json"
    task = asyncio.create_task(made.run(asyncio.Event()))
    async with asyncio.timeout(20):
        while not mark.exists():  # it waits, and says so
            await asyncio.sleep(0.01)
        assert published == [True]
        assert not answer.exists()
        await made.progress_map.sync()
        await task
    assert json.loads(answer.read_text()) == {"uri": "pvc://models/x/evaluation.json"}


async def test_without_the_hub_the_answer_comes_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("panal.pod.progress_map.HUB_TIMEOUT", 0.0)
    made, _ = evaluator(tmp_path, json.dumps({"sites": {"a": site(0.5)}}))
    await made.run(asyncio.Event())
    assert (tmp_path / "run/evaluated.json").exists()


async def test_what_cannot_be_read_is_answered_with_the_reason(tmp_path: Path) -> None:
    made, published = evaluator(tmp_path, '{"sites": 7}')
    await made.run(asyncio.Event())
    assert made.state.progress.evaluation is None
    assert published == []
    assert "could not be written to pvc://models/x: the evaluation cannot be read" in (tmp_path / "run/evaluated.json").read_text()
