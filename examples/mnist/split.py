"""Deals out the digits: `python split.py FOLDER` makes cluster1/, cluster2/, cluster3/ and test.npz.

Each cluster gets 80 % of the digits of its own classes and 10 % of the others', so about four fifths of what it sees are three or four
classes (train.npz). The test digits, 1,500 of all classes as they occur, are in no cluster's train.npz. They are dealt out in the same way
as what each cluster holds out (held-out.npz). Always the same.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

OWN = {"cluster1": (0, 1, 2), "cluster2": (3, 4, 5), "cluster3": (6, 7, 8, 9)}
SHARE = 0.8
TEST = 1500 / 8000
SOURCE = Path(__file__).parent / "mnist8k.npz"

Rows = NDArray[np.int64]


def deal(labels: NDArray[np.uint8]) -> dict[str, Rows]:
    """Rows of each file, by its path."""
    rng = np.random.default_rng(7)
    dealt: dict[str, list[Rows]] = {f"{name}/{file}": [] for name in OWN for file in ("train.npz", "held-out.npz")} | {"test.npz": []}
    for digit in range(10):
        rows = rng.permutation(np.flatnonzero(labels == digit))
        test = round(len(rows) * TEST)
        dealt["test.npz"].append(rows[:test])
        for file, part in (("train.npz", rows[test:]), ("held-out.npz", rows[:test])):
            for name, own in shares(digit, part).items():
                dealt[f"{name}/{file}"].append(own)
    return {file: np.sort(np.concatenate(parts)) for file, parts in dealt.items()}


def shares(digit: int, rows: Rows) -> dict[str, Rows]:
    """The rows of a digit, by cluster."""
    owner = next(name for name, own in OWN.items() if digit in own)
    first, second = (name for name in OWN if name != owner)
    kept = round(SHARE * len(rows))
    half = (len(rows) - kept) // 2
    return {owner: rows[:kept], first: rows[kept : kept + half], second: rows[kept + half :]}


def split(folder: Path) -> None:
    with np.load(SOURCE) as source:
        images, labels = source["x"], source["y"]
    for name, rows in deal(labels).items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        np.savez_compressed(file, x=images[rows], y=labels[rows])
        print(f"{file}: {len(rows)} digits, of 0 to 9: {' '.join(map(str, np.bincount(labels[rows], minlength=10)))}")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    split(Path(sys.argv[1]))
