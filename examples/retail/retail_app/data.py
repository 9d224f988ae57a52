"""A store's sales as a CSV file, and what a forecast for a day knows a week before.

`sales.csv` has one line for each product and day: date, product, category (0, 1, ...), price (of the list), discount (a share), holiday
(0 or 1), temperature (°C), and sold (pieces). The last HELD_OUT days are never trained on.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

COLUMNS = ("date", "product", "category", "price", "discount", "holiday", "temperature", "sold")
FEATURES = ("category", "price", "discount", "day of year", "holiday", "temperature", "weekday's share")
HELD_OUT = 56  # days
AHEAD = 7  # a forecast for a day may use sales until this many days before it
USUAL = 28  # days of which the mean is the product's usual demand
WEEKS = 8  # of which the same weekday is compared with all days


@dataclass(frozen=True)
class Days:
    """`x` (n, len(FEATURES)), `usual` and `sold` (n,): of n products and days."""

    x: Floats
    usual: Floats
    sold: Floats

    def __len__(self) -> int:
        return len(self.sold)

    @property
    def target(self) -> Floats:
        """The logarithm of how many times the usual demand was sold."""
        return (np.log1p(self.sold) - np.log1p(self.usual)).astype(np.float32)


def load(folder: Path) -> tuple[Days, Days]:
    """The days to train on, and those held out. Raises ValueError if the file has other columns or too few days."""
    file = folder / "sales.csv"
    with file.open(newline="") as lines:
        reader = csv.DictReader(lines)
        if absent := [name for name in COLUMNS if name not in (reader.fieldnames or ())]:
            raise ValueError(f"{file.name} lacks the columns {', '.join(absent)}")
        rows = [[date.fromisoformat(row["date"]).toordinal(), *(float(row[name]) for name in COLUMNS[1:])] for row in reader]
    table = np.array(rows, float)
    last = table[:, 0].max() if len(table) else 0
    if not len(table) or last - table[:, 0].min() < HELD_OUT + 7 * WEEKS + AHEAD:
        raise ValueError(f"{file.name} has too few days: at least {HELD_OUT + 7 * WEEKS + AHEAD} are needed")
    parts = [known(table[table[:, 1] == product]) for product in np.unique(table[:, 1])]
    days, x, usual, sold = (np.concatenate(each) for each in zip(*parts, strict=True))
    held = days > last - HELD_OUT
    return Days(x[~held], usual[~held], sold[~held]), Days(x[held], usual[held], sold[held])


def known(table: NDArray[np.float64]) -> tuple[NDArray[np.float64], Floats, Floats, Floats]:
    """Of one product, with a row for each day: the days on which enough is known, and their `x`, `usual` and `sold`."""
    table = table[np.argsort(table[:, 0])]
    sold = table[:, -1]
    total = np.concatenate([[0], np.cumsum(sold)])
    at = np.arange(7 * WEEKS + AHEAD, len(sold))
    usual = (total[at - AHEAD + 1] - total[at - AHEAD + 1 - USUAL]) / USUAL
    same = sum(sold[at - 7 * week] for week in range(1, WEEKS + 1)) / WEEKS
    all_days = (total[at - AHEAD + 1] - total[at - AHEAD + 1 - 7 * WEEKS]) / (7 * WEEKS)
    share = same / np.maximum(all_days, 0.5)
    of_year = np.array([date.fromordinal(int(day)).timetuple().tm_yday for day in table[at, 0]])
    x = np.column_stack([table[at, 2], table[at, 3], table[at, 4], of_year, table[at, 5], table[at, 6], share])
    return table[at, 0], x.astype(np.float32), usual.astype(np.float32), sold[at].astype(np.float32)
