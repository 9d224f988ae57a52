"""Protects what leaves the site of a run with `spec.privacy.differentialPrivacy`, in the ClientApp process (`client_hook`).

The update of a reply to a train message is the reply's arrays minus those that the message brought. All float arrays together are scaled
to `clippingNorm`, and each of their numbers gets noise (`gaussian`). What else a reply can say is about the site too, and not protected:
- Integers and booleans, such as BatchNorm's counters, are not sent: the values that the message brought take their place.
- Of metrics only the number of examples is sent, unless `metrics` says otherwise; config records are not sent.
- A reply of which this cannot be done is withheld, and so is a reply with arrays to any other message. Whatever fails here, it is withheld.

What arrived is kept before the app gets it, because an app may change a message and send it back.
"""

from __future__ import annotations

import fcntl
import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .. import gaussian
from ..codes import TRAIN, Withheld
from ..files import log_line
from .arrays import stored
from .codes import EVALUATE
from .cohort import EXAMPLES
from .judge import NUMPY, header

SETTINGS = "PANAL_PRIVACY"
WEIGHT, NONE, ALL = "Weight", "None", "All"  # spec.privacy.differentialPrivacy.metrics
NUMERIC = "fiub"  # numpy's kinds of floats, integers and booleans
BFLOAT16 = "bfloat16"  # numpy has no such type: Flower sends its bytes
LARGEST_BFLOAT16 = 3.3895e38
UPDATES = "updates"  # a file with the number of updates that have left

Where = tuple[str, str]  # the name of the record, and of the array in it
Arrays = dict[Where, Any]


class NotProtectedError(Exception):
    """Why a reply does not leave the site. The text is for the site's own log."""

    def __init__(self, code: Withheld, why: str) -> None:
        super().__init__(why)
        self.code = code


@dataclass(frozen=True)
class Protection:
    """`clipping_norm`, `noise_multiplier` and `metrics` are those of spec.privacy.differentialPrivacy. `most`: how many updates may leave
    this site (None: any number); `counter` is the file that counts them."""

    clipping_norm: float
    noise_multiplier: float
    metrics: str
    most: int | None
    counter: Path
    source: gaussian.Source = os.urandom

    @classmethod
    def of(cls, environment: Mapping[str, str], folder: Path) -> Protection | None:
        """None if the run is not private. Raises ValueError, KeyError, TypeError: then nothing may leave."""
        if not (text := environment.get(SETTINGS, "")):
            return None
        given = json.loads(text)
        if given.keys() == {"secureAggregation"}:  # `masking` does what is asked
            return None
        clipping_norm, noise_multiplier = float(given["clippingNorm"]), float(given["noiseMultiplier"])
        if not (0 < clipping_norm < math.inf and 0 < noise_multiplier < math.inf) or given["metrics"] not in (WEIGHT, NONE, ALL):
            raise ValueError(f"{SETTINGS} is not what it should be")
        most = None if given.get("mostUpdates") is None else int(given["mostUpdates"])
        return cls(clipping_norm, noise_multiplier, str(given["metrics"]), most, folder / UPDATES)

    def protected(self, kind: str, sent: Arrays, content: Any) -> Any:
        """What leaves the site of a reply to a message of this type which brought `sent`. Raises NotProtectedError."""
        try:
            return self._protected(kind.partition(".")[0], sent, content)
        except NotProtectedError:
            raise
        except Exception as error:
            raise NotProtectedError(Withheld.UPDATE_NOT_PROTECTED, f"it cannot be protected: {error!r}") from error

    def _protected(self, kind: str, sent: Arrays, content: Any) -> Any:
        made = type(content)()
        if kind == TRAIN:
            for name, record in self._update(sent, arrays_of(content)).items():
                made[name] = record
        elif kind != EVALUATE or content.array_records:
            why = f"spec.privacy does not cover the reply to a message of type {kind!r}"
            raise NotProtectedError(Withheld.REPLY_NOT_PROTECTED, f"{why}{' with arrays' if kind == EVALUATE else ''}")
        for name, metrics in content.metric_records.items():
            made[name] = self._metrics(metrics)
        if kind == TRAIN:
            self._count()
        return made

    def _update(self, sent: Arrays, trained: Arrays) -> dict[str, Any]:
        from flwr.app import ArrayRecord

        floats, others = self._examined(sent, trained)
        found = gaussian.norm(block for w in floats for block in gaussian.differences(_numbers(sent[w]), _numbers(trained[w])))
        if not math.isfinite(found):
            raise NotProtectedError(Withheld.UPDATE_NOT_FINITE, "its update has numbers that are not finite")
        by, deviation = gaussian.factor(found, self.clipping_norm), self.noise_multiplier * self.clipping_norm
        records: dict[str, Any] = {}
        for where in trained:
            array = trained[where]
            if where in floats:
                made = gaussian.noised(_numbers(sent[where]), _numbers(array), by, deviation, self.source)
                array = _array(made, str(array.dtype))
            else:
                array = sent[where]
            records.setdefault(where[0], {})[where[1]] = array
        log_line(f"the update of this reply has a norm of at most {self.clipping_norm:g}, and noise of {deviation:g} in each number")
        if others:
            names = ", ".join(name for _, name in others[:3])
            log_line(f"not sent, because noise cannot protect integers: what the app did to {names}{' and others' if others[3:] else ''}")
        return {name: ArrayRecord(found) for name, found in records.items()}

    def _examined(self, sent: Arrays, trained: Arrays) -> tuple[set[Where], list[Where]]:
        """The float arrays, and the others. Raises NotProtectedError if they are not as those that were sent."""
        floats, others = set(), []
        for where, array in trained.items():
            if where not in sent:
                raise _differs(f"{_named(where)} is in the reply and not in the message")
            (before, had), (after, has) = _described(sent[where]), _described(array)
            if had != has:
                raise _differs(f"{_named(where)} has the shape {has}, and had {had} in the message")
            if after.kind == "f" and before.kind in NUMERIC:
                floats.add(where)
            elif after.kind in NUMERIC and before.kind in NUMERIC:  # integers that Flower has averaged are floats in the message
                others.append(where)
            else:
                raise _differs(f"{_named(where)} is of type {after}, and was {before} in the message")
        if not floats:
            raise _differs("no array of the reply has floats")
        return floats, others

    def _metrics(self, metrics: Any) -> Any:
        if self.metrics == ALL:
            return metrics
        found = {name: metrics[name] for name in EXAMPLES if isinstance(metrics.get(name), (int, float))}
        return type(metrics)(dict.fromkeys(found, 1) if self.metrics == NONE else found)

    def _count(self) -> None:
        """Counts an update before it leaves. The file is the Pod's: another Pod begins with 0, and the hub's count goes on."""
        self.counter.parent.mkdir(parents=True, exist_ok=True)
        with self.counter.open("a+") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            file.seek(0)
            number = int(file.read() or 0) + 1
            if self.most is not None and number > self.most:
                raise NotProtectedError(Withheld.PRIVACY_SPENT, f"{self.most} updates have left, and maxEpsilon allows no more")
            file.truncate(0)
            file.write(str(number))
            file.flush()
            os.fsync(file.fileno())


