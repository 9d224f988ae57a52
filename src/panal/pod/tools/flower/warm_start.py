"""The model with which a run begins, in place of the arrays that the app starts with (`spec.server.initialModel`).

The reporter has put it into the run's folder. Before the first round its names, shapes and types are compared with those of the app's own
initial arrays, and the app's are replaced. Vectors of uint8, which contain other data such as trees, may have any length. Numbers that were
integers may be float64, because the average of integers is, and the app's clients got them so in the rounds before.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from .. import checkpoint
from ..codes import Ending
from ..files import ARRAYS, INITIAL, MODEL, Json, RunError, log_line, read_json, run_dir, shown
from ..model import LONGEST_NAME, named, type_name
from .journal import Journal
from .judge import NUMPY

BYTES = "uint8"
AVERAGED = "float64"
FIELD = "spec.server.initialModel"
LOST = f"{FIELD}: the reporter could not read the model again, and the run has no checkpoint that it can use; see the reporter's log"


class WarmStart:
    """Gives the model of `spec.server.initialModel` to the first start of the app. `wanted`: the run has one."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self.wanted = os.environ.get("PANAL_WARM_START") == "true"
        self.used = self.passed_over = False

    def arrays(self, own: Any) -> Any:
        """The ArrayRecord with which the app starts, in place of its `own`. Raises RunError if the model does not fit."""
        if not self.wanted or self.used:
            return own
        if checkpoint.last() is not None and self._description() is None:
            self.used = self.passed_over = True  # the run goes on after its checkpoint
            return own
        record, array = _flower()
        return record({name: array.from_numpy_ndarray(found) for name, found in self._model(_described(own)).items()})

    def parameters(self, own: Any) -> Any:
        """The same for Parameters of Flower's older interface."""
        return type(own)(tensors=self._tensors(own.tensors), tensor_type=own.tensor_type) if self.wanted and not self.used else own

    def parameters_in(self, own: Any) -> Any:
        """The same for an ArrayRecord in which a workflow of the older interface keeps Parameters."""
        if not self.wanted or self.used:
            return own
        record, array = _flower()
        tensors = self._tensors([bytes(each.data) for each in own.values()])
        known = list(own.items()) or [(str(n), array(dtype="", shape=(), stype=NUMPY, data=b"")) for n in range(len(tensors))]
        return record({n: array(dtype=a.dtype, shape=a.shape, stype=a.stype, data=t) for (n, a), t in zip(known, tensors)})

    def _tensors(self, own: Sequence[bytes]) -> list[bytes]:
        """Tensors are in npy format, or bytes of the app, such as trees."""
        described = {str(n): _npy(tensor) for n, tensor in enumerate(own)}
        return [_as_tensor(array) for array in self._model(described).values()]

    def require_used(self) -> None:
        """Raises RunError if the app trains without having asked for initial arrays."""
        if self.wanted and not self.used:
            raise self._stop(Ending.INITIAL_MODEL_UNUSABLE, f"{FIELD}: the app starts in a way in which it can be given no model")

    def require_model(self) -> None:
        """Raises RunError if the run begins with its first round, and the model was left out because there is a checkpoint."""
        if self.passed_over:
            raise self._stop(Ending.INITIAL_MODEL_UNUSABLE, LOST)

    def refuse(self, why: str) -> None:
        """Raises RunError if the run wants such a model, which this app cannot begin with."""
        if self.wanted and not self.used:
            raise self._stop(Ending.INITIAL_MODEL_UNUSABLE, f"{FIELD}: {why}")

    def _model(self, own: Mapping[str, tuple[str, tuple[int, ...]]]) -> dict[str, Any]:
        """The arrays of the model as numpy arrays, in the order of the app's."""
        import numpy as np

        self.used = True
        description = self._description()
        if description is None:
            raise self._stop(Ending.INITIAL_MODEL_UNUSABLE, LOST)
        names: list[str] = description["arrays"]
        with np.load(run_dir() / INITIAL / ARRAYS, allow_pickle=False) as archive:
            found = {name: archive[str(index)] for index, name in enumerate(names)}
        described = {name: (type_name(array), tuple(array.shape)) for name, array in found.items()}
        if own and (differences := compare(own, described)):
            raise self._stop(Ending.INITIAL_MODEL_DIFFERS, f"{description['uri']} does not fit the app: {differences}")
        log_line(f"beginning with {description['uri']}, {description['digest']}")
        return {name: found[name] for name in own or found}

    def _description(self) -> Json | None:
        checkpoint.last()  # the reporter puts the model there before it says whether there is a checkpoint
        return read_json(run_dir() / INITIAL / MODEL)

    def _stop(self, reason: Ending, message: str) -> RunError:
        self._journal.stopped(reason, message)
        return RunError(reason, message)


def compare(own: Mapping[str, tuple[str, tuple[int, ...]]], model: Mapping[str, tuple[str, tuple[int, ...]]]) -> str:
    """How the arrays of a model, by name with type and shape, differ from those of the app; empty if they fit."""
    missing = [_short(name) for name in own if name not in model]
    further = [_short(name) for name in model if name not in own]
    other = [f"{_short(n)} is {_text(*model[n])} and not {_text(*own[n])}" for n in own if n in model and not _fits(own[n], model[n])]
    parts = [
        f"it lacks {named(missing)}" if missing else "",
        f"the app has no {named(further)}" if further else "",
        "; ".join(other[:3]) + (f" and {len(other) - 3} more" if len(other) > 3 else ""),
    ]
    return "; ".join(part for part in parts if part)


def _fits(own: tuple[str, tuple[int, ...]], found: tuple[str, tuple[int, ...]]) -> bool:
    (kind, shape), (its_kind, its_shape) = own, found
    if kind == its_kind == BYTES and len(shape) == len(its_shape) == 1:
        return True
    averaged = kind.startswith(("int", "uint", "bool")) and its_kind == AVERAGED
    return shape == its_shape and (kind == its_kind or averaged)


def _short(name: str) -> str:
    return shown(name, LONGEST_NAME)


def _text(kind: str, shape: Sequence[int]) -> str:
    return f"{kind} {tuple(shape)}"


def _described(arrays: Mapping[str, Any] | None) -> dict[str, tuple[str, tuple[int, ...]]]:
    return {str(name): (type_name(array), tuple(array.shape)) for name, array in (arrays or {}).items()}


def _npy(tensor: bytes) -> tuple[str, tuple[int, ...]]:
    import numpy as np

    if not tensor.startswith(np.lib.format.MAGIC_PREFIX):
        return BYTES, (len(tensor),)
    array = np.load(io.BytesIO(tensor), allow_pickle=False)
    return type_name(array), tuple(array.shape)


def _as_tensor(array: Any) -> bytes:
    """As `legacy_hook.as_arrays` reads it."""
    import numpy as np

    if type_name(array) == BYTES and array.ndim == 1:
        return bytes(array.tobytes())
    file = io.BytesIO()
    np.save(file, array, allow_pickle=False)
    return file.getvalue()


def _flower() -> tuple[Callable[..., Any], Any]:
    import flwr.app

    return flwr.app.ArrayRecord, flwr.app.Array
