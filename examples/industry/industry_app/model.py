"""An autoencoder in numpy: 48 bands through 32, 8 and 32 units and back, trained by gradient descent with momentum. Everything is seeded.

What it has learnt to reproduce is healthy: the mean squared error of a window tells how unlike that it is.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from industry_app.data import BANDS, Floats

Model = dict[str, Floats]

SIZES = (BANDS, 32, 8, 32, BANDS)
LAYERS = ("encode1", "encode2", "decode1", "decode2")
BATCH = 32
MOMENTUM = 0.9


def initial(seed: int = 0) -> Model:
    rng = np.random.default_rng(seed)
    model: Model = {}
    for layer, before, after in zip(LAYERS, SIZES, SIZES[1:], strict=False):
        model[f"{layer}.weight"] = (rng.standard_normal((before, after)) / np.sqrt(before)).astype(np.float32)
        model[f"{layer}.bias"] = np.zeros(after, np.float32)
    return model


def outputs(model: Model, x: Floats) -> list[Floats]:
    """The input, and the output of each layer; the last one is linear."""
    found = [x]
    for layer in LAYERS:
        z = found[-1] @ model[f"{layer}.weight"] + model[f"{layer}.bias"]
        found.append(z if layer == LAYERS[-1] else np.tanh(z))
    return found


def errors(model: Model, x: Floats) -> Floats:
    """(n,): the mean squared error of each window's bands."""
    return ((outputs(model, x)[-1] - x) ** 2).mean(axis=1)


def gradients(model: Model, x: Floats) -> Model:
    """Of the mean of `errors`."""
    found = outputs(model, x)
    error = 2 * (found[-1] - x) / x.size
    gradient: Model = {}
    for number in range(len(LAYERS) - 1, -1, -1):
        layer, before, after = LAYERS[number], found[number], found[number + 1]
        if layer != LAYERS[-1]:
            error = error * (1 - after**2)
        gradient[f"{layer}.weight"] = before.T @ error
        gradient[f"{layer}.bias"] = error.sum(axis=0)
        error = error @ model[f"{layer}.weight"].T
    return gradient


def train(model: Model, x: Floats, epochs: int, rate: float, seed: int) -> Model:
    """A trained copy of `model`."""
    model = {name: array.copy() for name, array in model.items()}
    speed = {name: np.zeros_like(array) for name, array in model.items()}
    rng = np.random.default_rng(seed)
    for _ in range(epochs):
        order = rng.permutation(len(x))
        for start in range(0, len(order), BATCH):
            for name, gradient in gradients(model, x[order[start : start + BATCH]]).items():
                speed[name] = np.float32(MOMENTUM) * speed[name] - np.float32(rate) * gradient
                model[name] += speed[name]
    return model


def auc(scores: Floats, faulty: NDArray[np.bool_]) -> float:
    """The share of pairs of a faulty and a healthy window in which the faulty one has the higher score; a tie is half a pair."""
    _, place, count = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(count) - (count - 1) / 2)[place]
    number = int(faulty.sum())
    return float((ranks[faulty].sum() - number * (number + 1) / 2) / (number * (len(faulty) - number)))


def found(scores: Floats, faulty: NDArray[np.bool_], alarms: float = 0.05) -> float:
    """The share of faulty windows with a score above that of all but `alarms` of the healthy ones."""
    return float((scores[faulty] > np.quantile(scores[~faulty], 1 - alarms)).mean())
