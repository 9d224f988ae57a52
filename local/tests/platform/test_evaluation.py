"""docs/how-to/evaluate-at-sites.md on the local platform: a run trains a model, a second one evaluates it at the sites. One site's owner
has set a smallest number of examples that the site does not have: the result names the site, and has no number of it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[3]
APP = ROOT / "tests/flower/apps/judges"  # a site's numbers are 10 times its number; the model is their mean, and moves halfway to it


@dataclass(frozen=True)
class Evaluated:
    """`printed`: by `panal run`."""

    status: dict[str, Any]
    printed: str


@pytest.fixture(scope="module")
def found(home):
    for cluster in ("cluster1", "cluster2"):
        (home.work / "data" / cluster).mkdir(parents=True)
        (home.work / "data" / cluster / "numbers").write_text("the app knows them")
    home.panal("up", "--clusters", "2")
    home.panal("run", str(APP), "--data", "data", "--timeout", "180")
    policy = home.work / "data/cluster1/.panal/policy.json"  # the site has 4 numbers
    policy.parent.mkdir()
    policy.write_text('{"minimumExamples": 5}')
    trained = home.json("get", "judges-1")
    server, client = trained["spec"]["server"], trained["spec"]["client"]
    resource = {
        "apiVersion": trained["apiVersion"],
        "kind": trained["kind"],
        "metadata": {"name": "at-sites", "namespace": "default"},
        "spec": {
            "framework": "flower",
            "mode": "Evaluate",
            "evaluation": {"localRounds": 2},
            "server": {
                "image": server["image"],
                "initialModel": {"run": "judges-1"},
                "minAvailableClients": 1,
                "storage": {"name": "models"},
            },
            "client": {"image": client["image"], "placement": client["placement"]},
        },
    }
    (home.work / "evaluate.yaml").write_text(yaml.safe_dump(resource))
    printed = home.panal("run", "-f", "evaluate.yaml", "--timeout", "180")
    return Evaluated(home.json("get", "at-sites")["status"], printed)


def test_the_table_has_the_numbers_of_one_site_and_the_name_of_the_other(found):
    """After one round the mean is 25/3, as (4 * 5 + 8 * 10) / 12. cluster2 alone gets from 0 to 15 in two rounds."""
    evaluation = found.status["evaluation"]
    withheld, told = evaluation["table"]
    assert (withheld["cluster"], withheld["reason"]) == ("cluster1", "TooFewExamples")
    assert not [value for name, value in withheld.items() if name not in ("cluster", "reason") and value]
    assert (told["cluster"], told["examples"], told["reason"]) == ("cluster2", 8, "")
    assert told["globalModel"]["distance-error"] == pytest.approx(35 / 3)
    assert told["localModel"]["distance-error"] == pytest.approx(5)
    assert told["difference"] == pytest.approx(20 / 3)
    expected = {
        "metric": "distance-error", "goal": "Minimize", "sites": 1, "without": 1, "examples": 8, "worstSite": "cluster2", "spread": 0,
        "compared": 1, "better": 0,
    }  # fmt: skip
    assert {name: evaluation[name] for name in expected} == expected
    assert evaluation["worst"] == evaluation["weightedMean"] == told["globalModel"]["distance-error"]


def test_what_the_run_says(found):
    status, printed = found.status, found.printed
    said = "1 site evaluated, 1 more without a value: distance-error is 11.67 at cluster2, the worst, and differs by 0 between sites"
    assert (status["phase"], status["message"]) == ("Completed", f"{said}; the model is better than the local one at 0 of 1")
    assert status["headlineMetric"] == "spread 0, worst distance-error 11.67"
    assert status["rounds"]["summary"] == "3/3"
    assert "model" not in status
    assert "the sites evaluate the model" in printed
    assert "round 3/3" in printed
    assert "of judges-1\nworst site          cluster2, distance-error 11.67 (lower is better)\n" in printed
    assert "without a value     1 site\n" in printed
    assert [line.split() for line in printed.splitlines() if line.startswith("cluster")] == [
        ["cluster1", "-", "-", "-", "-", "TooFewExamples"],
        ["cluster2", "8", "11.67", "5", "6.667"],
    ]


def test_no_number_of_the_site_below_the_minimum_is_anywhere(found, home):
    """Neither its count nor its metrics, whichever place a reader looks at."""
    states = {each["cluster"]: each for each in found.status["collaborators"]}
    assert (states["cluster1"]["state"], states["cluster1"]["reason"], states["cluster1"].get("metrics")) == (
        "Failed",
        "ReplyWithheld",
        None,
    )
    assert states["cluster2"]["metrics"]["local distance-error"] == pytest.approx(5)
    rows = home.json("history", "at-sites")["rounds"]
    assert [(row["replies"], row["failures"]) for row in rows] == [(1, 1), (1, 0), (1, 0)]
    assert [sorted(row["clusters"]) for row in rows] == [["cluster1", "cluster2"], ["cluster2"], ["cluster2"]]
    assert (rows[0]["clusters"]["cluster1"]["metrics"], rows[0]["failed"]) == ({}, {"cluster1": "TooFewExamples"})
    home.panal("models", "download", "at-sites", "--file", "evaluation.json")
    stored = json.loads((home.work / "evaluation.json").read_text())
    (row,) = (each for each in stored["table"] if each["cluster"] == "cluster1")
    assert (row["examples"], row["globalModel"], row["localModel"], row["difference"]) == (None, {}, {}, {})


def test_what_other_commands_say(home):
    assert "default/at-sites  Completed  " in home.panal("top", "--once")
    assert "spread 0, worst distance-error 11.67" in home.panal("get", "runs")
    assert "fewer than 5 examples" in home.panal("logs", "at-sites", "--cluster", "cluster1")
