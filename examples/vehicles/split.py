"""Makes the drives of five vehicles: `python split.py FOLDER` makes cluster1/ to cluster5/, each with drives.npz and held-out.npz.

The windows are generated, 16 seconds each. Crosswind moves the vehicle, and the driver steers back: an alert driver soon and a little, a
drowsy one late, only when the vehicle is far off, and too much. The vehicles differ in their roads (curves are in the steering angle
too), in the ratio of their steering, in the noise of its sensor, and in how often their drivers were drowsy. Half of the held-out drives
are of drowsy drivers. Always the same.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

LENGTH = 160
DRIVES, HELD_OUT = 400, 200


@dataclass(frozen=True)
class Vehicle:
    """`curves` in radians of steering, `ratio` of steering to course, `noise` of the steering's sensor, `drowsy` the share of drives."""

    what: str
    curves: float
    ratio: float
    noise: float
    drowsy: float


VEHICLES = {
    "cluster1": Vehicle("motorway coach", 0.05, 1.0, 0.015, 0.5),
    "cluster2": Vehicle("mountain bus", 0.35, 1.0, 0.022, 0.2),
    "cluster3": Vehicle("worn van", 0.1, 0.5, 0.052, 0.35),
    "cluster4": Vehicle("motorway lorry", 0.05, 1.6, 0.015, 0.1),
    "cluster5": Vehicle("country van", 0.45, 0.7, 0.045, 0.4),
}


def drive(vehicle: Vehicle, drowsy: bool, rng: np.random.Generator) -> NDArray[np.float32]:
    delay = int(rng.integers(8, 14)) if drowsy else 2  # tenths of a second
    far = rng.uniform(0.25, 0.5) if drowsy else 0.08  # metres
    strength = rng.uniform(0.5, 0.9) if drowsy else 0.25
    curve = vehicle.curves * np.sin(2 * np.pi * np.arange(LENGTH) / rng.uniform(40, 90) + rng.uniform(0, 6))
    offsets = [rng.normal(0, 0.2)] * 16
    steering = wind = 0.0
    x = np.empty((2, LENGTH), np.float32)
    for time in range(LENGTH):
        seen = offsets[-delay] + rng.normal(0, 0.03)
        steering = 0.6 * steering - 0.4 * strength * np.sign(seen) * max(0.0, abs(seen) - far)
        wind = 0.9 * wind + rng.normal(0, 0.04)
        offsets.append(offsets[-1] + 0.25 * steering + 0.15 * wind)
        x[:, time] = vehicle.ratio * (steering + curve[time]), offsets[-1]
    return x + np.stack([rng.normal(0, 0.02 + vehicle.noise, LENGTH), rng.normal(0, 0.03, LENGTH)]).astype(np.float32)


def split(folder: Path) -> None:
    for number, (cluster, vehicle) in enumerate(VEHICLES.items()):
        rng = np.random.default_rng([4, number])
        place = folder / cluster
        place.mkdir(parents=True, exist_ok=True)
        for name, count, share in (("drives", DRIVES, vehicle.drowsy), ("held-out", HELD_OUT, 0.5)):
            drowsy = rng.permutation(np.arange(count) < round(share * count))
            np.savez_compressed(place / f"{name}.npz", x=np.stack([drive(vehicle, each, rng) for each in drowsy]), drowsy=drowsy)
        print(f"{place}: {vehicle.what}, {DRIVES} drives, {vehicle.drowsy:.0%} of them drowsy, and {HELD_OUT} held out")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    split(Path(sys.argv[1]))
