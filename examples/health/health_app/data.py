"""Patients as a CSV file, and the site's own coding of them.

`patients.csv` has the columns of VARIABLES and `num`, the diagnosis: 0 is healthy, 1 to 4 are ill. An empty field was not measured. A
hospital that codes a variable in another way puts `coding.json` beside it, such as

    {"chol": {"factor": 38.67, "missing": 0}}

by which cholesterol is in mmol/l instead of mg/dl, and 0 means that it was not measured. The data stays as it is.
"""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Patients = tuple[Floats, NDArray[np.int64]]

# name: (centre, scale, lowest and highest plausible median). Fixed numbers: none is computed from the patients of a site.
MEASURED = {
    "age": (55, 10, 18, 100),
    "trestbps": (132, 19, 90, 200),  # resting blood pressure, mmHg
    "chol": (240, 60, 100, 500),  # serum cholesterol, mg/dl
    "thalach": (140, 25, 70, 220),  # highest heart rate, per minute
    "oldpeak": (0.9, 1.0, -1, 6),  # ST depression by exercise, mm
    "ca": (0.7, 0.9, 0, 3),  # major vessels coloured by fluoroscopy
}
OFTEN_MISSING = ("chol", "ca")  # whether they were measured is a feature
YES_OR_NO = ("sex", "fbs", "exang")  # male, fasting blood sugar > 120 mg/dl, angina by exercise
KINDS = {"cp": (1, 2, 3, 4), "restecg": (0, 1, 2), "slope": (1, 2, 3), "thal": (3, 6, 7)}
VARIABLES = (*MEASURED, *YES_OR_NO, *KINDS)
FEATURES = (
    *MEASURED,
    *(f"{name} not measured" for name in OFTEN_MISSING),
    *YES_OR_NO,
    *(f"{name} is {kind}" for name, kinds in KINDS.items() for kind in kinds),
)


def load(file: Path) -> Patients:
    """(n, len(FEATURES)) features and (n,) diagnoses, 1 for ill. Raises ValueError if the file cannot be read as this module says."""
    with file.open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    absent = [name for name in (*VARIABLES, "num") if not rows or name not in rows[0]]
    if absent:
        raise ValueError(f"{file.name} has no patients, or lacks the columns {', '.join(absent)}")
    coding = file.with_name("coding.json")
    own = json.loads(coding.read_text()) if coding.is_file() else {}
    if unknown := own.keys() - set(VARIABLES):
        raise ValueError(f"{coding.name} names {', '.join(sorted(unknown))}; the variables are {', '.join(VARIABLES)}")
    values = {name: read([row[name] for row in rows], **own.get(name, {})) for name in VARIABLES}
    diagnosis = np.array([int(row["num"]) > 0 for row in rows], np.int64)
    return encode(values), diagnosis


def read(texts: list[str], factor: float = 1.0, missing: float | None = None) -> Floats:
    """The numbers in the common coding, NaN where nothing was measured."""
    found = np.array([float(text) if text else np.nan for text in texts])
    if missing is not None:
        found[found == missing] = np.nan
    return (found * factor).astype(np.float32)


def encode(values: dict[str, Floats]) -> Floats:
    """A missing number is the centre, a missing kind is none of the kinds. Raises ValueError if a variable seems to be coded otherwise."""
    columns = []
    for name, (centre, scale, lowest, highest) in MEASURED.items():
        there = values[name][~np.isnan(values[name])]
        if len(there) and not lowest <= np.median(there) <= highest:
            message = f"{name}: the median is {np.median(there):.1f}, and plausible are {lowest} to {highest}"
            raise ValueError(f"{message}. If this site codes it in another way, say how in coding.json beside the data")
        columns.append(np.nan_to_num((values[name] - centre) / scale))
    columns += [np.isnan(values[name]) for name in OFTEN_MISSING]
    columns += [np.nan_to_num(values[name] * 2 - 1) for name in YES_OR_NO]
    columns += [values[name] == kind for name, kinds in KINDS.items() for kind in kinds]
    return np.stack(columns, axis=1).astype(np.float32)