def arrays_of(content: Any) -> Arrays:
    """The arrays of a message or reply, by record and name."""
    return {(r, name): array for r, record in content.array_records.items() for name, array in record.items()}


def kept(message: Any) -> Arrays:
    """The arrays that a message brings, which stay as they are whatever the app does with the message."""
    if not message.has_content():
        return {}
    return {where: _copy(array) for where, array in arrays_of(message.content).items()}


def _copy(array: Any) -> Any:
    made = type(array)(dtype=array.dtype, shape=tuple(array.shape), stype=array.stype, data=b"")
    made.data = stored(array)
    return made


def _described(array: Any) -> tuple[Any, tuple[int, ...]]:
    """The type and the shape of an array, whose numbers are not read; of bfloat16 the type that `_numbers` returns."""
    import numpy as np

    if array.stype != NUMPY:
        raise _differs(f"an array is stored as {array.stype}, not as {NUMPY}")
    shape, dtype, _ = header(array)
    return np.dtype(np.float32) if _is_bfloat16(array, dtype) else dtype, shape


def _is_bfloat16(array: Any, dtype: Any) -> bool:
    return bool(array.dtype == BFLOAT16 and dtype.kind == "V" and dtype.itemsize == 2)


def _numbers(array: Any) -> Any:
    """The array for numpy; bfloat16 as float32, which has all of its numbers."""
    import numpy as np

    found = array.numpy()
    if _is_bfloat16(array, found.dtype):
        return (found.view(np.uint16).astype(np.uint32) << 16).view(np.float32)
    return found


def _array(numbers: Any, dtype: str) -> Any:
    """An array for Flower, of this type."""
    import numpy as np
    from flwr.app import Array

    if dtype != BFLOAT16:
        return Array(numbers)
    bits = np.clip(numbers, -LARGEST_BFLOAT16, LARGEST_BFLOAT16).view(np.uint32)
    rounded = (bits + np.uint32(0x7FFF) + ((bits >> 16) & np.uint32(1))) >> 16  # to the nearest, and to even
    made = Array(rounded.astype(np.uint16).view("V2"))
    made.dtype = BFLOAT16
    return made


def _differs(why: str) -> NotProtectedError:
    return NotProtectedError(Withheld.UPDATE_NOT_PROTECTED, why)


def _named(where: Where) -> str:
    return "/".join(where)
