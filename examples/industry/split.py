"""Makes the vibration data of four plants: `python split.py FOLDER` makes cluster1/ to cluster4/, each with healthy.npz and held-out.npz.

The windows are generated. A machine's vibration is its rotation and twice that, the meshing of its gear's teeth and twice that, and
noise. The plants have other machines: other speeds, gears and loads. The faults are the usual ones: imbalance (more of the rotation),
looseness (halves of it), and a bearing whose balls strike a flaw (impacts that ring at 700 Hz). A third of what a plant holds out is of a
machine that has just come from the plant before it, and that it has never trained on. No window is in two files. Always the same.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

RATE, WINDOW = 2000, 1024  # samples a second, and in a window
TRAINED, HEALTHY, OF_EACH_FAULT = 240, 120, 21  # windows of a plant
FAULTS = ("imbalance", "looseness", "bearing")


@dataclass(frozen=True)
class Plant:
    """`speed` in rotations a second, from lowest to highest, `load` as a share of the machine's power."""

    what: str
    speed: tuple[float, float]
    teeth: int
    load: tuple[float, float]


PLANTS = {
    "cluster1": Plant("waterworks", (24, 26), 19, (0.2, 0.6)),
    "cluster2": Plant("cement plant", (29, 31), 23, (0.5, 1.0)),
    "cluster3": Plant("steel mill", (14, 17), 31, (0.2, 0.9)),
    "cluster4": Plant("paper mill", (45, 50), 13, (0.4, 0.9)),
}


def window(plant: Plant, fault: str, rng: np.random.Generator) -> NDArray[np.float32]:
    time = np.arange(WINDOW) / RATE
    speed, load = rng.uniform(*plant.speed), rng.uniform(*plant.load)
    turn = 2 * np.pi * (speed * time + rng.random())

    def tone(times: float) -> NDArray[np.float64]:
        return np.sin(times * turn + rng.uniform(0, 2 * np.pi))

    x = 0.3 * tone(1) + load * (0.15 * tone(2) + 0.5 * tone(plant.teeth) + 0.2 * tone(2 * plant.teeth)) + 0.12 * rng.standard_normal(WINDOW)
    severity = rng.uniform(0.6, 1.2)
    if fault == "imbalance":
        x += severity * 0.5 * tone(1)
    if fault == "looseness":
        x += severity * 0.22 * sum(tone(half) for half in (0.5, 1.5, 2.5, 3.5))
    if fault == "bearing":
        for strike in np.arange(0, time[-1], 1 / (3.57 * speed)):
            since = np.maximum(time - strike - rng.normal(0, 0.0003), 0)
            x += severity * 0.9 * np.exp(-400 * since) * np.sin(2 * np.pi * 700 * since)
    return x.astype(np.float32)


def split(folder: Path) -> None:
    plants = list(PLANTS.values())
    for number, (cluster, plant) in enumerate(PLANTS.items()):
        rng = np.random.default_rng([5, number])
        place = folder / cluster
        place.mkdir(parents=True, exist_ok=True)
        np.savez_compressed(place / "healthy.npz", x=np.stack([window(plant, "", rng) for _ in range(TRAINED)]))
        faults = [""] * HEALTHY + [fault for fault in FAULTS for _ in range(OF_EACH_FAULT)]
        moved = np.arange(len(faults)) % 3 == 2
        held_out = np.stack(
            [window(plants[number - 1] if other else plant, fault, rng) for other, fault in zip(moved, faults, strict=True)]
        )
        np.savez_compressed(place / "held-out.npz", x=held_out, fault=np.array(faults), moved=moved)
        print(
            f"{place}: {plant.what}, {plant.speed[0]} to {plant.speed[1]} rotations a second, {TRAINED} windows and {len(faults)} held out"
        )


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    split(Path(sys.argv[1]))
