"""How the command line prints an evaluation."""

from __future__ import annotations

import pytest

from panal.cli import evaluated

FOUND = {
    "uri": "pvc://models/x/evaluation.json", "metric": "accuracy", "goal": "Maximize", "sites": 2, "without": 1, "examples": 30,
    "weightedMean": 0.8, "worstSite": "cluster2", "worst": 0.71234, "spread": 0.2, "standardDeviation": 0.1, "compared": 1, "better": 1,
    "table": [
        {"cluster": "cluster3", "reason": "TooFewExamples"},
        {"cluster": "cluster2", "examples": 10, "globalModel": {"accuracy": 0.71234},
         "localModel": {"accuracy": 0.5}, "difference": 0.21234},
        {"cluster": "cluster1", "examples": 20, "globalModel": {"accuracy": 0.91234}, "reason": "ValueError"},
    ],
}  # fmt: skip


def test_worst_site_and_spread_come_before_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    evaluated.show({"evaluation": FOUND, "initialModel": {"uri": "pvc://models/y/model.safetensors", "run": "digits"}})
    assert capsys.readouterr().out.splitlines() == [
        "",
        "model               pvc://models/y/model.safetensors of digits",
        "worst site          cluster2, accuracy 0.7123 (higher is better)",
        "spread              0.2 between 2 sites, standard deviation 0.1",
        "weighted mean       0.8 of 30 examples",
        "better than local   at 1 of 1 sites",
        "without a value     1 site",
        "",
        "SITE       EXAMPLES   GLOBAL accuracy   LOCAL   DIFFERENCE   REASON",
        "cluster3   -          -                 -       -            TooFewExamples",
        "cluster2   10         0.7123            0.5     0.2123",
        "cluster1   20         0.9123            -       -            ValueError",
        "all sites and metrics: pvc://models/x/evaluation.json",
    ]


def test_a_run_that_trains_prints_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    evaluated.show({})
    assert capsys.readouterr().out == ""


def test_without_any_value(capsys: pytest.CaptureFixture[str]) -> None:
    evaluated.show({"evaluation": {"uri": "pvc://x/evaluation.json", "without": 2}})
    assert capsys.readouterr().out.splitlines() == [
        "",
        "no site has reported the metric of the model",
        "all sites and metrics: pvc://x/evaluation.json",
    ]
