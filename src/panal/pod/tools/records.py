"""The records of progress.jsonl, with which the aggregator's Pod reports the progress of the run, declared once for both sides.

Programs in the user's image write them (`files.append`); the reporter reads and folds them (`panal.pod.fold`). User code can write to the
file, so `parse` checks all types. Texts remain untrusted: show them with `panal.api.text`.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar, TypedDict

from .codes import CLUSTER, CODE, MAX_COUNT, PHASE, NotFinite

Number = float | NotFinite

_CLUSTER = re.compile(CLUSTER)


class Reply(TypedDict, total=False):
    """A cluster's reply: the seconds that it took, and its metrics."""

    seconds: float
    metrics: dict[str, Number]


class Secure(TypedDict):
    """Of a training phase with secure aggregation: how many sites had to stay, and the clusters that have dropped out."""

    threshold: int
    dropped: list[str]


class InvalidRecordError(ValueError):
    """A record with a known event that cannot be read."""


def as_number(value: float) -> Number:
    """`value` for a record: NaN and infinity as text, because JSON has no such numbers."""
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def _count(value: Any) -> int:
    number = int(value)
    if not 0 <= number <= MAX_COUNT:
        raise ValueError(f"{number} is no count")
    return number


def _number(value: Any) -> float | None:
    """`value` as a float; None if it is not a finite number."""
    try:
        return float(value) if isinstance(value, (int, float)) and math.isfinite(value) else None
    except OverflowError:
        return None


def _phase(value: Any) -> str:
    return _matching(PHASE, value)


def _code(value: Any) -> str:
    return _matching(CODE, value)


def _matching(pattern: str, value: Any) -> str:
    if not re.fullmatch(pattern, value):
        raise ValueError(f"{value} is not {pattern}")
    return str(value)


def _metrics(value: Any) -> dict[str, Number]:
    """Drops values that are neither finite numbers nor a NotFinite."""
    found = {str(name): each if each in ("NaN", "Infinity", "-Infinity") else _number(each) for name, each in value.items()}
    return {name: each for name, each in found.items() if each is not None}


def _of_clusters(value: Any) -> dict[str, Any]:
    """Drops keys that are not cluster names."""
    return {cluster: found for cluster, found in value.items() if _CLUSTER.fullmatch(cluster)}


def _clusters(value: Any) -> list[str]:
    """Drops what is no cluster name."""
    if not isinstance(value, list):
        raise TypeError(f"{value!r} is no list")
    return [each for each in value if isinstance(each, str) and _CLUSTER.fullmatch(each)]


def _texts(value: Any) -> dict[str, str]:
    return {cluster: str(found) for cluster, found in _of_clusters(value).items()}


def _replies(value: Any) -> dict[str, Reply]:
    return {cluster: _reply(found) for cluster, found in _of_clusters(value).items()}


def _reply(found: Any) -> Reply:
    reply: Reply = {"metrics": _metrics(found.get("metrics") or {})}
    if (seconds := _number(found.get("seconds"))) is not None:
        reply["seconds"] = seconds
    return reply


def _secure(value: Any) -> Secure:
    return {"threshold": _count(value["threshold"]), "dropped": _clusters(value["dropped"])}


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError(f"{value!r} is neither true nor false")
    return value


def _as(read: Callable[[Any], Any]) -> dict[str, Any]:
    return {"read": read}


@dataclass(frozen=True, kw_only=True)
class Record:
    """One line of progress.jsonl. A field that is None is not written."""

    event: ClassVar[str] = ""
    time: float | None = field(default=None, metadata=_as(_number))  # seconds since 1970

    def content(self) -> dict[str, Any]:
        found = {each.name: getattr(self, each.name) for each in fields(self)}
        return {"event": self.event, **{name: value for name, value in found.items() if value is not None}}


@dataclass(frozen=True, kw_only=True)
class Bundle(Record):
    """The hash of the app bundle, which is the only one that collaborators run, and the version of the framework. The first record."""

    event = "bundle"
    sha256: str = field(metadata=_as(str))
    version: str = field(default="", metadata=_as(str))


@dataclass(frozen=True, kw_only=True)
class Connected(Record):
    """The number of connected collaborators. Written when it changes."""

    event = "connected"
    count: int = field(metadata=_as(_count))


@dataclass(frozen=True, kw_only=True)
class Started(Record):
    """The training begins. `rounds` is 0 if their number is unknown. `checkpoints`: a server of the runtime `other` writes them."""

    event = "started"
    rounds: int = field(metadata=_as(_count))
    checkpoints: bool | None = field(default=None, metadata=_as(_flag))


