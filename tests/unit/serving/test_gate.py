"""Whether a run's model may be served."""

import pytest

from panal.serving.gate import Better, Requirement, measured, refusals


def run(phase="Completed", validation=None, validated=None, spec=None, **status):
    content = {"phase": phase, "model": {"uri": "pvc://m/d/model.safetensors"}, "metrics": {"accuracy": 0.9, "loss": 0.3}}
    if validation is not None:
        content["validation"] = validation
    if validated is not None:
        content["conditions"] = [{"type": "Validated", "status": validated, "message": "cell 3 failed"}]
    return {"metadata": {"name": "digits"}, "spec": spec or {}, "status": content | status}


NOTEBOOK = {"validation": {"image": "x"}}


@pytest.mark.parametrize(
    ("given", "why"),
    [
        (run(), ""),
        (run(phase="Failed"), "digits is Failed; only the model of a Completed run is served"),
        (run(phase="Running"), "digits is Running"),
        ({"metadata": {"name": "digits"}}, "digits is Waiting"),
        (run(model=None), "digits has no stored model"),
        (run(spec=NOTEBOOK, validated="True"), ""),
        (run(spec=NOTEBOOK, validated="False"), "its condition Validated is False: cell 3 failed"),
        (run(spec=NOTEBOOK, validated="Unknown"), "its condition Validated is Unknown"),
        (run(spec=NOTEBOOK), "its condition Validated is Unknown: it has not ended"),
    ],
)
def test_only_a_completed_and_validated_model_is_served(given, why):
    found = refusals(given, (), (), None)
    assert len(found) == bool(why)
    assert all(why in each for each in found)


@pytest.mark.parametrize(
    ("required", "given", "why"),
    [
        ("accuracy >= 0.9", run(), ""),
        ("accuracy > 0.9", run(), "accuracy > 0.9: it is 0.9 (of the last round)"),
        ("loss <= 0.3", run(), ""),
        ("loss < 0.3", run(), "loss < 0.3: it is 0.3"),
        ("f1 >= 0", run(), "there is no such metric; digits has accuracy, loss"),
        ("f1 >= 0", run(metrics=None), "digits has none"),
        # The validation's number comes first, whatever the rounds said.
        ("accuracy >= 0.9", run(validation={"metrics": {"accuracy": 0.7}}), "it is 0.7 (of the validation)"),
        ("accuracy >= 0.95", run(validation={"metrics": {"accuracy": 0.97}}), ""),
        ("accuracy >= 0.5", run(validation={"nonFiniteMetrics": {"accuracy": "NaN"}}), "it is NaN (of the validation)"),
        ("f1 < 5", run(nonFiniteMetrics={"f1": "-Infinity"}), "it is -Infinity (of the last round)"),
    ],
)
def test_what_is_required_must_hold(required, given, why):
    found = refusals(given, [Requirement.parse(required)], (), None)
    assert len(found) == bool(why)
    assert all(why in each for each in found)


@pytest.mark.parametrize(
    ("better", "serving", "why"),
    [
        ("accuracy", None, ""),
        ("accuracy", {"rounds": {"accuracy": 0.8}}, ""),
        ("accuracy", {"rounds": {"accuracy": 0.9}}, "it is 0.9, and that of the version that serves is 0.9"),
        ("loss:lower", {"rounds": {"loss": 0.4}}, ""),
        ("loss:lower", {"rounds": {"loss": 0.2}}, "better loss: it is 0.3, and that of the version that serves is 0.2"),
        ("f1", {"rounds": {"f1": 0.1}}, "there is no such metric; digits has accuracy, loss"),
        # Numbers of different data are not compared.
        ("accuracy", {"validation": {"accuracy": 0.1}}, "has no accuracy of the last round to compare with; it has accuracy"),
        ("accuracy", {}, "it has none"),
    ],
)
def test_the_model_must_be_better_than_the_one_that_serves(better, serving, why):
    found = refusals(run(), (), [Better.parse(better)], serving)
    assert len(found) == bool(why)
    assert all(why in each for each in found)


def test_all_refusals_are_named():
    found = refusals(run(), [Requirement.parse("accuracy > 1"), Requirement.parse("f1 > 0")], [Better("loss", lower=True)], {})
    assert len(found) == 3


@pytest.mark.parametrize("text", ["accuracy", "accuracy = 1", ">= 1", "accuracy >= x", "accuracy >= nan", "accuracy >= inf", ""])
def test_what_is_no_requirement_is_refused(text):
    with pytest.raises(ValueError, match="is not"):
        Requirement.parse(text)


def test_names_of_metrics_may_have_spaces_and_signs():
    assert Requirement.parse(" top 5 accuracy>=0.9 ") == Requirement("top 5 accuracy", ">=", 0.9)
    assert Requirement.parse("a=b < -1e-3") == Requirement("a=b", "<", -0.001)
    assert Better.parse("loss:lower") == Better("loss", lower=True)
    with pytest.raises(ValueError, match="METRIC:lower"):
        Better.parse(":lower")


def test_the_metrics_are_kept_by_source():
    assert measured(run(validation={"metrics": {"f1": 1.0}})["status"]) == {
        "validation": {"f1": 1.0},
        "rounds": {"accuracy": 0.9, "loss": 0.3},
    }
    assert measured({}) == {}
