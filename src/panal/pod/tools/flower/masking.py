"""Masks the update of a reply in a run with `spec.privacy.secureAggregation`, in the ClientApp process (`client_hook`), and answers the
messages of the protocol (`..secure_aggregation`) without the app.

The update is the reply's arrays minus those that the message brought, as in `private`, times the weight of the reply. It is sent in the
form of the reply, with integers modulo 2^64 in place of its floats (`masked_form`). Whatever fails here, the reply is withheld.

The state of the session is in a file of the Pod, which each step replaces before its answer leaves: a step is never taken twice, whatever
is killed, and another Pod knows nothing of the session. The last step removes the file, or the next session replaces it.
"""

from __future__ import annotations

import fcntl
import json
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..codes import SECURE_KEYS, SECURE_SHARES, SECURE_STEPS, SECURE_SURVIVORS, TRAIN, Withheld
from ..files import log_line, replace
from ..secure_aggregation.fixed_point import OutOfRangeError, encoded
from ..secure_aggregation.masks import Masks
from ..secure_aggregation.roster import PublicKeys, RefusedError, Roster, threshold_of
from ..secure_aggregation.site import Session
from .blocks import BLOCK, Numbers
from .codes import EVALUATE
from .cohort import EXAMPLES
from .errors import WITHHELD, written
from .judge import NUMPY
from .masked_form import KEPT, METRICS, OURS, SECURE, WEIGHT, Where, order
from .methods import FLOATS
from .private import NUMERIC, SETTINGS, Arrays, NotProtectedError, arrays_of

FIELD = "secureAggregation"  # in SETTINGS
FILE = "secure-aggregation.json"
INVALID = (KeyError, TypeError, ValueError, AttributeError)  # what a malformed message raises


@dataclass(frozen=True)
class Masking:
    """`least`: the threshold that the run sets; 0 if it sets none."""

    least: int
    file: Path

    @classmethod
    def of(cls, environment: Mapping[str, str], folder: Path) -> Masking | None:
        """None if the run has no secure aggregation. Raises ValueError, AttributeError, TypeError: then nothing may leave."""
        least = least_threshold(environment)
        return None if least is None else cls(least, folder / FILE)

    def answer(self, message: Any) -> Any:
        """The reply to a message of the protocol."""
        from flwr.app import ConfigRecord, Error, Message, RecordDict

        try:
            with self._locked():
                found = self._step(str(message.metadata.message_type), message.content.config_records[SECURE])
        except (RefusedError, OSError, *INVALID) as error:
            log_line(f"a step of secure aggregation is refused: {error!r}")
            return Message(Error(WITHHELD, written(Withheld.UPDATE_NOT_MASKED)), reply_to=message)
        return Message(RecordDict({SECURE: ConfigRecord(found)}), reply_to=message)

    def _step(self, step: str, given: Mapping[str, Any]) -> dict[str, Any]:
        if step == SECURE_KEYS:
            session = Session.begin(str(given["session"]))
            self._keep(session)
            return {"share-key": session.public.shares, "mask-key": session.public.masks}
        session = self._session(given)
        if step == SECURE_SHARES:
            keys = tuple(PublicKeys(*pair) for pair in zip(given["share-keys"], given["mask-keys"], strict=True))
            roster = Roster(session.name, threshold_of(len(keys), self.least), keys)
            session, sealed, commitment = session.shared(roster)
            self._keep(session)
            return {"sites": list(sealed), "sealed": list(sealed.values()), "commitment": commitment}
        if step == SECURE_SURVIVORS:
            session, vouched = session.agreed(list(given["survivors"]))
            self._keep(session)
            return {"sites": list(vouched), "vouched": list(vouched.values())}
        self._keep(None)
        vouched = dict(zip(given["vouching"], given["vouched"], strict=True))
        shares = session.revealed(vouched, dict(zip(given["sites"], given["sealed"], strict=True)))
        return {"sites": list(shares), "shares": list(shares.values())}

    def masked(self, kind: str, given: Mapping[str, Any] | None, sent: Arrays, content: Any) -> Any:
        """What leaves the site of a reply to a message of this type which brought `sent`; `given` is the message's record of the protocol.
        Raises NotProtectedError."""
        try:
            return self._masked(kind.partition(".")[0], given, sent, content)
        except NotProtectedError:
            raise
        except Exception as error:
            raise NotProtectedError(Withheld.UPDATE_NOT_MASKED, f"it cannot be masked: {error!r}") from error

    def _masked(self, kind: str, given: Mapping[str, Any] | None, sent: Arrays, content: Any) -> Any:
        if kind == EVALUATE and not content.array_records:
            return type(content)(dict(content.metric_records.items()))
        if kind != TRAIN:
            why = f"secure aggregation does not cover the reply to a message of type {kind!r}"
            raise NotProtectedError(Withheld.REPLY_NOT_PROTECTED, f"{why}{' with arrays' if kind == EVALUATE else ''}")
        if given is None:
            raise NotProtectedError(Withheld.UPDATE_NOT_MASKED, "the aggregator has not asked for a masked update")
        update = Update.of(sent, content)
        with self._locked():
            session, masks = self._session(given).masked(list(given["members"]))
            self._keep(session)  # before anything is masked: no mask is used for two updates
        return update.masked(masks, len(session.members))

    def _session(self, given: Mapping[str, Any]) -> Session:
        try:
            found = Session.unpacked(self.file.read_text())
        except FileNotFoundError:
            raise RefusedError("this Pod has no session") from None
        if found.name != given["session"]:
            raise RefusedError("this Pod is in another session")
        return found

    def _keep(self, session: Session | None) -> None:
        """None: the session is over. The content of the file is gone before it is removed, which may not reach the disk."""
        replace(self.file, session.packed() if session else "{}", mode=0o600, durable=True)
        if session is None:
            self.file.unlink()

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self.file.parent.mkdir(parents=True, exist_ok=True)
        with self.file.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


