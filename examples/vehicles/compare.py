"""What a model is worth beside the models of single vehicles, and a central one: `rows`, for `make example` and for the notebook."""

from __future__ import annotations

import tomllib
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file
from split import VEHICLES
from vehicles_app import model as net
from vehicles_app.data import Windows, load

BEST_BY = "accuracy"  # the column that decides
HIGHER_IS_BETTER = True
CONFIG = tomllib.loads(Path(__file__).with_name("pyproject.toml").read_text())["tool"]["flwr"]["app"]["config"]


def pooled(vehicles: list[Windows]) -> Windows:
    windows, answers = zip(*vehicles, strict=True)
    return np.concatenate(windows), np.concatenate(answers)


def trained(drives: Windows) -> net.Model:
    """On these drives alone, for as many epochs as a run takes."""
    epochs = CONFIG["num-server-rounds"] * CONFIG["local-epochs"]
    return net.train(net.initial(), *drives, epochs, CONFIG["learning-rate"], seed=1)


def scores(models: list[net.Model], held_out: list[Windows]) -> dict[str, float]:
    """On all held-out drives, each vehicle's by its model of `models`."""
    found, y = pooled([(net.forward(model, x).scores, y) for model, (x, y) in zip(models, held_out, strict=True)])
    accuracy, recognized, alarms = net.rates(found, y)
    each = [net.rates(net.forward(model, x).scores, y)[0] for model, (x, y) in zip(models, held_out, strict=True)]
    names = ("accuracy", "AUC", "recognized", "false alarms", "worst vehicle")
    return dict(zip(names, (accuracy, net.auc(found, y), recognized, alarms, min(each)), strict=True))


def rows(data: Path, federated: Path) -> dict[str, dict[str, float]]:
    """`data` is the folder of split.py, `federated` the model.safetensors of the run."""
    drives = [load(data / cluster / "drives.npz") for cluster in VEHICLES]
    held_out = [load(data / cluster / "held-out.npz") for cluster in VEHICLES]
    own = [trained(each) for each in drives]
    everywhere = {f"only {vehicle.what}": model for vehicle, model in zip(VEHICLES.values(), own, strict=True)}
    everywhere |= {"federated": load_file(federated), "central": trained(pooled(drives))}
    found = {name: scores([model] * len(VEHICLES), held_out) for name, model in everywhere.items()}
    return found | {"each its own": scores(own, held_out)}
