"""Decides which replies of a phase reach the strategy. A reply that would make the strategy raise, or spoil the model, is refused.

Each reply is described by its arrays (record, name, type, shape) and metrics (record, key, kind). The rules are pure:
- Arrays whose data does not match their header, and invalid weights, are always refused.
- If at least half of the replies have only finite arrays, the others are refused. Otherwise the app diverges, and the strategy gets all
  replies. Metrics may be NaN: a site with one class has no AUC.
- If at least half of the replies have exactly the arrays that were sent, the others are refused. Apps with other kinds of replies (trees,
  statistics, embeddings) have no such half, so their arrays may have any shape.
- Flower's strategies require the same names in all replies: those of the majority, else those of an earlier round. An app's own strategy
  may accept different names, so these replies are refused only if it raises (`outliers`).
"""

from __future__ import annotations

import io
import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from .. import model
from ..codes import Refused
from .arrays import stored
from .spool import BLOCK, Contents

LARGEST_WEIGHT = float(2**53)
SHOWN = 3  # differences that a refusal names
NUMPY = "numpy.ndarray"
VERSIONS = ((1, 0), (2, 0), (3, 0))  # of numpy's format
LONGEST_AXIS = 2**62

Where = tuple[str, str]  # the name of the record, and of the array, metric or value in it
Verdict = tuple[Refused, str]  # why a reply is refused: code and text
Names = tuple[Mapping[Where, str], ...]  # arrays, metrics and other values, each with the properties that must be equal


@dataclass(frozen=True)
class Description:
    arrays: Mapping[Where, str]
    metrics: Mapping[Where, str]
    configs: Mapping[Where, str]
    trouble: Verdict | None = None  # why the reply is refused independently of the others
    infinite: str = ""  # the name of an array with numbers that are not finite

    def names(self, *, strict: bool) -> Names:
        """Everything except the arrays' types and shapes; without other values if `strict`, as Flower's strategies ignore these."""
        return dict.fromkeys(self.arrays, ""), self.metrics, {} if strict else self.configs


@dataclass(frozen=True)
class Rules:
    """`consistent` and `finite` are spec.server.replies. `strict`: the strategy is one of Flower's. `weighted_by`: the metric by which it
    weights replies, or empty."""

    consistent: bool = True
    finite: bool = True
    strict: bool = True
    weighted_by: str = ""


@dataclass
class Judge:
    rules: Rules
    accepted: dict[str, Description] = field(default_factory=dict)  # a reply of each kind of phase that the strategy aggregated

    def refused(self, kind: str, sent: Mapping[str, Description], got: Mapping[str, Description]) -> dict[str, Verdict]:
        """The refused replies, by the id of the message that they answer."""
        found = {key: each.trouble for key, each in got.items() if each.trouble}
        found |= _not_finite(_without(got, found))
        if self.rules.consistent:
            found |= _unlike_sent(sent, _without(got, found))
            if self.rules.strict:
                found |= self.outliers(kind, _without(got, found))
        return found

    def outliers(self, kind: str, got: Mapping[str, Description]) -> dict[str, Verdict]:
        """The replies that differ from the majority, or from an earlier round if there is no majority."""
        names = {key: each.names(strict=self.rules.strict) for key, each in got.items()}
        model = self._model(kind, list(names.values()))
        return {key: verdict for key, each in names.items() if (verdict := _difference(each, model))} if model else {}

    def _model(self, kind: str, names: list[Names]) -> Names | None:
        groups = Counter(map(_key, names))
        key, most = groups.most_common(1)[0] if groups else (None, 0)
        if 2 * most > len(names):
            return next(each for each in names if _key(each) == key)
        before = self.accepted[kind].names(strict=self.rules.strict) if kind in self.accepted else None
        return before if before is not None and _key(before) in groups else None

    def accept(self, kind: str, got: Iterable[Description]) -> None:
        """Keeps one of the replies that the strategy has aggregated."""
        if (first := next(iter(got), None)) is not None:
            self.accepted[kind] = first


def _key(names: Names) -> Any:
    return tuple(tuple(sorted(part.items())) for part in names)


def _without(got: Mapping[str, Description], refused: Mapping[str, Any]) -> dict[str, Description]:
    return {key: each for key, each in got.items() if key not in refused}


def _not_finite(got: Mapping[str, Description]) -> dict[str, Verdict]:
    found = {key: f"{each.infinite} has numbers that are not finite" for key, each in got.items() if each.infinite}
    return {key: (Refused.NOT_FINITE, text) for key, text in found.items()} if 2 * len(found) <= len(got) else {}


def _unlike_sent(sent: Mapping[str, Description], got: Mapping[str, Description]) -> dict[str, Verdict]:
    like = [key for key, each in got.items() if key in sent and sent[key].arrays and each.arrays == sent[key].arrays]
    if not like or 2 * len(like) < len(got):
        return {}
    return {key: verdict for key, each in got.items() if (verdict := _difference((each.arrays, {}, {}), (sent[key].arrays, {}, {})))}


def _difference(found: Names, wanted: Names) -> Verdict | None:
    for reason, mine, theirs in zip((Refused.ARRAYS_DIFFER, Refused.METRICS_DIFFER, Refused.VALUES_DIFFER), found, wanted):
        differences = [
            *(f"{_named(w)} is missing" for w in theirs if w not in mine),
            *(f"{_named(w)} is unknown" for w in mine if w not in theirs),
            *(f"{_named(w)} is {mine[w]}, not {theirs[w]}" for w in mine if w in theirs and mine[w] != theirs[w]),
        ]
        if differences:
            more = f"; and {len(differences) - SHOWN} more" if len(differences) > SHOWN else ""
            return reason, "; ".join(differences[:SHOWN]) + more
    return None