@dataclass(frozen=True)
class Update:
    """What is masked of a reply. `metrics`: the numbers by record and name, without the weight. `floats` are masked, `others` stay as they
    are in the message."""

    sent: Arrays
    trained: Arrays
    floats: frozenset[Where]
    weight_of: Where
    weight: float
    metrics: Mapping[Where, float]

    @classmethod
    def of(cls, sent: Arrays, content: Any) -> Update:
        """Raises NotProtectedError."""
        trained = arrays_of(content)
        if any(record.startswith(OURS) for record in (*content.array_records, *content.metric_records)):
            raise _differs(f"a record has a name that begins with {OURS}")
        floats = frozenset(where for where, array in trained.items() if _is_masked(where, array, sent))
        if not floats:
            raise _differs("no array of the reply has floats")
        numbers = {(r, name): value for r, record in content.metric_records.items() for name, value in record.items()}
        weights = [where for where in numbers if where[1] in EXAMPLES]
        if len(weights) != 1:
            raise _differs(f"the reply has {len(weights)} metrics with the name {EXAMPLES[0]}, by which it is weighted, and needs one")
        value = numbers.pop(weights[0])
        if not (isinstance(value, (int, float)) and math.isfinite(value) and value >= 0):
            raise NotProtectedError(Withheld.WEIGHT_INVALID, f"its {weights[0][1]} is no weight")
        metrics = {where: float(each) for where, each in numbers.items() if isinstance(each, (int, float))}
        return cls(sent, trained, floats, weights[0], float(value), metrics)

    def masked(self, masks: Masks, sites: int) -> Any:
        """The content of the reply. Raises NotProtectedError."""
        import numpy as np
        from flwr.app import Array, ArrayRecord, RecordDict

        weight = (f"{WEIGHT}{self.weight_of[0]}", self.weight_of[1])
        metrics = {(f"{METRICS}{record}", name): value for (record, name), value in self.metrics.items()}
        made: dict[Where, Any] = {}
        for where in order([weight, *metrics, *self.floats]):
            if where == weight:
                numbers = _masked(np.array([self.weight]), masks, sites)
            elif where in metrics:
                known = math.isfinite(metrics[where])  # the AUC of a site with one class is not a number
                numbers = _masked(np.array([self.weight * metrics[where], self.weight] if known else [0.0, 0.0]), masks, sites)
            else:
                numbers = self._numbers(where, masks, sites)
            made[where] = Array(numbers)
        records: dict[str, dict[str, Any]] = {}
        for where in (*self.trained, weight, *metrics):
            records.setdefault(where[0], {})[where[1]] = made[where] if where in made else Array(np.empty(0, KEPT))
        if others := [name for record, name in self.trained if (record, name) not in self.floats]:
            names = f"{', '.join(others[:3])}{' and others' if others[3:] else ''}"
            log_line(f"not sent, because only floats are averaged: what the app did to {names}")
        return RecordDict({name: ArrayRecord(found) for name, found in records.items()})

    def _numbers(self, where: Where, masks: Masks, sites: int) -> Any:
        import numpy as np

        before, after = Numbers(self.sent[where]), Numbers(self.trained[where])
        found = np.empty(after.count, np.uint64)
        longest = BLOCK // found.itemsize
        for at in range(0, after.count, longest):
            count = min(longest, after.count - at)
            with np.errstate(over="ignore", invalid="ignore"):
                change = after.part(at, count).astype(np.float64) - before.part(at, count)
                if not np.isfinite(change).all():
                    raise NotProtectedError(Withheld.UPDATE_NOT_FINITE, "its update has numbers that are not finite")
                change *= self.weight
            found[at : at + count] = _masked(change, masks, sites)
        return found.reshape(after.shape)


