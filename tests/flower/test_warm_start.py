"""Runs that begin with a model of an earlier run, with real Flower."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from reporting import ConfigMap, reporting
from waiting import eventually

from .conftest import Pods

pytestmark = pytest.mark.flower

Make = Callable[..., Pods]
BEGIN = {"w": np.array([5, 6, 7], np.float32), "b": np.array(2.5)}  # b was an integer before it was averaged


def initial(run: Pods, arrays: dict[str, Any], **more: str) -> dict[str, str]:
    """The variables of a reporter that begins with these arrays, stored in another volume. `more` replaces what the controller says."""
    volume = run.folder / "before"
    volume.mkdir(exist_ok=True)
    save_file(arrays, volume / "model.safetensors")
    digest = f"sha256:{hashlib.sha256((volume / 'model.safetensors').read_bytes()).hexdigest()}"
    found = {"run": "before", "uri": "pvc://before/model.safetensors", "digest": digest, "path": "model.safetensors"}
    return {"PANAL_INITIAL_MODEL": json.dumps(found | more), "PANAL_INITIAL_DIR": str(volume)}


def ended(run: Pods, app: Path, env: dict[str, str]) -> tuple[int, dict[str, Any], Path, ConfigMap]:
    config_map = ConfigMap()
    with reporting(run, config_map, **env) as folder:
        run.start_all(app)
        code, message = run.termination()
    return code, message, folder, config_map


@pytest.mark.versions
def test_a_run_begins_with_the_model_and_says_so(pods: Make) -> None:
    run = pods(rounds=2, PANAL_WARM_START="true")
    code, message, folder, config_map = ended(run, run.app(), initial(run, BEGIN))
    assert (code, message["reason"]) == (0, "Completed"), run.log("superlink")[-3000:]
    assert load_file(folder / "model.safetensors")["w"].tolist() == [7, 8, 9]
    assert [r["metrics"]["judged"] for r in run.records() if r.get("phase") == "server"] == [5, 6, 7]  # round 0 judges what it begins with
    status = config_map.progress.initial_model
    assert status is not None
    assert (status.run, status.uri) == ("before", "pvc://before/model.safetensors")
    assert json.loads((folder / "metadata.json").read_text())["initialModel"] == status.model_dump()


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"w": BEGIN["w"]}, "it lacks b"),
        ({**BEGIN, "c": BEGIN["w"]}, "the app has no c"),
        ({**BEGIN, "w": np.zeros(4, np.float32)}, "w is float32 (4,) and not float32 (3,)"),
        ({**BEGIN, "w": np.zeros(3, np.float16)}, "w is float16 (3,) and not float32 (3,)"),
    ],
)
def test_a_model_that_does_not_fit_ends_the_run_before_its_first_round(pods: Make, arrays: dict[str, Any], words: str) -> None:
    run = pods(rounds=2, PANAL_WARM_START="true")
    code, message, folder, _ = ended(run, run.app(), initial(run, arrays))
    assert (code, message["reason"]) == (1, "InitialModelDiffers"), message
    assert message["message"] == f"pvc://before/model.safetensors does not fit the app: {words}"
    assert not run.record(event="round")
    assert not (folder / "model.safetensors").exists()


@pytest.mark.parametrize("mode", ["loop", "query"])
def test_an_app_that_can_be_given_no_model_ends_the_run(pods: Make, mode: str) -> None:
    run = pods(rounds=2, PANAL_WARM_START="true")
    code, message, *_ = ended(run, run.app("ways", mode=mode), initial(run, {"w": np.zeros(4, np.float32)}))
    assert (code, message["reason"]) == (1, "InitialModelUnusable"), message
    assert "given no model" in message["message"]
    assert not run.record(event="round", phase="train")


@pytest.mark.parametrize("mode", ["server-fn", "secagg"])
def test_the_older_interface_begins_with_it_as_well(pods: Make, mode: str) -> None:
    run = pods(rounds=2, min_clients=3, PANAL_WARM_START="true")
    config_map = ConfigMap()
    with reporting(run, config_map, **initial(run, {"0": np.array([1, 2, 3, 4], np.float32)})) as folder:
        run.start_all(run.app("legacy", mode=mode), 3)
        assert run.termination()[0] == 0, run.log("superlink")[-3000:]
    assert np.allclose(load_file(folder / "model.safetensors")["0"], [3, 4, 5, 6], atol=0.01)


def test_after_a_crash_the_checkpoint_counts_and_not_the_initial_model(pods: Make) -> None:
    run = pods(rounds=4, min_clients=2, PANAL_WARM_START="true")
    steps = run.folder / "steps"
    steps.mkdir()
    (steps / "site1-3.held").touch()
    app, env = run.app(folder=str(steps)), initial(run, BEGIN)
    with reporting(run, ConfigMap(rounds="4"), **env) as folder:
        run.start_all(app)
        eventually(lambda: (folder / "checkpoints/000002").exists(), "the checkpoint of round 2")
        run.lose_aggregator()
    (run.folder / "before/model.safetensors").unlink()  # the other run was deleted
    (steps / "site1-3.held").unlink()
    config_map = ConfigMap(rounds="4")
    with reporting(run, config_map, **env) as folder:
        run.start_superlink()
        run.announce(app)
        assert run.termination()[0] == 0, run.log("superlink")[-3000:]
    assert load_file(folder / "model.safetensors")["w"].tolist() == [9, 10, 11]
    assert config_map.progress.resumed == 2
    assert config_map.progress.initial_model is not None


def test_before_the_first_checkpoint_the_next_aggregator_begins_with_it_again(pods: Make) -> None:
    run = pods(rounds=1, min_clients=2, PANAL_WARM_START="true")
    steps = run.folder / "steps"
    steps.mkdir()
    (steps / "site1-1.held").touch()
    app, env = run.app(folder=str(steps)), initial(run, BEGIN)
    with reporting(run, ConfigMap(), **env):
        run.start_all(app)
        eventually((steps / "site1-1.began").exists, "the training of round 1")
        run.lose_aggregator()
    (steps / "site1-1.held").unlink()
    with reporting(run, ConfigMap(), **env) as folder:
        run.start_superlink()
        run.announce(app)
        assert run.termination()[0] == 0, run.log("superlink")[-3000:]
    assert load_file(folder / "model.safetensors")["w"].tolist() == [6, 7, 8]
