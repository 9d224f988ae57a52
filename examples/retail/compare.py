"""What a model is worth beside the models of single stores, and a central one: `rows`, for `make example` and for the notebook."""

from __future__ import annotations

import tomllib
from pathlib import Path

import numpy as np
from retail_app import model as trees
from retail_app.data import Days, load
from safetensors.numpy import load_file
from split import STORES

BEST_BY = "error"  # the column that decides
HIGHER_IS_BETTER = False
CONFIG = tomllib.loads(Path(__file__).with_name("pyproject.toml").read_text())["tool"]["flwr"]["app"]["config"]


def pooled(stores: list[Days]) -> Days:
    return Days(*(np.concatenate([getattr(store, name) for store in stores]) for name in ("x", "usual", "sold")))


def trained(days: Days) -> bytes:
    """On these days alone, for as many steps as a run takes."""
    return trees.trained(days, CONFIG["num-server-rounds"], CONFIG["learning-rate"])


def stored(file: Path) -> bytes:
    """XGBoost's JSON, which the run stored as an array of bytes, and beside it as model.json."""
    return load_file(file)["0"].tobytes()


def scores(models: list[bytes], held_out: list[Days]) -> dict[str, float]:
    """On the held-out days, each store's by its model of `models`."""
    pairs = [(trees.forecast(model, days), days) for model, days in zip(models, held_out, strict=True)]
    each = [trees.error([pair]) for pair in pairs]
    return {"error": trees.error(pairs), "best store": min(each), "worst store": max(each)}


def rows(data: Path, federated: Path) -> dict[str, dict[str, float]]:
    """`data` is the folder of split.py, `federated` the model.safetensors of the run."""
    days, held_out = zip(*(load(data / cluster) for cluster in STORES), strict=True)
    own = [trained(each) for each in days]
    everywhere = {f"only {store.what}": model for store, model in zip(STORES.values(), own, strict=True)}
    everywhere |= {"federated": stored(federated), "central": trained(pooled(list(days)))}
    found = {name: scores([model] * len(STORES), list(held_out)) for name, model in everywhere.items()}
    return found | {"each its own": scores(own, list(held_out))}
