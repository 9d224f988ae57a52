"""What a model is worth beside the models of single hospitals, and a central one: `rows`, for `make example` and for the notebook."""

from __future__ import annotations

import tomllib
from pathlib import Path

import numpy as np
from health_app import model as net
from health_app.data import Patients, load
from safetensors.numpy import load_file
from split import HOSPITALS

BEST_BY = "AUC"  # the column that decides
HIGHER_IS_BETTER = True
CONFIG = tomllib.loads(Path(__file__).with_name("pyproject.toml").read_text())["tool"]["flwr"]["app"]["config"]


def pooled(sites: list[Patients]) -> Patients:
    features, diagnoses = zip(*sites, strict=True)
    return np.concatenate(features), np.concatenate(diagnoses)


def trained(patients: Patients) -> net.Model:
    """On these patients alone, for as many epochs as a run takes."""
    epochs = CONFIG["num-server-rounds"] * CONFIG["local-epochs"]
    return net.train(net.initial(), *patients, epochs, CONFIG["learning-rate"], seed=1)


def scores(models: list[net.Model], held_out: list[Patients]) -> dict[str, float]:
    """On all held-out patients, each hospital's by its model of `models`. The last two are the lowest and highest accuracy."""
    called, y = pooled([(net.probability(model, x), y) for model, (x, y) in zip(models, held_out, strict=True)])
    sensitivity, specificity, accuracy = net.rates(called, y)
    each = [net.rates(net.probability(model, x), y)[2] for model, (x, y) in zip(models, held_out, strict=True)]
    return {
        "AUC": net.auc(called, y),
        "sensitivity": sensitivity,
        "specificity": specificity,
        "accuracy": accuracy,
        "worst hospital": min(each),
        "best hospital": max(each),
    }


def rows(data: Path, federated: Path) -> dict[str, dict[str, float]]:
    """`data` is the folder of split.py, `federated` the model.safetensors of the run."""
    patients = [load(data / cluster / "patients.csv") for cluster in HOSPITALS]
    held_out = [load(data / cluster / "held-out.csv") for cluster in HOSPITALS]
    own = [trained(each) for each in patients]
    everywhere = {f"only {hospital}": model for hospital, model in zip(HOSPITALS.values(), own, strict=True)}
    everywhere |= {"federated": load_file(federated), "central": trained(pooled(patients))}
    found = {name: scores([model] * len(HOSPITALS), held_out) for name, model in everywhere.items()}
    return found | {"each its own": scores(own, held_out)}
