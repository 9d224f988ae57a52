"""Gradient-boosted trees of XGBoost, as bytes: one tree for each store and round."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import xgboost as xgb

from retail_app.data import Days, Floats

# base_score is fixed: by default each store would compute another one from its own sales.
SETTINGS = {
    "objective": "reg:squarederror",
    "base_score": 0.0,
    "max_depth": 5,
    "min_child_weight": 20,
    "subsample": 0.8,
    "seed": 1,
    "nthread": 1,
    "tree_method": "hist",
}


def matrix(days: Days) -> xgb.DMatrix:
    return xgb.DMatrix(days.x, days.target)


def read(content: bytes) -> xgb.Booster:
    booster = xgb.Booster(SETTINGS)
    booster.load_model(bytearray(content))
    return booster


def grown(content: bytes, days: Days, rate: float) -> bytes:
    """The next tree, which these days add to the model `content`, as a model of its own. Without content it is the first."""
    if not content:
        return trained(days, 1, rate)
    booster = read(content)
    trees = booster.num_boosted_rounds()
    booster.set_param(SETTINGS | {"eta": rate, "seed": trees})  # of the rows that the tree is grown on: not the same ones in each round
    booster.update(matrix(days), trees)
    return bytes(booster[trees:].save_raw("json"))


def trained(days: Days, trees: int, rate: float) -> bytes:
    """On these days alone."""
    return bytes(xgb.train(SETTINGS | {"eta": rate}, matrix(days), trees).save_raw("json"))


def forecast(content: bytes, days: Days) -> Floats:
    """Pieces that will be sold."""
    times = read(content).predict(xgb.DMatrix(days.x))
    return np.maximum(np.expm1(times + np.log1p(days.usual)), 0)


def error(pairs: Iterable[tuple[Floats, Days]]) -> float:
    """How many pieces the forecasts are off, as a share of the pieces sold (weighted absolute percentage error)."""
    off, sold = zip(*((float(np.abs(found - days.sold).sum()), float(days.sold.sum())) for found, days in pairs), strict=True)
    return sum(off) / sum(sold)