def _masked(numbers: Any, masks: Masks, sites: int) -> Any:
    try:
        found = encoded(numbers, sites)
    except OutOfRangeError as error:
        raise NotProtectedError(Withheld.UPDATE_OUT_OF_RANGE, f"a number of it, times its weight, is too large: {error}") from error
    masks.add_to(found)
    return found


def _is_masked(where: Where, array: Any, sent: Arrays) -> bool:
    """Whether the array is averaged; if not, it stays as in the message. Raises NotProtectedError."""
    import numpy as np

    named = "/".join(where)
    if where not in sent:
        raise _differs(f"{named} is in the reply and not in the message")
    if array.stype != NUMPY or sent[where].stype != NUMPY:
        raise _differs(f"{named} is not stored as {NUMPY}")
    before, after = Numbers(sent[where]), Numbers(array)
    if tuple(before.shape) != tuple(after.shape):
        raise _differs(f"{named} has the shape {after.shape}, and had {before.shape} in the message")
    if before.dtype.kind not in NUMERIC or after.dtype.kind not in NUMERIC:
        raise _differs(f"{named} is of type {after.dtype}, and was {before.dtype} in the message")
    if after.dtype.kind != "f":
        return False
    if str(np.dtype(after.dtype)) not in FLOATS:
        raise _differs(f"{named} is of type {after.dtype}")
    return True


def least_threshold(environment: Mapping[str, str]) -> int | None:
    """The threshold that the run sets, 0 if it sets none; None without secure aggregation. Raises ValueError, AttributeError, TypeError."""
    if (found := json.loads(environment.get(SETTINGS) or "{}").get(FIELD)) is None:
        return None
    return int(found.get("threshold") or 0)


def taken(message: Any) -> Any:
    """Removes the record of the protocol from a message; None if it has none."""
    if not message.has_content() or (record := message.content.config_records.get(SECURE)) is None:
        return None
    del message.content[SECURE]
    return record


def is_step(kind: str) -> bool:
    """Whether a message of this type is one of the protocol."""
    return kind in SECURE_STEPS


def _differs(why: str) -> NotProtectedError:
    return NotProtectedError(Withheld.UPDATE_NOT_PROTECTED, why)
