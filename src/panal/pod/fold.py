"""Records of progress.jsonl folded into one Progress: pure, so reading the file again from its beginning comes to the same.

The records come from two programs of ours in the user's image (docs/design/pods.md) and hold numbers of user code: names and reason codes
are such as can be shown, anything that is not a finite number is left out. `bounded` makes the result fit a ConfigMap.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import Any

from panal.api.progress import MAX_COLLABORATORS, MAX_METRICS, MAX_NAME, MAX_NOTICES, MAX_ROUNDS, CollaboratorProgress, Metric, Progress
from panal.api.text import by_name

Record = Mapping[str, Any]

_DIGEST = re.compile(r"[0-9a-f]{64}")
_VERSION = re.compile(r"[0-9A-Za-z.+!-]{1,32}")
_CLUSTER = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?")


class UnfitError(ValueError):
    """A record that is none of ours."""


def fold(progress: Progress, record: Record) -> Progress:
    """`progress` after `record`; unchanged by records that say nothing about it. UnfitError for one that cannot be read."""
    change = _CHANGES.get(str(record.get("event")))
    if change is None:
        return progress
    try:
        return progress.model_copy(update=change(progress, record))
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise UnfitError(repr(error)) from error


def bounded(progress: Progress) -> Progress:
    """At most MAX_COLLABORATORS clusters, failed ones first, then by name."""
    ordered = sorted(progress.collaborators.items(), key=lambda item: (not item[1].failed, item[0]))
    return progress.model_copy(update={"collaborators": dict(ordered[:MAX_COLLABORATORS])})


def of_clusters(found: Any) -> dict[str, Any]:
    """What a record says of each cluster; what is no cluster's name is left out."""
    return {cluster: said for cluster, said in (found or {}).items() if _CLUSTER.fullmatch(cluster)}


def _bundle(progress: Progress, record: Record) -> dict[str, Any]:
    """Said once: a container of the user's image that writes another one later must not change what sites were told."""
    digest, version = str(record["sha256"]), str(record.get("flower", ""))
    if progress.app_hash or not _DIGEST.fullmatch(digest):
        return {}
    return {"app_hash": digest, "runtime_version": version if _VERSION.fullmatch(version) else ""}


def _connected(_: Progress, record: Record) -> dict[str, Any]:
    return {"connected": _count(record["count"])}


def _started(_: Progress, record: Record) -> dict[str, Any]:
    return {"started": True, "rounds_total": _count(record["rounds"])}


def _waiting(_: Progress, record: Record) -> dict[str, Any]:
    return {"waiting": str(record["message"])}


def _notice(progress: Progress, record: Record) -> dict[str, Any]:
    """The last of each kind."""
    found = {**progress.notices, str(record["kind"]): str(record["message"])}
    return {"notices": by_name(dict(list(found.items())[-MAX_NOTICES:]), MAX_NAME)}


def _ended(progress: Progress, record: Record) -> dict[str, Any]:
    return {"result": str(record["result"]), "waiting": ""}


def _round(progress: Progress, record: Record) -> dict[str, Any]:
    number = _count(record["round"])
    if record["phase"] == "end":
        shown = {"metrics": progress.reported} if progress.reported_round == number else {"metrics": {}}
        return {"rounds_completed": max(number, progress.rounds_completed), "seconds": _number(record.get("seconds"))} | shown
    # What is shown are the metrics of one round, the last completed one: a metric must neither vanish while the next round trains, nor
    # stay where that one does not report it.
    before = progress.reported if progress.reported_round == number else {}
    change: dict[str, Any] = {"reported_round": number, "reported": _metrics(before, record), "waiting": ""}
    if record["phase"] in ("train", "query"):
        change |= {"replies": _count(record["replies"]), "failures": _count(record["failures"])}
    return change | {"collaborators": _collaborators(progress.collaborators, record, number)}


def _collaborators(known: Mapping[str, CollaboratorProgress], record: Record, number: int) -> dict[str, CollaboratorProgress]:
    result, time = dict(known), _number(record.get("time"))
    messages = of_clusters(record.get("messages"))
    for cluster, reason in of_clusters(record.get("failed")).items():
        text = str(messages.get(cluster, ""))
        result[cluster] = CollaboratorProgress(round=number, time=time, failed=True, reason=str(reason), message=text)
    for cluster, said in of_clusters(record.get("collaborators")).items():
        before = result.get(cluster)
        if before is not None and before.failed and before.round == number and record["phase"] not in ("train", "query"):
            continue  # its part in the training counted for nothing, whatever else it does in this round
        same_round = before is not None and before.round == number and not before.failed
        metrics = _metrics(before.metrics if before is not None and same_round else {}, said)
        result[cluster] = CollaboratorProgress(round=number, time=time, seconds=_number(said.get("seconds")), metrics=metrics)
    return result


def _metrics(before: Mapping[str, Metric], record: Record) -> dict[str, Metric]:
    given = {str(key): _metric(value) for key, value in (record.get("metrics") or {}).items()}
    said = by_name({key: value for key, value in given.items() if value is not None}, MAX_NAME)
    return dict(list({**said, **{name: value for name, value in before.items() if name not in said}}.items())[:MAX_METRICS])


def _metric(value: Any) -> Metric | None:
    return value if value in ("NaN", "Infinity", "-Infinity") else _number(value)


def _count(value: Any) -> int:
    number = int(value)
    if not 0 <= number <= MAX_ROUNDS:
        raise ValueError(f"{number} is no count")
    return number


def _number(value: Any) -> float | None:
    """As a number that JSON can carry; None if it is not one."""
    try:
        return float(value) if isinstance(value, int | float) and math.isfinite(value) else None
    except OverflowError:
        return None


_CHANGES: dict[str, Callable[[Progress, Record], dict[str, Any]]] = {
    "bundle": _bundle,
    "connected": _connected,
    "started": _started,
    "waiting": _waiting,
    "notice": _notice,
    "ended": _ended,
    "round": _round,
}
