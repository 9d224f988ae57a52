"""Folds the records of progress.jsonl into one Progress. Pure: reading the file from the beginning gives the same result.

The records contain text and numbers of user code. `records.parse` has checked their types; names are made printable here, and `bounded`
limits the result to the size of a ConfigMap.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from panal.api.progress import (
    MAX_COLLABORATORS,
    MAX_COUNTED,
    MAX_METRICS,
    MAX_NAME,
    MAX_NOTICES,
    CollaboratorProgress,
    Metric,
    Progress,
    SecureProgress,
    UpdateCounts,
)
from panal.api.text import by_name
from panal.pod.tools.codes import DIGEST, END, QUERY, TRAIN
from panal.pod.tools.records import Bundle, Connected, Ended, Notice, Record, Round, Started, Updates, Waiting

_DIGEST = re.compile(DIGEST)
_VERSION = re.compile(r"[0-9A-Za-z.+!-]{1,32}")


def fold(progress: Progress, record: Record | None) -> Progress:
    """`progress` updated by `record`."""
    return progress.model_copy(update=_change(progress, record))


def resumed(progress: Progress, before: Progress, round_: int) -> Progress:
    """The progress of an aggregator that goes on after `round_`: `before` is the progress when that round was complete. What concerns the
    Pod itself is `progress`'s."""
    own = {name: getattr(progress, name) for name in ("attempt", "app_hash", "runtime_version", "connected", "started", "model", "files")}
    own["updates"] = _counted(progress.updates, before.updates)
    own["notices"] = dict(list({**before.notices, **progress.notices}.items())[-MAX_NOTICES:])
    return before.model_copy(
        update={**own, "rounds_completed": round_, "checkpoint": round_, "resumed": round_, "waiting": "", "replied": [], "result": ""}
    )


def _counted(own: UpdateCounts | None, before: UpdateCounts | None) -> UpdateCounts | None:
    """What has left a site does not come back with a checkpoint."""
    return own.followed(before) if own is not None and before is not None else own


def bounded(progress: Progress) -> Progress:
    """`progress` with at most MAX_COLLABORATORS clusters: failed ones first, then by name."""
    ordered = sorted(progress.collaborators.items(), key=lambda item: (not item[1].failed, item[0]))
    return progress.model_copy(update={"collaborators": dict(ordered[:MAX_COLLABORATORS])})


def _change(progress: Progress, record: Record | None) -> dict[str, Any]:
    match record:
        case Bundle():
            return _bundle(progress, record)
        case Connected(count=count):
            return {"connected": count}
        case Started(rounds=rounds):
            return {"started": True, "rounds_total": rounds}
        case Waiting():
            return _waiting(progress, record)
        case Notice():
            return _notice(progress, record)
        case Round(phase=phase):
            return _end(progress, record) if phase == END else _round(progress, record)
        case Updates() if progress.updates is not None:
            return {"updates": _updates(progress.updates, record)}
        case Ended(result=result):
            return {"result": result, "waiting": "", "replied": []}
    return {}


def _bundle(progress: Progress, record: Bundle) -> dict[str, Any]:
    """Only the first record counts: user code must not replace the hash that was announced to sites."""
    if progress.app_hash or not _DIGEST.fullmatch(record.sha256):
        return {}
    return {"app_hash": record.sha256, "runtime_version": record.version if _VERSION.fullmatch(record.version) else ""}


def _updates(counts: UpdateCounts, record: Updates) -> UpdateCounts:
    own = dict(counts.own)
    for cluster in record.asked or ():
        if cluster in own or len(own) < MAX_COUNTED:
            own[cluster] = own.get(cluster, 0) + 1
    for cluster in record.without or ():
        own[cluster] = max(0, own.get(cluster, 0) - 1)
    return counts.model_copy(update={"own": own})


def _notice(progress: Progress, record: Notice) -> dict[str, Any]:
    """Keeps the last notice of each kind."""
    found = {**progress.notices, record.kind: record.message}
    return {"notices": by_name(dict(list(found.items())[-MAX_NOTICES:]), MAX_NAME)}


def _waiting(progress: Progress, record: Waiting) -> dict[str, Any]:
    """Failures are told as soon as the phase waits for others; the record of the phase repeats them."""
    change: dict[str, Any] = {"waiting": record.message, "replied": (record.replied or [])[:MAX_COLLABORATORS]}
    if not record.failed:
        return change
    texts, number = record.messages or {}, max(progress.rounds_completed + 1, progress.reported_round)
    failed = {
        cluster: CollaboratorProgress(round=number, time=record.time, failed=True, reason=reason, message=texts.get(cluster, ""))
        for cluster, reason in record.failed.items()
    }
    return change | {"collaborators": {**progress.collaborators, **failed}}


def _end(progress: Progress, record: Round) -> dict[str, Any]:
    shown = progress.reported if progress.reported_round == record.round else {}
    return {"rounds_completed": max(record.round, progress.rounds_completed), "seconds": record.seconds, "metrics": shown}


def _secure(record: Round) -> SecureProgress | None:
    if record.secure is None:
        return None
    return SecureProgress(threshold=record.secure["threshold"], dropped=record.secure["dropped"][:MAX_COLLABORATORS])


def _round(progress: Progress, record: Round) -> dict[str, Any]:
    # A round counts the replies of the phase in which sites contribute; without one, of its first phase.
    # `metrics` are those of the last completed round. Those of the current round are kept in `reported` until it ends.
    before = progress.reported if progress.reported_round == record.round else {}
    change: dict[str, Any] = {"reported_round": record.round, "reported": _metrics(before, record.metrics)}
    change |= {"waiting": "", "replied": []}
    if record.phase in (TRAIN, QUERY) or (record.replies is not None and progress.reported_round != record.round):
        change |= {"replies": record.replies or 0, "failures": record.failures or 0}
        change["selected"] = (record.selected or [])[:MAX_COLLABORATORS]
        change["secure"] = _secure(record)
    return change | {"collaborators": _collaborators(progress.collaborators, record)}


def _collaborators(known: Mapping[str, CollaboratorProgress], record: Round) -> dict[str, CollaboratorProgress]:
    result, number, messages = dict(known), record.round, record.messages or {}
    for cluster, reason in (record.failed or {}).items():
        text = messages.get(cluster, "")
        result[cluster] = CollaboratorProgress(round=number, time=record.time, failed=True, reason=reason, message=text)
    for cluster, reply in (record.collaborators or {}).items():
        before = result.get(cluster)
        if before is not None and before.failed and before.round == number and record.phase not in (TRAIN, QUERY):
            continue  # its training failed in this round, so a later evaluation does not make it a success
        same_round = before is not None and before.round == number and not before.failed
        metrics = _metrics(before.metrics if before is not None and same_round else {}, reply.get("metrics"))
        trained = before.seconds if before is not None and same_round and record.phase not in (TRAIN, QUERY) else None
        seconds = reply.get("seconds") if trained is None else trained
        result[cluster] = CollaboratorProgress(round=number, time=record.time, seconds=seconds, metrics=metrics)
    return result


def _metrics(before: Mapping[str, Metric], new: Mapping[str, Metric] | None) -> dict[str, Metric]:
    named = by_name(new or {}, MAX_NAME)
    return dict(list({**named, **{name: value for name, value in before.items() if name not in named}}.items())[:MAX_METRICS])
