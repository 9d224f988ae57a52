"""Gives each hospital its own patients: `python split.py FOLDER` makes cluster1/ to cluster4/, each with patients.csv and held-out.csv.

Each hospital holds out two fifths of its ill and of its healthy patients. The hospitals are those of the data, and differ as they do:
a third to nine tenths of the patients are ill, and some variables were hardly measured. Zurich and Basel write 0 for cholesterol that was
not measured. One difference is ours: Long Beach has cholesterol in mmol/l. `coding.json` at these two says so. Always the same.
"""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path

import numpy as np

SOURCE = Path(__file__).with_name("heart.csv")
HOSPITALS = {"cluster1": "Cleveland", "cluster2": "Budapest", "cluster3": "Zurich and Basel", "cluster4": "Long Beach"}
HELD_OUT = 0.4
MMOL = 38.67  # mg/dl of cholesterol in one mmol/l
CODINGS = {"cluster3": {"chol": {"missing": 0}}, "cluster4": {"chol": {"missing": 0, "factor": MMOL}, "trestbps": {"missing": 0}}}


def patients(cluster: str) -> list[dict[str, str]]:
    """As the hospital codes them."""
    with SOURCE.open(newline="") as lines:
        rows = [row for row in csv.DictReader(lines) if row.pop("hospital") == HOSPITALS[cluster]]
    factor = CODINGS.get(cluster, {}).get("chol", {}).get("factor")
    return [row | {"chol": f"{float(row['chol']) / factor:.2f}"} if factor and row["chol"] else row for row in rows]


def split(folder: Path) -> None:
    rng = np.random.default_rng(7)
    for cluster, hospital in HOSPITALS.items():
        rows = patients(cluster)
        ill = np.array([row["num"] != "0" for row in rows])
        held = np.zeros(len(rows), bool)
        for group in (ill, ~ill):
            order = rng.permutation(np.flatnonzero(group))
            held[order[: round(HELD_OUT * len(order))]] = True
        place = folder / cluster
        place.mkdir(parents=True, exist_ok=True)
        for name, chosen in (("patients.csv", ~held), ("held-out.csv", held)):
            with (place / name).open("w", newline="") as file:
                writer = csv.DictWriter(file, rows[0].keys(), lineterminator="\n")
                writer.writeheader()
                writer.writerows(row for row, take in zip(rows, chosen, strict=True) if take)
        if cluster in CODINGS:
            (place / "coding.json").write_text(json.dumps(CODINGS[cluster]) + "\n")
        print(f"{place}: {hospital}, {(~held).sum()} patients and {held.sum()} held out, {ill.mean():.0%} ill")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    split(Path(sys.argv[1]))
