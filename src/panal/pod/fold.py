"""Records of progress.jsonl folded into one Progress: pure, so reading the file again from its beginning comes to the same.

The records come from two programs of ours in the user's image (docs/design/pods.md) and hold numbers of user code: names and reason codes
are cut to a length, anything that is not a finite number is left out. `bounded` makes the result fit a ConfigMap.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import Any

from panal.api.progress import MAX_COLLABORATORS, MAX_METRICS, MAX_TEXT, CollaboratorProgress, Progress

Record = Mapping[str, Any]

MAX_NAME = 64
_DIGEST = re.compile(r"[0-9a-f]{64}")


def fold(progress: Progress, record: Record) -> Progress:
    """`progress` after `record`; unchanged by records that say nothing about it."""
    change = _CHANGES.get(str(record.get("event")))
    return progress.model_copy(update=change(progress, record)) if change else progress


def bounded(progress: Progress) -> Progress:
    """At most MAX_COLLABORATORS clusters, failed ones first, then by name."""
    ordered = sorted(progress.collaborators.items(), key=lambda item: (not item[1].failed, item[0]))
    return progress.model_copy(update={"collaborators": dict(ordered[:MAX_COLLABORATORS])})


def _bundle(progress: Progress, record: Record) -> dict[str, Any]:
    """Said once: a container of the user's image that writes another one later must not change what sites were told."""
    digest = str(record["sha256"])
    return {"app_hash": digest} if not progress.app_hash and _DIGEST.fullmatch(digest) else {}


def _connected(_: Progress, record: Record) -> dict[str, Any]:
    return {"connected": int(record["count"])}


def _started(_: Progress, record: Record) -> dict[str, Any]:
    return {"started": True, "rounds_total": int(record["rounds"])}


def _unobservable(_: Progress, record: Record) -> dict[str, Any]:
    return {"observable": False}


def _round(progress: Progress, record: Record) -> dict[str, Any]:
    number = int(record["round"])
    if record["phase"] == "end":
        return {"rounds_completed": max(number, progress.rounds_completed), "seconds": _seconds(record)}
    # Names stay until they are said anew: a metric of the server's own evaluation must not vanish while the next round trains.
    change: dict[str, Any] = {"metrics": _metrics(progress.metrics, record)}
    if record["phase"] == "train":
        change |= {"replies": int(record["replies"]), "failures": int(record["failures"])}
    return change | {"collaborators": _collaborators(progress.collaborators, record, number)}


def _collaborators(known: Mapping[str, CollaboratorProgress], record: Record, number: int) -> dict[str, CollaboratorProgress]:
    result = dict(known)
    for cluster, reason in record.get("failed", {}).items():
        text = str(record.get("messages", {}).get(cluster, ""))[:MAX_TEXT]
        result[cluster] = CollaboratorProgress(round=number, failed=True, reason=str(reason)[:MAX_NAME], message=text)
    for cluster, said in record.get("collaborators", {}).items():
        before = result.get(cluster)
        same_round = before is not None and before.round == number and not before.failed
        metrics = _metrics(before.metrics if before is not None and same_round else {}, said)
        result[cluster] = CollaboratorProgress(round=number, seconds=_seconds(said), metrics=metrics)
    return result


def _metrics(before: Mapping[str, float], record: Record) -> dict[str, float]:
    said = {str(k)[:MAX_NAME]: float(v) for k, v in record.get("metrics", {}).items() if isinstance(v, int | float) and math.isfinite(v)}
    names = [*said, *(name for name in before if name not in said)][:MAX_METRICS]
    return {name: said.get(name, before.get(name, 0.0)) for name in names}


def _seconds(record: Record) -> float | None:
    value = record.get("seconds")
    return float(value) if isinstance(value, int | float) else None


_CHANGES: dict[str, Callable[[Progress, Record], dict[str, Any]]] = {
    "bundle": _bundle,
    "connected": _connected,
    "started": _started,
    "unobservable": _unobservable,
    "round": _round,
}
