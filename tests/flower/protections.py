"""Replies of any form through `private.Protection`, run with the Python of Flower's environment: prints what leaves of each as JSON."""

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, MetricRecord, RecordDict
from panal_tools.flower.private import NotProtectedError, Protection, kept

WHERE = Path(sys.argv[1])
TINY = 1e-6


def bfloat16(*numbers):
    """As Flower has arrays of a type that numpy lacks."""
    array = Array((np.array(numbers, np.float32).view(np.uint32) >> 16).astype(np.uint16).view("V2"))
    array.dtype = "bfloat16"
    return array


def shown(array):
    found = array.numpy()
    if array.dtype == "bfloat16":
        found = (found.view(np.uint16).astype(np.uint32) << 16).view(np.float32)
    return {"dtype": array.dtype, "shape": list(array.shape), "numbers": found.astype(float).ravel().tolist()}


def protection(norm=1.0, metrics="Weight", noise=TINY):
    text = json.dumps({"clippingNorm": norm, "noiseMultiplier": noise, "metrics": metrics, "mostUpdates": None})
    made = Protection.of({"PANAL_PRIVACY": text}, WHERE)
    assert made is not None
    return made


def leaves(sent, replied, kind="train", metrics=None, more=None, **settings):
    def record(arrays):
        return ArrayRecord({name: a if isinstance(a, Array) else Array(np.asarray(a)) for name, a in arrays.items()})

    message = SimpleNamespace(content=RecordDict({"arrays": record(sent)}), has_content=lambda: True)
    content = RecordDict({"metrics": MetricRecord(metrics or {"num-examples": 3})})
    if replied is not None:
        content["arrays"] = record(replied)
    for name, each in (more or {}).items():
        content[name] = each
    try:
        found = protection(**settings).protected(kind, kept(message), content)
    except NotProtectedError as error:
        return {"withheld": str(error.code), "why": str(error)}
    return {
        "arrays": {name: shown(array) for record in found.array_records.values() for name, array in record.items()},
        "metrics": {name: dict(record) for name, record in found.metric_records.items()},
        "configs": list(found.config_records),
    }


ZERO = np.zeros(3, np.float32)
CASES = {
    "bfloat16": lambda: leaves({"w": bfloat16(1.0, 2.0, 0.0)}, {"w": bfloat16(4.0, 6.0, 0.0)}, norm=2.5),
    "large bfloat16": lambda: leaves({"w": bfloat16(3.3e38)}, {"w": bfloat16(3.3e38)}, norm=1e9, noise=1e3),
    "averaged counter": lambda: leaves({"w": ZERO, "n": np.array(7.25)}, {"w": ZERO + 1, "n": np.array(500)}, norm=10.0),
    "flags": lambda: leaves({"w": ZERO, "on": np.array([True])}, {"w": ZERO + 1, "on": np.array([False])}, norm=10.0),
    "another float": lambda: leaves({"w": ZERO}, {"w": np.full(3, 1.0)}, norm=10.0),
    "fewer arrays": lambda: leaves({"w": ZERO, "v": ZERO}, {"v": ZERO + 1}, norm=10.0),
    "zero": lambda: leaves({"w": ZERO}, {"w": ZERO}, noise=1.0),
    "integers alone": lambda: leaves({"n": np.array([1])}, {"n": np.array([2])}),
    "trees": lambda: leaves({"0": np.zeros(4, np.uint8)}, {"0": np.ones(9, np.uint8)}),
    "complex": lambda: leaves({"w": ZERO.astype(complex)}, {"w": ZERO.astype(complex)}),
    "floats for text": lambda: leaves({"w": np.array(["a"])}, {"w": np.array([1.0])}),
    "another stype": lambda: leaves({"w": ZERO}, {"w": Array("float32", (3,), "my.format", b"123")}),
    "damaged": lambda: leaves({"w": ZERO}, {"w": Array("float32", (3,), "numpy.ndarray", b"123")}),
    "no arrays": lambda: leaves({"w": ZERO}, None),
    "the older interface": lambda: leaves({}, None, more={"fitres.parameters": ArrayRecord({"0": Array(ZERO)})}),
    "another record": lambda: leaves({"w": ZERO}, {"w": ZERO}, more={"second": ArrayRecord({"w": Array(ZERO)})}),
    "a kind of its own": lambda: leaves({"w": ZERO}, {"w": ZERO + 1}, kind="train.fine-tune"),
    "evaluation": lambda: leaves({"w": ZERO}, None, kind="evaluate", metrics={"num-examples": 3, "auc": 0.5}),
    "evaluation with arrays": lambda: leaves({"w": ZERO}, {"w": ZERO}, kind="evaluate"),
    "query": lambda: leaves({"w": ZERO}, None, kind="query.counts"),
    "weight": lambda: leaves({"w": ZERO}, {"w": ZERO}, metrics={"num-examples": 3, "auc": 0.5, "ages": [1, 2]}),
    "old weight": lambda: leaves({"w": ZERO}, {"w": ZERO}, metrics={"num_examples": 4, "auc": 0.5}),
    "a list as the weight": lambda: leaves({"w": ZERO}, {"w": ZERO}, metrics={"num-examples": [3, 4]}),
}


def with_metrics(setting):
    text = json.dumps({"clippingNorm": 1.0, "noiseMultiplier": TINY, "metrics": setting, "mostUpdates": None})
    content = RecordDict(
        {
            "arrays": ArrayRecord({"w": Array(ZERO)}),
            "metrics": MetricRecord({"num-examples": 3, "auc": 0.5}),
            "config": ConfigRecord({"name": "patient 4711"}),
        }
    )
    message = SimpleNamespace(content=RecordDict({"arrays": ArrayRecord({"w": Array(ZERO)})}), has_content=lambda: True)
    found = Protection.of({"PANAL_PRIVACY": text}, WHERE).protected("train", kept(message), content)
    return {"metrics": dict(found.metric_records["metrics"]), "configs": list(found.config_records)}


found = {name: case() for name, case in CASES.items()}
found |= {f"metrics: {setting}": with_metrics(setting) for setting in ("Weight", "None", "All")}
print(json.dumps(found))
