"""What OpenFL's Aggregator needs to go on with the next round, as arrays and JSON for a checkpoint.

That are the model, the best score, and OpenFL's file of the best model. A run cannot be resumed
exactly if sites keep a state from round to round, or if a function that aggregates may have one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ..checkpoint import Saved
from ..files import Json
from .majority import Result, Results

MODEL = ("model",)  # OpenFL's tags of the model
TENSOR = "model/"  # prefix of the arrays that are tensors of the model
BEST = "best.pbuf"  # the array with the content of OpenFL's file of the best model
LOCAL = "CONTINUE_LOCAL"
FUNCTIONS = "openfl.interface.aggregation_functions."
STATELESS = frozenset({"WeightedAverage", "Median", "GeometricMedian", "FedCurvWeightedAverage", "FedBaggingXGBoost"})


def not_resumable(config: Mapping[str, Any], functions: Iterable[Any]) -> str:
    """Why a run of the plan with this `config` cannot be resumed exactly; empty if it can. `functions` aggregate its tasks."""
    settings = (config.get("collaborator") or {}).get("settings") or {}
    if settings.get("opt_treatment") == LOCAL:
        return f"with opt_treatment {LOCAL} the sites keep the state of their optimizers in memory"
    if settings.get("use_delta_updates"):
        return "with use_delta_updates and compression the sites keep their model of the last round in memory"
    for kind in map(type, functions):
        if not kind.__module__.startswith(FUNCTIONS) or kind.__name__ not in STATELESS:
            return f"the aggregation function {kind.__name__} may have a state of its own"
    return ""


def state_of(agg: Any, model: Mapping[str, Any]) -> tuple[dict[str, Any], Json]:
    """Of OpenFL's Aggregator between two rounds. `model` are the tensors with which the next round starts."""
    import numpy as np

    arrays = {TENSOR + name: numbers for name, numbers in model.items()}
    if (best := Path(agg.best_state_path)).is_file():
        arrays[BEST] = np.frombuffer(best.read_bytes(), np.uint8)
    return arrays, {"score": None if agg.best_model_score is None else float(agg.best_model_score)}


def restore(agg: Any, saved: Saved) -> None:
    """Replaces the state of a new Aggregator."""
    from openfl.utilities import TensorKey

    arrays = saved.arrays()
    model = {name.removeprefix(TENSOR): numbers for name, numbers in arrays.items() if name.startswith(TENSOR)}
    forget(agg.tensor_db)
    agg.tensor_db.cache_tensor({TensorKey(name, agg.uuid, saved.round, False, MODEL): numbers for name, numbers in model.items()})
    agg.round_number, agg.best_model_score = saved.round, saved.state["score"]
    if BEST in arrays:
        Path(agg.best_state_path).write_bytes(arrays[BEST].tobytes())


def forget(tensor_db: Any) -> None:
    """Removes all tensors of a TensorDB."""
    tensor_db.tensor_db = tensor_db.tensor_db.iloc[0:0].reset_index(drop=True)


def results_as_json(results: Results | None) -> Json | None:
    if results is None:
        return None
    return {task: [each.size, [[name, report, sorted(tags)] for name, report, tags in sorted(each.names, key=repr)]]
            for task, each in results.items()}  # fmt: skip


def read_results(found: Json | None) -> Results | None:
    if found is None:
        return None
    return {task: Result(frozenset((name, report, frozenset(tags)) for name, report, tags in names), size)
            for task, (size, names) in found.items()}  # fmt: skip
