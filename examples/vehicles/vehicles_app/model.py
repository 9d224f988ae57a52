"""A convolutional network in numpy: two convolutions over time, the mean over time, one output. Everything is seeded.

A convolution takes pieces of `size` samples, `STRIDE` apart, and multiplies each by the same weights.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from vehicles_app.data import Floats

Model = dict[str, Floats]
Labels = NDArray[np.int64]

STRIDE = 2
SIZES = {"first": (9, 2, 8), "second": (5, 8, 16)}  # samples, channels before, channels after
BATCH = 32
MOMENTUM = 0.9
DECAY = 1e-3


class Pass(NamedTuple):
    """What a forward pass leaves: pieces and outputs of both convolutions, the means over time, and the scores (n,)."""

    pieces1: Floats
    output1: Floats
    pieces2: Floats
    output2: Floats
    means: Floats
    scores: Floats


def initial(seed: int = 0) -> Model:
    rng = np.random.default_rng(seed)
    model: Model = {}
    for name, (size, before, after) in SIZES.items():
        model[f"{name}.weight"] = (rng.standard_normal((before * size, after)) * np.sqrt(2 / (before * size))).astype(np.float32)
        model[f"{name}.bias"] = np.zeros(after, np.float32)
    last = SIZES["second"][2]
    return model | {"output.weight": (rng.standard_normal(last) / np.sqrt(last)).astype(np.float32), "output.bias": np.zeros(1, np.float32)}


def cut(x: Floats, size: int) -> Floats:
    """(n, channels, time) in pieces: (n, pieces, channels * size)."""
    at = np.arange(0, x.shape[2] - size + 1, STRIDE)[:, None] + np.arange(size)
    return x[:, :, at].transpose(0, 2, 1, 3).reshape(len(x), len(at), -1)


def paste(pieces: Floats, channels: int, time: int) -> Floats:
    """The opposite of `cut` for gradients: what overlaps is added."""
    parts = pieces.reshape(*pieces.shape[:2], channels, -1)
    x = np.zeros((len(pieces), channels, time), pieces.dtype)
    for offset in range(parts.shape[3]):
        x[:, :, offset : offset + STRIDE * parts.shape[1] : STRIDE] += parts[..., offset].transpose(0, 2, 1)
    return x


def forward(model: Model, x: Floats) -> Pass:
    pieces1 = cut(x, SIZES["first"][0])
    output1 = np.maximum(pieces1 @ model["first.weight"] + model["first.bias"], 0)
    pieces2 = cut(output1.transpose(0, 2, 1), SIZES["second"][0])
    output2 = np.maximum(pieces2 @ model["second.weight"] + model["second.bias"], 0)
    means = output2.mean(axis=1)
    return Pass(pieces1, output1, pieces2, output2, means, means @ model["output.weight"] + model["output.bias"])


def loss(model: Model, x: Floats, y: Labels) -> float:
    """Mean cross-entropy."""
    return float(np.logaddexp(0, np.where(y == 1, -1, 1) * forward(model, x).scores).mean())


def gradients(model: Model, x: Floats, y: Labels) -> Model:
    """Of the loss."""
    found = forward(model, x)
    error = (1 / (1 + np.exp(-found.scores)) - y).astype(x.dtype) / x.dtype.type(len(y))
    back2 = error[:, None, None] * model["output.weight"] / found.output2.shape[1] * (found.output2 > 0)
    pasted = paste(back2 @ model["second.weight"].T, SIZES["second"][1], found.output1.shape[1])
    back1 = pasted.transpose(0, 2, 1) * (found.output1 > 0)
    return {
        "first.weight": np.tensordot(found.pieces1, back1, ((0, 1), (0, 1))),
        "first.bias": back1.sum(axis=(0, 1)),
        "second.weight": np.tensordot(found.pieces2, back2, ((0, 1), (0, 1))),
        "second.bias": back2.sum(axis=(0, 1)),
        "output.weight": found.means.T @ error,
        "output.bias": error.sum(keepdims=True),
    }


def train(model: Model, x: Floats, y: Labels, epochs: int, rate: float, seed: int) -> Model:
    """A trained copy of `model`."""
    model = {name: array.copy() for name, array in model.items()}
    speed = {name: np.zeros_like(array) for name, array in model.items()}
    rng = np.random.default_rng(seed)
    for _ in range(epochs):
        order = rng.permutation(len(y))
        for start in range(0, len(order), BATCH):
            batch = order[start : start + BATCH]
            for name, gradient in gradients(model, x[batch], y[batch]).items():
                speed[name] = np.float32(MOMENTUM) * speed[name] - np.float32(rate) * (gradient + np.float32(DECAY) * model[name])
                model[name] += speed[name]
    return model


def auc(scores: Floats, y: Labels) -> float:
    """The share of pairs of a drowsy and an alert window in which the drowsy one has the higher score; a tie is half a pair."""
    _, place, count = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(count) - (count - 1) / 2)[place]
    number = int(y.sum())
    return float((ranks[y == 1].sum() - number * (number + 1) / 2) / (number * (len(y) - number)))


def rates(scores: Floats, y: Labels) -> tuple[float, float, float]:
    """Accuracy, the share of drowsy windows that are found, and the share of alert windows with a false alarm."""
    called = scores > 0
    return float((called == (y == 1)).mean()), float(called[y == 1].mean()), float(called[y == 0].mean())