def _named(where: Where) -> str:
    return f"{where[0][:40]}/{where[1][:60]}"


# From Flower's records to descriptions:


def describe(content: Any, rules: Rules | None = None) -> Description:
    """Describes a RecordDict; with `rules`, checks its data as well. Never raises for content that a site has sent."""
    arrays = {(r, name): _kind(array) for r, record in content.array_records.items() for name, array in record.items()}
    metrics = {(r, name): _metric(value) for r, record in content.metric_records.items() for name, value in record.items()}
    configs = {(r, name): "" for r, record in content.config_records.items() for name in record}
    empty = {(r, ""): "" for records in (content.array_records, content.metric_records) for r, record in records.items() if not record}
    if rules is None:
        return Description(arrays, metrics | empty, configs)
    infinite = _infinite(content) if rules.finite else ""
    return Description(arrays, metrics | empty, configs, _trouble(content, rules), infinite)


def _kind(array: Any) -> str:
    """The type and shape of an array as text. Any shape for one-dimensional uint8, which holds bytes such as trees."""
    dtype, found = announced(array)
    shape = "(any)" if dtype == "uint8" and len(found) == 1 else str(found)
    stored = "" if array.stype == NUMPY else f" as {array.stype[:20]}"
    return f"{dtype[:60]} {shape}{stored}"[:100]


def announced(array: Any) -> tuple[str, tuple[int, ...]]:
    """The declared type and shape of an array; those of its data if it declares none, as in Flower's older interface."""
    if array.dtype or array.stype != NUMPY:
        return array.dtype, tuple(array.shape)
    try:
        shape, dtype, _ = header(array)
    except Exception:  # noqa: BLE001  numpy raises many types for malformed data; `array_trouble` reports it
        return "", ()
    return str(dtype), tuple(shape)


def _metric(value: Any) -> str:
    return f"a list of {len(value)}" if isinstance(value, list) else "a number"


def _trouble(content: Any, rules: Rules) -> Verdict | None:
    for where, array in _arrays(content):
        if array.stype != NUMPY and rules.strict:
            return Refused.REPLY_INVALID, f"{_named(where)} is stored as {array.stype[:20]}, not as {NUMPY}"
        if array.stype == NUMPY and (trouble := array_trouble(array)):
            return Refused.REPLY_INVALID, f"{_named(where)} {trouble}"
    for r, record in content.metric_records.items():
        value = record.get(rules.weighted_by)
        if value is not None and not _is_weight(value):
            return Refused.WEIGHT_INVALID, f"{_named((r, rules.weighted_by))} is {str(value)[:60]}, which is no weight"
    return None


def _arrays(content: Any) -> Iterable[tuple[Where, Any]]:
    return (((r, name), array) for r, record in content.array_records.items() for name, array in record.items())


def _is_weight(value: Any) -> bool:
    return not isinstance(value, list) and 0 <= value <= LARGEST_WEIGHT  # NaN is neither


def _infinite(content: Any) -> str:
    return next((_named(where) for where, array in _arrays(content) if not_finite(array)), "")


def array_trouble(array: Any) -> str:
    """What is wrong with an array in npy format: its header must match the declared type and shape, and its data must be complete. Empty
    if it is valid. numpy raises many types for malformed data."""
    try:
        return _array_trouble(array)
    except Exception as error:  # noqa: BLE001
        return f"is not an array in numpy's format ({type(error).__name__})"


def _array_trouble(array: Any) -> str:
    import numpy as np

    shape, dtype, start = header(array)
    whole = all(type(n) is int and 0 <= n <= LONGEST_AXIS for n in shape)
    data = stored(array)
    if not whole or dtype.hasobject or math.prod(shape) * dtype.itemsize != len(data) - start:
        return "does not hold the numbers that it announces"
    declared, of_shape = announced(array)
    if tuple(shape) != of_shape or not _same_type(dtype, declared):
        return f"says {_kind(array)} and holds {dtype} {tuple(shape)}"
    if isinstance(data, Contents):
        np.ndarray((1,) * len(shape), dtype)  # raises for too many axes
    else:
        np.ndarray(shape, dtype, data, start)
    return ""


def header(array: Any) -> tuple[tuple[int, ...], Any, int]:
    """Shape, type, and the offset of the numbers in the data."""
    import numpy as np

    data = stored(array)
    file = data.file() if isinstance(data, Contents) else io.BytesIO(data)
    version = np.lib.format.read_magic(file)
    if version not in VERSIONS:
        raise ValueError(f"version {version} of numpy's format")
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(file)
    return shape, dtype, file.tell()


def not_finite(array: Any) -> bool:
    """Whether a valid array in npy format contains NaN or infinity."""
    import numpy as np

    if array.stype != NUMPY or array_trouble(array):
        return False
    _, dtype, start = header(array)
    if dtype.kind not in "fc":
        return False
    data = stored(array)
    if not isinstance(data, Contents):
        return model.not_finite(np.frombuffer(data, dtype, offset=start))
    numbers = data.part(start, len(data) - start)
    return any(model.not_finite(np.frombuffer(block, dtype)) for block in numbers.blocks(BLOCK // dtype.itemsize * dtype.itemsize))


def _same_type(found: Any, declared: str) -> bool:
    """Whether the type of the data is the declared one. Types that numpy lacks, such as bfloat16, are stored as raw bytes."""
    import numpy as np

    try:
        return bool(found == np.dtype(declared))
    except TypeError:
        return bool(found.kind == "V")
