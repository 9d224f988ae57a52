"""Runs that evaluate a model at the sites."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from panal.api.types import EvaluationStatus, Phase, SiteEvaluation, Status
from panal.lifecycle import diagnosis
from panal.lifecycle.aggregator import objects
from panal.lifecycle.decide import decide, evaluated
from panal.lifecycle.support import unsupported
from panal.lifecycle.world import Object, Run
from worlds import MODEL, NOW, done, fresh, progress, run, running, seen

EVALUATED = EvaluationStatus(
    uri="pvc://models/evaluation.json",
    digest="sha256:1",
    metric="accuracy",
    goal="Maximize",
    sites=3,
    examples=30,
    worst_site="cluster2",
    worst=0.7123,
    spread=0.21,
    standard_deviation=0.1,
    weighted_mean=0.8,
    compared=3,
    better=2,
    table=[SiteEvaluation(cluster="cluster2", examples=10, global_model={"accuracy": 0.7123})],
)


def evaluating(**spec: Any) -> Run:
    return run(mode="Evaluate", server={"initialModel": {"uri": "pvc://x/model.safetensors"}}, **spec)


def env(container: Object) -> dict[str, str]:
    return {each["name"]: each.get("value", "") for each in container["env"]}


@pytest.mark.parametrize(
    ("spec", "rounds", "wanted"),
    [
        ({}, "1", {"localRounds": 1, "metric": "", "goal": None}),
        ({"evaluation": {"localRounds": 0, "metric": "auc"}}, "0", {"localRounds": 0, "metric": "auc", "goal": None}),
        ({"evaluation": {"goal": "Minimize"}}, "1", {"localRounds": 1, "metric": "", "goal": "Minimize"}),
    ],
)
def test_the_containers_know_what_to_compare(spec: dict[str, Any], rounds: str, wanted: dict[str, Any]) -> None:
    (job,) = (each for each in objects(fresh(run=evaluating(**spec)), []) if each["kind"] == "Job")
    containers = {each["name"]: each for each in job["spec"]["template"]["spec"]["initContainers"]}
    superlink, reporter = env(containers["superlink"]), env(containers["reporter"])
    assert (superlink["PANAL_MODE"], superlink["PANAL_LOCAL_ROUNDS"], superlink["PANAL_WARM_START"]) == ("Evaluate", rounds, "true")
    assert json.loads(reporter["PANAL_EVALUATION"]) == wanted


def test_a_training_knows_nothing_of_it() -> None:
    (job,) = (each for each in objects(fresh(), []) if each["kind"] == "Job")
    names = {name for each in job["spec"]["template"]["spec"]["initContainers"] for name in env(each)}
    assert not names & {"PANAL_MODE", "PANAL_LOCAL_ROUNDS", "PANAL_EVALUATION", "PANAL_WARM_START", "PANAL_INITIAL_MODEL"}


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"mode": "Evaluate"}, "spec.server.initialModel: required with mode Evaluate"),
        ({"mode": "Evaluate", "framework": "openfl"}, "spec.mode: Evaluate is not possible with framework openfl"),
    ],
)
def test_what_cannot_be_is_refused_with_the_field(spec: dict[str, Any], words: str) -> None:
    found = unsupported("digits", run(**spec).spec)
    assert found is not None
    assert found.message.startswith(words)


@pytest.mark.parametrize(
    ("spec", "fields"),
    [
        ({"result": "Model"}, "spec.result"),
        ({"result": "Files"}, "spec.result"),
        ({"validation": {"image": "a:1"}}, "spec.validation"),
        ({"publish": {"mlflow": {"uri": "https://mlflow.example.com", "name": "digits"}}}, "spec.publish"),
        ({"result": "Model", "validation": {"image": "a:1"}, "publish": {}}, "spec.result, spec.validation, spec.publish"),
    ],
)
def test_what_needs_a_model_is_refused_with_its_fields(spec: dict[str, Any], fields: str) -> None:
    found = unsupported("digits", evaluating(**spec).spec)
    assert found is not None
    assert found.reason == "InvalidSpec"
    assert found.message.startswith(f"{fields}: not with mode Evaluate, which produces only metrics; remove this")
    assert unsupported("digits", run(**spec).spec) is None


def test_no_result_may_be_asked_for() -> None:
    assert unsupported("digits", evaluating(result="None").spec) is None


def test_a_completed_evaluation_says_how_it_is_at_the_worst_site() -> None:
    world = done(run=evaluating(), progress=progress(evaluation=EVALUATED, result="Metrics", model=None))
    plan = decide(world, NOW)
    assert plan.status is not None
    assert plan.status.phase is Phase.COMPLETED
    assert {c.type: c.reason for c in plan.status.conditions}["Complete"] == "Evaluated"
    assert plan.status.evaluation == EVALUATED
    assert plan.status.model is None
    assert plan.status.headline_metric == "spread 0.21, worst accuracy 0.7123"
    assert plan.status.message == (
        "3 sites evaluated: accuracy is 0.7123 at cluster2, the worst, and differs by 0.21 between sites; "
        "the model is better than the local one at 2 of 3"
    )


@pytest.mark.parametrize(
    ("completed", "words"),
    [
        (0, "round 1 of 3, the sites evaluate the model"),
        (1, "round 2 of 3, each site trains a model of its own"),
        (2, "round 3 of 3, each site trains a model of its own and evaluates it"),
    ],
)
def test_the_message_says_what_a_round_does(completed: int, words: str) -> None:
    told = progress(rounds_completed=completed, rounds_total=3, metrics={"accuracy": 0.8})
    status = decide(replace(running(progress=told), run=evaluating()), NOW).status
    assert status is not None
    assert (status.phase, status.message, status.headline_metric) == (Phase.RUNNING, words, "accuracy 0.8")
    assert {c.type: c.reason for c in status.conditions}["Progressing"] == "Evaluating"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"sites": 1, "compared": 0, "better": 0, "without": 2}, "1 site evaluated, 2 more without a value: accuracy is 0.7123"),
        ({"sites": 0, "worst": None, "spread": None, "without": 3}, "0 sites evaluated, 3 more without a value; the table is at pvc://"),
    ],
)
def test_sites_without_a_value_are_counted(changes: dict[str, Any], words: str) -> None:
    assert evaluated(EVALUATED.model_copy(update=changes)).startswith(words)


@pytest.mark.parametrize(("local", "total"), [(0, 1), (5, 6)])
def test_the_rounds_are_known_before_the_first_one(local: int, total: int) -> None:
    status = decide(
        replace(
            running(progress=progress(rounds_completed=0, rounds_total=0, started=False)), run=evaluating(evaluation={"localRounds": local})
        ),
        NOW,
    ).status
    assert status is not None
    assert (status.rounds.total, status.message.partition(",")[0]) == (total, f"round 1 of {total}")


def test_an_older_evaluation_is_not_shown_while_it_is_done_again() -> None:
    before = Status(phase=Phase.RUNNING, evaluation=EVALUATED, start_time=NOW, model=MODEL)
    plan = decide(replace(running(), run=replace(evaluating(), status=before, has_status=True)), NOW)
    assert plan.status is not None
    assert plan.status.evaluation is None


def test_a_withheld_reply_is_the_owners_wish() -> None:
    world = running(progress=progress(collaborators={"cluster1": seen(failed=True, reason="TooFewExamples")}))
    state = next(each for each in diagnosis.states(world, frozenset(world.clusters), {}, NOW) if each.cluster == "cluster1")
    assert state.reason == "ReplyWithheld"
    assert "TooFewExamples" in state.message({})
    assert "Its owner or spec.client.minimumExamples asks for more examples" in state.message({})
