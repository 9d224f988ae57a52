"""The model: one hidden layer of 64, in numpy, trained by stochastic gradient descent with momentum. Everything is seeded."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Model = dict[str, Floats]

HIDDEN = 64
BATCH = 32
MOMENTUM = 0.9
DECAY = 1e-4


def initial(seed: int = 0) -> Model:
    rng = np.random.default_rng(seed)
    return {
        "hidden.weight": (rng.standard_normal((784, HIDDEN)) * np.sqrt(2 / 784)).astype(np.float32),
        "hidden.bias": np.zeros(HIDDEN, np.float32),
        "output.weight": (rng.standard_normal((HIDDEN, 10)) * np.sqrt(2 / HIDDEN)).astype(np.float32),
        "output.bias": np.zeros(10, np.float32),
    }


def predict(model: Model, images: Floats) -> tuple[Floats, Floats]:
    """The hidden layer's output and each class's probability; `images` is (n, 784), 0 to 1."""
    hidden = np.maximum(images @ model["hidden.weight"] + model["hidden.bias"], 0)
    scores = hidden @ model["output.weight"] + model["output.bias"]
    scores -= scores.max(axis=1, keepdims=True)
    exponentials = np.exp(scores)
    return hidden, exponentials / exponentials.sum(axis=1, keepdims=True)


def gradients(model: Model, images: Floats, labels: NDArray[np.uint8]) -> Model:
    hidden, error = predict(model, images)
    error[np.arange(len(labels)), labels] -= 1
    error /= len(labels)
    back = (error @ model["output.weight"].T) * (hidden > 0)
    return {
        "hidden.weight": images.T @ back,
        "hidden.bias": back.sum(axis=0),
        "output.weight": hidden.T @ error,
        "output.bias": error.sum(axis=0),
    }


def train(model: Model, images: Floats, labels: NDArray[np.uint8], epochs: int, rate: float, seed: int) -> Model:
    """A trained copy of `model`."""
    model = {name: array.copy() for name, array in model.items()}
    speed: dict[str, Any] = {name: np.zeros_like(array) for name, array in model.items()}
    rng = np.random.default_rng(seed)
    for _ in range(epochs):
        order = rng.permutation(len(labels))
        for start in range(0, len(order), BATCH):
            batch = order[start : start + BATCH]
            for name, gradient in gradients(model, images[batch], labels[batch]).items():
                speed[name] = MOMENTUM * speed[name] - rate * (gradient + DECAY * model[name])
                model[name] += speed[name].astype(np.float32)
    return model


def evaluate(model: Model, images: Floats, labels: NDArray[np.uint8]) -> tuple[float, float]:
    """Mean cross-entropy and accuracy."""
    _, probabilities = predict(model, images)
    loss = -np.log(probabilities[np.arange(len(labels)), labels] + 1e-9).mean()
    return float(loss), float((probabilities.argmax(axis=1) == labels).mean())
