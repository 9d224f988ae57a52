"""Federated, each cluster alone, and central, side by side on the same test digits.

    python compare.py --data FOLDER --federated model.safetensors --alone cluster1=a.safetensors --alone cluster2=b.safetensors ...

FOLDER is what split.py made. The central model is trained here, on all clusters' digits together, for as many epochs as a federated run
of `--rounds` takes. Needs the Python package safetensors beside the app's own requirements.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from mnist_app import model as net
from mnist_app.data import load
from safetensors.numpy import load_file


def central(folder: Path, epochs: int, rate: float) -> net.Model:
    parts = [load(file) for file in sorted(folder.glob("cluster*/train.npz"))]
    images, labels = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    return net.train(net.initial(), images, labels, epochs, rate, seed=1)


def accuracies(model: net.Model, folder: Path) -> list[float]:
    """Overall, then of each digit."""
    images, labels = load(folder / "test.npz")
    right = net.predict(model, images)[1].argmax(axis=1) == labels
    return [float(right.mean()), *(float(right[labels == digit].mean()) for digit in range(10))]


def table(columns: dict[str, list[float]]) -> str:
    width = max(9, *(len(name) for name in columns)) + 2
    lines = ["digit".ljust(7) + "".join(name.rjust(width) for name in columns)]
    for row, name in enumerate(("all", *map(str, range(10)))):
        lines.append(name.ljust(7) + "".join(f"{column[row]:.3f}".rjust(width) for column in columns.values()))
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the folder that split.py made")
    parser.add_argument("--federated", type=Path, required=True, help="the federated run's model")
    parser.add_argument("--alone", action="append", default=[], metavar="NAME=FILE", help="a model trained at one cluster alone")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--local-epochs", type=int, default=3)
    parser.add_argument("--learning-rate", type=float, default=0.05)
    options = parser.parse_args()
    models = {"federated": load_file(options.federated)}
    models["central"] = central(options.data, options.rounds * options.local_epochs, options.learning_rate)
    for given in options.alone:
        name, _, file = given.partition("=")
        models[name] = load_file(file)
    print("Accuracy on test digits that no cluster trained on:\n")
    print(table({name: accuracies(model, options.data) for name, model in models.items()}))


if __name__ == "__main__":
    main()
