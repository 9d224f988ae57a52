"""What a model is worth beside the models of single plants, and a central one: `rows`, for `make example` and for the notebook."""

from __future__ import annotations

import tomllib
from pathlib import Path

import numpy as np
from industry_app import model as net
from industry_app.data import Floats, load
from numpy.typing import NDArray
from safetensors.numpy import load_file
from split import FAULTS, PLANTS

BEST_BY = "AUC"  # the column that decides
HIGHER_IS_BETTER = True
CONFIG = tomllib.loads(Path(__file__).with_name("pyproject.toml").read_text())["tool"]["flwr"]["app"]["config"]


def trained(healthy: Floats) -> net.Model:
    """On these windows alone, for as many epochs as a run takes."""
    epochs = CONFIG["num-server-rounds"] * CONFIG["local-epochs"]
    return net.train(net.initial(), healthy, epochs, CONFIG["learning-rate"], seed=1)


def scores(models: list[net.Model], held_out: list[tuple[Floats, NDArray[np.str_]]]) -> dict[str, float]:
    """On all held-out windows, each plant's by its model of `models`. Of faults: the share found with alarms at 5 % of healthy windows."""
    errors = np.concatenate([net.errors(model, x) for model, (x, _) in zip(models, held_out, strict=True)])
    fault = np.concatenate([each for _, each in held_out])
    of_each = {name: net.found(errors[(fault == "") | (fault == name)], fault[(fault == "") | (fault == name)] != "") for name in FAULTS}
    plants = [net.auc(net.errors(model, x), each != "") for model, (x, each) in zip(models, held_out, strict=True)]
    return {"AUC": net.auc(errors, fault != ""), "found": net.found(errors, fault != ""), **of_each, "worst plant (AUC)": min(plants)}


def rows(data: Path, federated: Path) -> dict[str, dict[str, float]]:
    """`data` is the folder of split.py, `federated` the model.safetensors of the run."""
    healthy = [load(data / cluster / "healthy.npz")[0] for cluster in PLANTS]
    held_out = [load(data / cluster / "held-out.npz") for cluster in PLANTS]
    own = [trained(each) for each in healthy]
    everywhere = {f"only {plant.what}": model for plant, model in zip(PLANTS.values(), own, strict=True)}
    everywhere |= {"federated": load_file(federated), "central": trained(np.concatenate(healthy))}
    found = {name: scores([model] * len(PLANTS), held_out) for name, model in everywhere.items()}
    return found | {"each its own": scores(own, held_out)}
