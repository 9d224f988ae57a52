"""The digits of examples/mnist: a run trains a model on three clusters, and a second one evaluates it at each of them.

It runs before the how-to, which removes panal in its last step.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from cluster import Cluster
from command_line import *  # noqa: F403
from containers import Containers
from panal.api.names import COLLABORATOR_NAMESPACE
from panal.client.problem import Code
from panal.kube import kinds
from runs import Run, apply
from waiting import eventually

pytestmark = [pytest.mark.real, pytest.mark.nodes, pytest.mark.long]

EXAMPLE = Path(__file__).parents[2] / "examples/mnist"
IMAGE = "panal/example-mnist:0.1.0"
CLAIM = "digits.example.com"
SITES = ["cluster1", "cluster2", "cluster3"]
HELD_OUT = {"cluster1": 477, "cluster3": 573}  # digits; cluster2 has 450
MINIMUM = 460

Panal = Callable[..., tuple[int, str, str]]


def offer(site: Cluster, data: Path) -> None:
    """As the owner of the site does, with examples/mnist/site."""
    site.kubectl("apply", "-f", str(EXAMPLE / "site/volume.yaml"))
    inside = ("-n", COLLABORATOR_NAMESPACE)
    site.kubectl(*inside, "wait", "--for=condition=Ready", "pod/fill", "--timeout=120s")
    for file in ("train.npz", "held-out.npz"):
        site.kubectl(*inside, "cp", str(data / site.name / file), f"fill:/data/{file}")
    site.kubectl(*inside, "delete", "pod", "fill")
    site.kubectl("apply", "-f", str(EXAMPLE / "site/claim.yaml"))


def withdraw(site: Cluster) -> None:
    site.kubectl("delete", "-f", str(EXAMPLE / "site/claim.yaml"))
    site.kubectl("-n", COLLABORATOR_NAMESPACE, "delete", "pvc", "digits")


def announced(engine: Containers) -> bool:
    found = [engine.hub.get(kinds.MANAGED_CLUSTER, "", site) or {} for site in SITES]
    return all(CLAIM in {claim["name"] for claim in (each.get("status") or {}).get("clusterClaims") or ()} for each in found)


@pytest.fixture(scope="module")
def digits(engine: Containers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Each site has its digits on a volume, and says so."""
    data = tmp_path_factory.mktemp("digits")
    subprocess.run([sys.executable, str(EXAMPLE / "split.py"), str(data)], check=True, stdout=subprocess.DEVNULL)
    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda site: offer(engine.fleet[site], data), SITES))
        eventually(lambda: announced(engine), "the hub knows the data", 60)
        yield
        list(pool.map(lambda site: withdraw(engine.fleet[site]), SITES))


@pytest.fixture(scope="module")
def evaluated(engine: Containers, digits: None) -> Iterator[Run]:
    trained = apply(engine, "runs", "digits", clusters=SITES, server={"image": IMAGE}, client={"image": IMAGE, "dataClaim": CLAIM})
    trained.until_ended("Completed")
    found = apply(
        engine,
        "runs",
        "digits-at-sites",
        clusters=SITES,
        minimum=2,
        server={"image": IMAGE, "initialModel": {"run": "digits"}},
        client={"image": IMAGE, "dataClaim": CLAIM, "minimumExamples": MINIMUM},
        mode="Evaluate",
        evaluation={"localRounds": 1, "metric": "accuracy"},
    )
    found.until_ended("Completed")
    yield found
    found.delete()
    trained.delete()


def test_each_site_has_its_row_and_the_one_below_the_minimum_no_number(evaluated: Run) -> None:
    found = evaluated.status()["evaluation"]
    withheld, worst, best = found["table"]
    assert (withheld["cluster"], withheld["reason"]) == ("cluster2", "TooFewExamples")
    assert not [value for name, value in withheld.items() if name not in ("cluster", "reason") and value]
    assert {row["cluster"]: row["examples"] for row in (worst, best)} == HELD_OUT
    for row in (worst, best):
        values = row["globalModel"]["accuracy"], row["localModel"]["accuracy"]
        assert all(0.8 < value < 1 for value in values), row
        assert row["difference"] == pytest.approx(values[0] - values[1])
    assert (found["metric"], found["goal"], found["sites"], found["without"], found["compared"]) == ("accuracy", "Maximize", 2, 1, 2)
    low, high = (row["globalModel"]["accuracy"] for row in (worst, best))
    assert (found["worstSite"], found["worst"]) == (worst["cluster"], low)
    assert low <= high
    assert found["spread"] == pytest.approx(high - low)
    total = sum(HELD_OUT.values())
    assert (found["examples"], found["weightedMean"]) == (
        total,
        pytest.approx((low * worst["examples"] + high * best["examples"]) / total),
    )
    assert found["better"] == sum(row["difference"] > 0 for row in (worst, best))


def test_what_kubectl_and_the_history_say(evaluated: Run, engine: Containers) -> None:
    status = evaluated.status()
    found = status["evaluation"]
    line = engine.fleet.hub.kubectl("-n", "runs", "get", "fl", evaluated.name, "--no-headers")
    assert line.split()[:3] == [evaluated.name, "Completed", "2/2"]
    assert f" {status['headlineMetric']} " in line
    assert status["headlineMetric"] == f"spread {found['spread']:.4g}, worst accuracy {found['worst']:.4g}"
    assert status["message"].startswith(
        f"2 sites evaluated, 1 more without a value: accuracy is {found['worst']:.4g} at {found['worstSite']}"
    )
    assert "model" not in status
    assert status["initialModel"]["run"] == "digits"
    (without,) = (each for each in status["collaborators"] if each["cluster"] == "cluster2")
    assert (without["reason"], without.get("metrics", {})) == ("ReplyWithheld", {})
    reasons = {reason for _, reason, _ in evaluated.events()}
    assert {"Evaluating", "Evaluated", "RoundCompleted"} <= reasons
    assert not {"Training", "ModelStored"} & reasons


def test_the_table_is_downloaded_and_printed(panal: Panal, evaluated: Run, engine: Containers, tmp_path: Path) -> None:
    hub = ("--kubeconfig", str(engine.fleet.hub.kubeconfig))
    code, out, error = panal("get", evaluated.name, *hub)
    assert code == Code.OK, error
    rows = [line.split() for line in out.splitlines() if line.startswith("cluster")][-3:]
    assert rows[0] == ["cluster2", "-", "-", "-", "-", "TooFewExamples"]
    assert {row[0]: int(row[1]) for row in rows[1:]} == HELD_OUT
    assert "without a value     1 site" in out
    code, _, error = panal("models", "download", evaluated.name, "--file", "evaluation.json", "--to", str(tmp_path), *hub)
    assert code == Code.OK, error
    stored = json.loads((tmp_path / "evaluation.json").read_text())
    assert {row["cluster"]: row["examples"] for row in stored["table"]} == {**HELD_OUT, "cluster2": None}
    assert stored["model"]["run"] == "digits"
