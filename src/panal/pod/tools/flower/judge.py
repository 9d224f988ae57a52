"""Which replies of a phase the strategy gets to see. One that would make it raise, or the model useless, costs its own site's part.

A reply is described in words first: its arrays by record, name, type and shape, its metrics by record, key and kind. Then (pure):
- arrays that do not hold what they say, and a weight that is none, are refused whatever the others sent;
- where at least half of the replies have finite arrays, the others are refused. If most have not, it is the app that diverges, and the
  strategy gets them all. A metric may be NaN: a site with one class has no AUC;
- where at least half of the replies have exactly the arrays that were sent, the others are refused. An app whose replies are of another
  kind (trees, statistics, embeddings) has no such half, and its arrays may be of any shape;
- Flower's own strategies demand the same names everywhere, so the majority's, else those of an earlier round, are demanded here. A strategy
  of the user's own may want them to differ: it is asked first, and only if it raises do they count (`odd_ones`).
"""

from __future__ import annotations

import io
import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..codes import Refused

LARGEST_WEIGHT = float(2**53)
AT_A_TIME = 1 << 20  # numbers that are looked at together
SHOWN = 3  # differences that a refusal tells
NUMPY = "numpy.ndarray"
VERSIONS = ((1, 0), (2, 0), (3, 0))  # of numpy's format
LONGEST_AXIS = 2**62

Where = tuple[str, str]  # the record's name and the array's, metric's or value's
Verdict = tuple[Refused, str]  # why a reply does not count, as a code and a text
Names = tuple[Mapping[Where, str], ...]  # of arrays, metrics and other values, with what has to be the same of each


@dataclass(frozen=True)
class Description:
    arrays: Mapping[Where, str]
    metrics: Mapping[Where, str]
    configs: Mapping[Where, str]
    trouble: Verdict | None = None  # refused whatever the others sent
    infinite: str = ""  # names an array with numbers that are not finite

    def names(self, *, strict: bool) -> Names:
        """All but the arrays' shapes. Flower's own strategies do not look at other values."""
        return dict.fromkeys(self.arrays, ""), self.metrics, {} if strict else self.configs


@dataclass(frozen=True)
class Rules:
    """`weighted_by`: the metric that the strategy divides by; empty if it has none. `strict`: the strategy is Flower's own."""

    consistent: bool = True
    finite: bool = True
    strict: bool = True
    weighted_by: str = ""


@dataclass
class Judge:
    rules: Rules
    accepted: dict[str, Description] = field(default_factory=dict)  # of each kind of phase, one that the strategy took

    def refused(self, kind: str, sent: Mapping[str, Description], got: Mapping[str, Description]) -> dict[str, Verdict]:
        """Reason and text of each reply that is not to be seen. The keys are the messages that were sent."""
        found = {key: told for key, each in got.items() if (told := each.trouble)}
        found |= _not_finite(_without(got, found))
        if self.rules.consistent:
            found |= _unlike_sent(sent, _without(got, found))
            if self.rules.strict:
                found |= self.odd_ones(kind, _without(got, found))
        return found

    def odd_ones(self, kind: str, got: Mapping[str, Description]) -> dict[str, Verdict]:
        """Those that are not as most are, or as before where there is no majority."""
        names = {key: each.names(strict=self.rules.strict) for key, each in got.items()}
        model = self._model(kind, list(names.values()))
        return {key: told for key, each in names.items() if (told := _difference(each, model))} if model else {}

    def _model(self, kind: str, names: list[Names]) -> Names | None:
        groups = Counter(map(_key, names))
        key, most = groups.most_common(1)[0] if groups else (None, 0)
        if 2 * most > len(names):
            return next(each for each in names if _key(each) == key)
        before = self.accepted[kind].names(strict=self.rules.strict) if kind in self.accepted else None
        return before if before is not None and _key(before) in groups else None

    def took(self, kind: str, got: Iterable[Description]) -> None:
        """The strategy has aggregated these."""
        if (first := next(iter(got), None)) is not None:
            self.accepted[kind] = first


def _key(names: Names) -> Any:
    return tuple(tuple(sorted(part.items())) for part in names)


def _without(got: Mapping[str, Description], refused: Mapping[str, Any]) -> dict[str, Description]:
    return {key: each for key, each in got.items() if key not in refused}


def _not_finite(got: Mapping[str, Description]) -> dict[str, Verdict]:
    found = {key: f"{each.infinite} has numbers that are not finite" for key, each in got.items() if each.infinite}
    return {key: (Refused.NOT_FINITE, told) for key, told in found.items()} if 2 * len(found) <= len(got) else {}


def _unlike_sent(sent: Mapping[str, Description], got: Mapping[str, Description]) -> dict[str, Verdict]:
    like = [key for key, each in got.items() if key in sent and sent[key].arrays and each.arrays == sent[key].arrays]
    if not like or 2 * len(like) < len(got):
        return {}
    return {key: told for key, each in got.items() if (told := _difference((each.arrays, {}, {}), (sent[key].arrays, {}, {})))}


