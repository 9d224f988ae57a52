"""Vibration: windows of acceleration, and their spectrum in bands.

`healthy.npz` has `x` (n, 1024), windows of healthy machines in units of g at RATE samples a second. `held-out.npz` has other windows in
`x`, and in `fault` (n,) the names of their faults; an empty name is a healthy machine.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

RATE = 2000
WINDOW = 1024
BANDS = 48


def load(file: Path) -> tuple[Floats, NDArray[np.str_]]:
    """(n, BANDS) spectra and (n,) faults. Raises ValueError if the windows have another form."""
    with np.load(file) as data:
        x = data["x"]
        fault = data["fault"] if "fault" in data else np.full(len(x), "")
    if x.ndim != 2 or x.shape[1] != WINDOW or not len(x):
        raise ValueError(f"{file.name}: x is {x.shape}, not (n, {WINDOW})")
    if not np.isfinite(x).all():
        raise ValueError(f"{file.name}: x has values that are not numbers")
    return spectra(x), fault


def spectra(x: Floats) -> Floats:
    """The logarithm of the energy in each of BANDS bands up to half of RATE, shifted by a fixed number to be around zero."""
    energy = np.abs(np.fft.rfft(x * np.hanning(WINDOW), axis=1)[:, 1:]) ** 2
    edges = np.linspace(0, energy.shape[1], BANDS, endpoint=False).astype(int)
    return (np.log10(np.add.reduceat(energy, edges, axis=1) + 1e-2) - 1.5).astype(np.float32)
