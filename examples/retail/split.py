"""Makes the sales of five stores: `python split.py FOLDER` makes cluster1/ to cluster5/, each with sales.csv. Always the same.

The sales are generated. How people react is the same everywhere: to a discount by category, to the season, the weather and holidays. What a
store has seen of it differs: its assortment, its weekends, the discounts that it has tried, and for how long it is open. In the last eight
weeks, which no store trains on, every store has discounts of all sizes. The pieces sold of a product on a day are a gamma-distributed mean
with a Poisson distribution.
"""

from __future__ import annotations

import csv
import sys
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import numpy as np

BEGIN, DAYS, LAST = date(2023, 6, 1), 1095, 56  # LAST: the days that the app holds out
PRODUCTS = 20
DISCOUNTS = (0.0, 0.1, 0.2, 0.3, 0.4)
HOLIDAYS = ((1, 1), (4, 15), (5, 1), (5, 28), (8, 15), (10, 3), (11, 1), (12, 25), (12, 26))

# Of each of four categories, such as cold drinks, staples, sweets and household goods
ELASTICITY = (-2.6, -1.8, -1.2, -0.7)
SEASON = (0.7, 0.0, -0.5, 0.15)  # of the logarithm, from winter to summer
WEEKEND = (0.3, 0.1, 0.15, -0.1)
HOLIDAY = (0.5, 0.2, 0.6, 0.1)


@dataclass(frozen=True)
class Store:
    """`weekend` and `season` are of the logarithm of the demand, `open` days before the last weeks, `mix` the shares of the categories."""

    what: str
    size: float
    weekend: float
    season: float
    discounts: tuple[float, ...]
    open: int
    mix: tuple[float, ...]


STORES = {
    "cluster1": Store("office district", 1.0, -0.6, 0.8, (0.0, 0.1), 1039, (0.1, 0.6, 0.2, 0.1)),
    "cluster2": Store("retail park", 1.6, 0.7, 0.9, (0.0, 0.1, 0.2, 0.3), 589, (0.25, 0.25, 0.25, 0.25)),
    "cluster3": Store("seaside", 0.7, 0.3, 1.3, (0.0, 0.2), 230, (0.6, 0.1, 0.1, 0.2)),
    "cluster4": Store("new suburb", 1.2, 0.1, 1.0, (0.0,), 250, (0.25, 0.25, 0.25, 0.25)),
    "cluster5": Store("discounter", 0.9, 0.3, 1.0, (0.0, 0.3, 0.4), 639, (0.1, 0.1, 0.6, 0.2)),
}


def sales(store: Store, rng: np.random.Generator) -> list[tuple]:
    dates = [BEGIN + timedelta(days=number) for number in range(DAYS)]
    of_year = np.array([day.timetuple().tm_yday for day in dates])
    weekend = np.array([day.weekday() >= 5 for day in dates])
    holiday = np.array([(day.month, day.day) in HOLIDAYS for day in dates])
    summer = np.sin(2 * np.pi * (of_year - 105) / 365)
    weather = np.convolve(rng.standard_normal(DAYS + 6), np.ones(7) / np.sqrt(7), "valid") * 4  # degrees above the usual
    week = np.arange(DAYS) // 7
    rows: list[tuple] = []
    for product in range(PRODUCTS):
        category = int(rng.choice(4, p=store.mix))
        usual, price = rng.lognormal(3.2, 0.6) * store.size, rng.uniform(1, 12)
        weeks = DAYS // 7 + 1
        offered = rng.random(weeks) < 0.35
        depth = np.where(np.arange(weeks) * 7 < DAYS - LAST, rng.choice(store.discounts, weeks), rng.choice(DISCOUNTS, weeks))
        discount = (depth * offered)[week]
        logarithm = (
            ELASTICITY[category] * np.log(1 - discount)
            + 0.25 * (discount > 0)
            + SEASON[category] * (store.season * summer + 0.04 * weather)
            + store.weekend * (1 + WEEKEND[category]) * weekend
            + HOLIDAY[category] * holiday
        )
        sold = rng.poisson(rng.gamma(40, usual * np.exp(logarithm) / 40))
        rows += [
            (dates[n], product, category, f"{price:.2f}", discount[n], int(holiday[n]), f"{12 + 10 * summer[n] + weather[n]:.1f}", sold[n])
            for n in range(DAYS - LAST - store.open, DAYS)
        ]
    return rows


def split(folder: Path) -> None:
    for number, (cluster, store) in enumerate(STORES.items()):
        rows = sales(store, np.random.default_rng([3, number]))
        place = folder / cluster
        place.mkdir(parents=True, exist_ok=True)
        with (place / "sales.csv").open("w", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(("date", "product", "category", "price", "discount", "holiday", "temperature", "sold"))
            writer.writerows(rows)
        print(f"{place}: {store.what}, {PRODUCTS} products on {store.open + LAST} days, discounts {store.discounts}")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    split(Path(sys.argv[1]))