def _difference(found: Names, wanted: Names) -> Verdict | None:
    for reason, mine, theirs in zip((Refused.ARRAYS_DIFFER, Refused.METRICS_DIFFER, Refused.VALUES_DIFFER), found, wanted):
        told = [
            *(f"{_named(w)} is missing" for w in theirs if w not in mine),
            *(f"{_named(w)} is unknown" for w in mine if w not in theirs),
            *(f"{_named(w)} is {mine[w]}, not {theirs[w]}" for w in mine if w in theirs and mine[w] != theirs[w]),
        ]
        if told:
            return reason, "; ".join(told[:SHOWN]) + (f"; and {len(told) - SHOWN} more" if len(told) > SHOWN else "")
    return None


def _named(where: Where) -> str:
    return f"{where[0][:40]}/{where[1][:60]}"


# From Flower's records to words.


def describe(content: Any, rules: Rules | None = None) -> Description:
    """`content` is a RecordDict. With `rules` the numbers in it are looked at as well. Never raises at what a site has sent."""
    arrays = {(r, name): _kind(array) for r, record in content.array_records.items() for name, array in record.items()}
    metrics = {(r, name): _metric(value) for r, record in content.metric_records.items() for name, value in record.items()}
    configs = {(r, name): "" for r, record in content.config_records.items() for name in record}
    empty = {(r, ""): "" for records in (content.array_records, content.metric_records) for r, record in records.items() if not record}
    if rules is None:
        return Description(arrays, metrics | empty, configs)
    infinite = _infinite(content) if rules.finite else ""
    return Description(arrays, metrics | empty, configs, _trouble(content, rules), infinite)


def _kind(array: Any) -> str:
    """Bytes that were put into an array, as trees are, have no shape that says anything."""
    dtype, found = announced(array)
    shape = "(any)" if dtype == "uint8" and len(found) == 1 else str(found)
    stored = "" if array.stype == NUMPY else f" as {array.stype[:20]}"
    return f"{dtype[:60]} {shape}{stored}"[:100]


def announced(array: Any) -> tuple[str, tuple[int, ...]]:
    """Type and shape as the array says, or as its data do where it says nothing, as those of Flower's older interface."""
    if array.dtype or array.stype != NUMPY:
        return array.dtype, tuple(array.shape)
    try:
        shape, dtype, _ = _header(array)
    except Exception:  # noqa: BLE001  numpy raises whatever comes to it; `array_trouble` says what is wrong
        return "", ()
    return str(dtype), tuple(shape)


def _metric(value: Any) -> str:
    return f"a list of {len(value)}" if isinstance(value, list) else "a number"


def _trouble(content: Any, rules: Rules) -> Verdict | None:
    for where, array in _arrays(content):
        if array.stype != NUMPY and rules.strict:
            return Refused.REPLY_INVALID, f"{_named(where)} is stored as {array.stype[:20]}, not as {NUMPY}"
        if array.stype == NUMPY and (told := array_trouble(array)):
            return Refused.REPLY_INVALID, f"{_named(where)} {told}"
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
    """What is wrong with an array in numpy's format: its header must say what the record says, and its data be there. Empty if nothing is.
    Both are strings that numpy takes apart, and it raises whatever comes to it when it cannot."""
    try:
        return _array_trouble(array)
    except Exception as error:  # noqa: BLE001
        return f"is not an array in numpy's format ({type(error).__name__})"


def _array_trouble(array: Any) -> str:
    import numpy as np

    shape, dtype, start = _header(array)
    whole = all(type(n) is int and 0 <= n <= LONGEST_AXIS for n in shape)
    if not whole or dtype.hasobject or math.prod(shape) * dtype.itemsize != len(array.data) - start:
        return "does not hold the numbers that it announces"
    said, of_shape = announced(array)
    if tuple(shape) != of_shape or not _same(dtype, said):
        return f"says {_kind(array)} and holds {dtype} {tuple(shape)}"
    np.ndarray(shape, dtype, array.data, start)  # as numpy sees it: it may have too many axes
    return ""


def _header(array: Any) -> tuple[tuple[int, ...], Any, int]:
    """Shape, type, and where the numbers begin in the data."""
    import numpy as np

    file = io.BytesIO(array.data)
    version = np.lib.format.read_magic(file)
    if version not in VERSIONS:
        raise ValueError(f"version {version} of numpy's format")
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(file)
    return shape, dtype, file.tell()


def not_finite(array: Any) -> bool:
    """Whether an array in numpy's format holds NaN or infinity."""
    import numpy as np

    if array.stype != NUMPY or array_trouble(array):
        return False
    _, dtype, start = _header(array)
    if dtype.kind not in "fc":
        return False
    numbers = np.frombuffer(array.data, dtype, offset=start)
    return not all(bool(np.isfinite(numbers[at : at + AT_A_TIME]).all()) for at in range(0, len(numbers), AT_A_TIME))


def _same(held: Any, said: str) -> bool:
    """Types that numpy does not know by itself, such as bfloat16, are held as bytes."""
    import numpy as np

    try:
        return bool(held == np.dtype(said))
    except TypeError:
        return bool(held.kind == "V")
