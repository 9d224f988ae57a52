"""examples/pytorch with the real Flower and the real PyTorch: `make test-pytorch`."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from reporting import ConfigMap, reporting

from .conftest import REPOSITORY, Pods, flower_venv

pytestmark = [pytest.mark.flower, pytest.mark.pytorch]

Make = Callable[..., Pods]
EXAMPLE = REPOSITORY / "examples/pytorch"
ROUNDS = 5
SITES = ("cluster1", "cluster2", "cluster3")
JUDGE = (EXAMPLE / "README.md").read_text().split("```python\n")[1].split("```")[0]  # loads the model, and tells its accuracy


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("digits")
    subprocess.run([sys.executable, REPOSITORY / "examples/mnist/split.py", folder], check=True, stdout=subprocess.DEVNULL)
    return folder


def torch(script: str, *words: object) -> str:
    """What a script prints that runs with PyTorch, in the example's folder."""
    if not list(flower_venv().glob("lib/python3*/site-packages/torch")):
        pytest.fail(f"no PyTorch in {flower_venv()}: run `make test-pytorch`")
    command = [str(flower_venv() / "bin/python"), "-c", script, *map(str, words)]
    done = subprocess.run(command, cwd=EXAMPLE, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def start(run: Pods, digits: Path) -> None:
    run.start_superlink()
    run.announce(run.app(str(EXAMPLE)))
    for site in SITES:
        run.start_site(site, {"PANAL_DATA_PATH": str(digits / site)})


def test_three_sites_learn_all_digits_and_the_model_is_loaded_by_its_names(pods: Make, digits: Path) -> None:
    run = pods(rounds=ROUNDS, min_clients=3)
    config_map = ConfigMap()
    with reporting(run, config_map) as folder:
        start(run, digits)
        assert run.termination()[0] == 0, run.log("superlink")

    told_by = re.search(r"accuracy (0\.\d+), 7434 parameters", torch(JUDGE, folder / "model.safetensors", digits / "test.npz"))
    assert told_by
    accuracy = float(told_by[1])
    assert accuracy >= 0.94
    told = [r["metrics"] for r in run.records() if r.get("event") == "round" and r.get("phase") == "evaluate"]
    assert len(told) == ROUNDS
    assert told[-1]["accuracy"] >= 0.94
    assert told[-1]["accuracy"] == pytest.approx(accuracy, abs=0.03)  # what the sites held out says the same
    assert config_map.progress.metrics["accuracy"] == told[-1]["accuracy"]

    for record in (r for r in run.records() if r.get("event") == "round" and r.get("phase") in ("train", "evaluate")):
        for site, seen in record["collaborators"].items():
            all_digits = len(np.load(digits / site / "train.npz")["y"])
            held_out = -(-all_digits // 5)
            assert seen["metrics"]["num-examples"] == (held_out if record["phase"] == "evaluate" else all_digits - held_out)


def test_training_is_the_same_each_time_and_leaves_out_what_is_held_out(digits: Path) -> None:
    script = """
import sys
from pathlib import Path
import torch
from pytorch_app import task
own, held = task.divide(task.load(Path(sys.argv[1])))
nets = [task.initial(), task.initial()]
losses = [task.train(net, own, 1, 0.05, seed=3) for net in nets]
assert losses[0] == losses[1]
assert all(torch.equal(*pair) for pair in zip(*(net.state_dict().values() for net in nets)))
assert len(own[1]) + len(held[1]) == len(task.load(Path(sys.argv[1]))[1])
"""
    torch(script, digits / "cluster1/train.npz")


def test_data_that_will_not_do_is_named_with_what_is_wrong(tmp_path: Path) -> None:
    x, y = np.zeros((10, 28, 28), np.uint8), np.arange(10)
    cases = {
        "is missing": None,
        "is not an .npz file with the arrays x and y": {"x": x},
        "x is float64 (10, 28, 28), not uint8": {"x": x.astype(float), "y": y},
        "x is uint8 (10, 784), not uint8": {"x": x.reshape(10, 784), "y": y},
        "y is int64 (9,), not one whole number for each of the 10 images": {"x": x, "y": y[:9]},
        "has labels from 0 to 10": {"x": x, "y": np.arange(1, 11) % 11 * (np.arange(10) > 0)},
        "has 4 digits; at least 5": {"x": x[:4], "y": y[:4]},
    }
    files = []
    for number, (wrong, arrays) in enumerate(cases.items()):
        files.append([str(tmp_path / f"{number}.npz"), wrong])
        if arrays is not None:
            np.savez(files[-1][0], **arrays)
    (tmp_path / "text.npz").write_text("digits")
    files.append([str(tmp_path / "text.npz"), "is not an .npz file with the arrays x and y"])
    script = """
import json, sys
from pathlib import Path
from pytorch_app import task
said = []
for file, _ in json.loads(sys.argv[1]):
    try:
        task.load(Path(file))
        said.append("nothing")
    except ValueError as error:
        said.append(str(error))
print(json.dumps(said))
"""
    for (file, wrong), said in zip(files, json.loads(torch(script, json.dumps(files))), strict=True):
        assert file in said
        assert wrong in said


def test_a_site_without_its_digits_says_so(pods: Make, digits: Path, tmp_path: Path) -> None:
    run = pods(min_clients=3)
    other = tmp_path / "other"
    for site in SITES:
        (other / site).mkdir(parents=True)
        shutil.copy(digits / site / "train.npz", other / site / "digits.npz")
    start(run, other)
    code, message = run.termination()
    assert (code, message["reason"]) == (1, "AllCollaboratorsFailed")
    assert f"{other / 'cluster1/train.npz'} is missing" in run.log("cluster1")