@dataclass(frozen=True, kw_only=True)
class Round(Record):
    """A phase of a round is complete; with the phase END, the round is. By cluster: `collaborators` has the replies that count, `failed`
    the codes of failures, `messages` their texts where the site shares them. `selected`: the clusters whose updates are in the result, if
    a method of spec.server.aggregation selects some. `secure`: if the updates were aggregated securely."""

    event = "round"
    round: int = field(metadata=_as(_count))
    phase: str = field(metadata=_as(_phase))
    replies: int | None = field(default=None, metadata=_as(_count))
    failures: int | None = field(default=None, metadata=_as(_count))
    collaborators: dict[str, Reply] | None = field(default=None, metadata=_as(_replies))
    failed: dict[str, str] | None = field(default=None, metadata=_as(_texts))
    messages: dict[str, str] | None = field(default=None, metadata=_as(_texts))
    selected: list[str] | None = field(default=None, metadata=_as(_clusters))
    secure: Secure | None = field(default=None, metadata=_as(_secure))
    seconds: float | None = field(default=None, metadata=_as(_number))
    metrics: dict[str, Number] | None = field(default=None, metadata=_as(_metrics))


@dataclass(frozen=True, kw_only=True)
class Updates(Record):
    """In a private run (spec.privacy): the clusters that are asked for an update, before the messages are sent, or those of them that have
    replied with an error instead. A cluster that was asked several times is listed so often."""

    event = "updates"
    asked: list[str] | None = field(default=None, metadata=_as(_clusters))
    without: list[str] | None = field(default=None, metadata=_as(_clusters))


@dataclass(frozen=True, kw_only=True)
class Checkpoint(Record):
    """The checkpoint of this round was handed over to the reporter."""

    event = "checkpoint"
    round: int = field(metadata=_as(_count))


@dataclass(frozen=True, kw_only=True)
class Resumed(Record):
    """The run goes on after this round, from its checkpoint."""

    event = "resumed"
    round: int = field(metadata=_as(_count))


@dataclass(frozen=True, kw_only=True)
class ModelReady(Record):
    """Model number `start`, of this round, was handed over. An app may train several models."""

    event = "model"
    start: int = field(metadata=_as(_count))
    round: int = field(metadata=_as(_count))


@dataclass(frozen=True, kw_only=True)
class NoModel(Record):
    """The app has trained and returns no model."""

    event = "no-model"
    message: str = field(metadata=_as(str))


@dataclass(frozen=True, kw_only=True)
class Waiting(Record):
    """What the app waits for before its next round. If that is replies: `replied` are clusters whose replies are there, and `failed` and
    `messages` are those of clusters that replied with an error, as in a Round."""

    event = "waiting"
    message: str = field(metadata=_as(str))
    replied: list[str] | None = field(default=None, metadata=_as(_clusters))
    failed: dict[str, str] | None = field(default=None, metadata=_as(_texts))
    messages: dict[str, str] | None = field(default=None, metadata=_as(_texts))


@dataclass(frozen=True, kw_only=True)
class Notice(Record):
    """A problem that does not end the run. `kind` is a Doubt, or one of the runtime's own. A later notice of the same kind replaces it."""

    event = "notice"
    kind: str = field(metadata=_as(str))
    message: str = field(metadata=_as(str))


@dataclass(frozen=True, kw_only=True)
class Ended(Record):
    """The run succeeded. The last record. `result` is a Result."""

    event = "ended"
    result: str = field(metadata=_as(str))


@dataclass(frozen=True, kw_only=True)
class Stopped(Record):
    """The run must end with `reason`, an Ending or one of the runtime's own, even if the app succeeds."""

    event = "stopped"
    reason: str = field(metadata=_as(_code))
    message: str = field(default="", metadata=_as(str))


RECORDS: dict[str, type[Record]] = {
    each.event: each
    for each in (Bundle, Connected, Started, Round, Updates, Checkpoint, Resumed, ModelReady, NoModel, Waiting, Notice, Ended, Stopped)
}


def parse(line: bytes) -> Record | None:
    """Parses a line of progress.jsonl. None if it is not a record or its event is unknown to this version. Raises InvalidRecordError."""
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return read(found) if isinstance(found, dict) else None


def read(found: Mapping[str, Any]) -> Record | None:
    """Reads a record from parsed JSON. Raises InvalidRecordError if a field of a known event is missing or has the wrong type."""
    kind = RECORDS.get(str(found.get("event")))
    if kind is None:
        return None
    try:
        given = {each.name: each.metadata["read"](found[each.name]) for each in fields(kind) if found.get(each.name) is not None}
        return kind(**given)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise InvalidRecordError(repr(error)) from error
