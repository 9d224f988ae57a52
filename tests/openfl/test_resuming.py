"""A lost aggregator: the next one goes on with the next round, and the model is that of an undisturbed run, bit for bit."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.numpy import load_file

from reporting import ConfigMap, reporting
from waiting import eventually

from .conftest import Pods

pytestmark = pytest.mark.openfl

Make = Callable[..., Pods]
ROUNDS = 4
SITES = ("site1", "site2")


def lose_after_two_rounds(run: Pods, hub: ConfigMap) -> None:
    """site1 is in the third round, and site2 has done it."""
    run.fault("site1", "wait in 2")
    with reporting(run, hub):
        run.start_all(*SITES)
        eventually(lambda: "progress" in hub.data and hub.progress.checkpoint == 2, run.logs)
        run.logged("site1", "waits in 2")
        run.lose_aggregator()
    run.fault("site1", "")


def go_on(run: Pods, hub: ConfigMap) -> tuple[dict[str, bytes], dict[str, Any]]:
    """The model and its description."""
    with reporting(run, hub) as folder:
        run.participate(*SITES)
        run.start_aggregator()
        assert run.termination()[0] == 0, run.logs()
        eventually(lambda: hub.progress.result, "the result is reported")
    return result(folder)


def result(folder: Path) -> tuple[dict[str, bytes], dict[str, Any]]:
    model = load_file(folder / "model.safetensors")
    found = {name: array.tobytes() for name, array in model.items()}
    for name in ("best", "last"):
        found[name] = (folder / f"files/model/{name}.pbuf").read_bytes()
    return found, json.loads((folder / "metadata.json").read_text())


def undisturbed(run: Pods) -> tuple[dict[str, bytes], dict[str, Any]]:
    """The same run, with new processes and an empty volume."""
    for name in (*SITES, "aggregator"):
        run.kill(name)
    for name in ("volume", "work", "run"):
        shutil.rmtree(run.folder / name)
    run.run_dir.mkdir()
    with reporting(run, ConfigMap(rounds=str(ROUNDS))) as folder:
        run.participate(*SITES)
        for index, site in enumerate(SITES):
            run.start_site(site, index)
        run.start_aggregator()
        assert run.termination()[0] == 0, run.logs()
    return result(folder)


def momentum(run: Pods) -> None:
    run.change_plan("src.taskrunner.SoftmaxRunner", "src.momentum.MomentumRunner")
    run.change_plan("opt_treatment: RESET", "opt_treatment: CONTINUE_GLOBAL")


@pytest.mark.parametrize("change", [lambda _: None, momentum], ids=["reset", "continue-global"])
def test_the_next_aggregator_goes_on_to_the_same_model(pods: Make, change: Callable[[Pods], None]) -> None:
    run, hub = pods(rounds=ROUNDS), ConfigMap(rounds=str(ROUNDS))
    change(run)
    lose_after_two_rounds(run, hub)
    assert "NotResumable" not in hub.progress.notices
    model, about = go_on(run, hub)
    assert [r["round"] for r in run.records() if r["event"] == "round" and r["phase"] == "end"] == [3, 4]
    progress = hub.progress
    assert (progress.rounds_completed, progress.rounds_total) == (4, 4)
    run.logged("site1", "the aggregator is another one, and the run goes on")
    assert "cluster=site1 at=TaskResults: the results are for another aggregator" in run.log("aggregator")
    wanted, same = undisturbed(run)
    assert model == wanted
    assert (about["clusters"], about["rounds"]) == (same["clusters"], same["rounds"])
    assert about["clusters"] == {site: [1, 2, 3, 4] for site in SITES}


def test_a_run_that_cannot_be_resumed_says_so_first_and_starts_again(pods: Make) -> None:
    run, hub = pods(rounds=2), ConfigMap(rounds="2")
    run.change_plan("opt_treatment: RESET", "opt_treatment: CONTINUE_LOCAL")
    run.fault("site1", "wait in 1")
    with reporting(run, hub):
        run.start_all(*SITES)
        run.recorded(event="round", round=1, phase="end")
        events = [r["event"] for r in run.records()]
        assert events.index("notice") < events.index("started")
        run.lose_aggregator()
    run.fault("site1", "")
    _, about = go_on(run, hub)
    assert [r["round"] for r in run.records() if r["event"] == "round" and r["phase"] == "end"] == [1, 2]
    assert about["clusters"] == {site: [1, 2] for site in SITES}
    assert (
        hub.progress.notices["NotResumable"] == "with opt_treatment CONTINUE_LOCAL the sites keep the state of their optimizers in memory"
    )


def test_a_checkpoint_of_another_workspace_is_dropped(pods: Make) -> None:
    run, hub = pods(rounds=3), ConfigMap(rounds="3")
    lose_after_two_rounds(run, hub)
    runner = run.image / "src/taskrunner.py"
    runner.write_text(runner.read_text().replace('{"w": self.w, "b": self.b}', '{"w": self.w, "b": self.b, "c": self.b}'))
    with reporting(run, hub) as folder:
        run.participate(*SITES)
        run.start_aggregator()
        message = "The checkpoint of round 2 does not fit the workspace: ValueError: it lacks c"
        assert run.termination() == (1, {"reason": "StateLost", "message": message})
        assert sorted(each.name for each in (folder / "checkpoints").iterdir()) == ["000000"]
