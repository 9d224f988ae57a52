"""Logistic regression in numpy, trained by stochastic gradient descent, and its scores. Everything is seeded."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from health_app.data import FEATURES, Floats

Model = dict[str, Floats]
Labels = NDArray[np.int64]

BATCH = 16
DECAY = 0.02


def initial() -> Model:
    return {"weight": np.zeros(len(FEATURES), np.float32), "bias": np.zeros(1, np.float32)}


def probability(model: Model, x: Floats) -> Floats:
    """Of being ill, for each row of `x`."""
    return 1 / (1 + np.exp(-(x @ model["weight"] + model["bias"])))


def gradients(model: Model, x: Floats, y: Labels) -> Model:
    """Of the mean cross-entropy plus half of DECAY times the squared weights."""
    error = (probability(model, x) - y).astype(np.float32) / np.float32(len(y))
    return {"weight": x.T @ error + np.float32(DECAY) * model["weight"], "bias": error.sum(keepdims=True)}


def train(model: Model, x: Floats, y: Labels, epochs: int, rate: float, seed: int) -> Model:
    """A trained copy of `model`."""
    model = {name: array.copy() for name, array in model.items()}
    rng = np.random.default_rng(seed)
    for _ in range(epochs):
        order = rng.permutation(len(y))
        for start in range(0, len(order), BATCH):
            batch = order[start : start + BATCH]
            for name, gradient in gradients(model, x[batch], y[batch]).items():
                model[name] -= np.float32(rate) * gradient
    return model


def loss(model: Model, x: Floats, y: Labels) -> float:
    """Mean cross-entropy."""
    right = np.where(y == 1, probability(model, x), 1 - probability(model, x))
    return float(-np.log(right + 1e-9).mean())


def auc(scores: Floats, y: Labels) -> float:
    """The share of pairs of an ill and a healthy patient in which the ill one has the higher score; a tie is half a pair."""
    _, place, count = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(count) - (count - 1) / 2)[place]
    ill = int(y.sum())
    return float((ranks[y == 1].sum() - ill * (ill + 1) / 2) / (ill * (len(y) - ill)))


def rates(probabilities: Floats, y: Labels) -> tuple[float, float, float]:
    """Sensitivity, specificity and accuracy, if a patient with a probability above one half is called ill."""
    called = probabilities > 0.5
    return float(called[y == 1].mean()), float((~called[y == 0]).mean()), float((called == (y == 1)).mean())
