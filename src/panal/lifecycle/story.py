"""The Events of a run: what changed between two statuses, in the order in which it happened."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

from panal.api.names import ClusterName
from panal.api.status import USUAL_CONDITIONS
from panal.api.types import Phase, Status
from panal.lifecycle import diagnosis
from panal.lifecycle.plan import Event
from panal.lifecycle.reasons import NORMAL, Reason

AT_ONCE = 5  # clusters or rounds named in the Events of one reconcile; the status has all


def events(old: Status, new: Status) -> list[Event]:
    """Empty if nothing changed. If the controller stops between writing the status and its Events, only these Events are lost."""
    return [*_ignored(old, new), *_trouble(old, new), *_rounds(old, new), *_notices(old, new), *_model(old, new), *_phase(old, new)]


def added(clusters: Iterable[ClusterName]) -> list[Event]:
    return _named(Reason.CLUSTER_ADDED, "takes part", sorted(clusters))


def removed(clusters: Iterable[ClusterName]) -> list[Event]:
    return _named(Reason.CLUSTER_REMOVED, "no longer takes part", sorted(clusters))


def _reason(status: Status, condition: str) -> str:
    return next((c.reason for c in status.conditions if c.type == condition), "")


def _ignored(old: Status, new: Status) -> list[Event]:
    ignored = Reason.FIELD_IGNORED.value
    if _reason(new, "SpecAccepted") != ignored or _reason(old, "SpecAccepted") == ignored:
        return []
    message = next(c.message for c in new.conditions if c.type == "SpecAccepted")
    return [Event("Normal", ignored, message)]


def _named(reason: Reason, what: str, clusters: Sequence[str]) -> list[Event]:
    found = [Event("Normal", reason.value, f"{cluster} {what}") for cluster in clusters[:AT_ONCE]]
    if len(clusters) > AT_ONCE:
        found.append(Event("Normal", reason.value, f"and {len(clusters) - AT_ONCE} more clusters"))
    return found


def _trouble(old: Status, new: Status) -> list[Event]:
    before = {c.cluster: c.reason for c in old.collaborators if c.state == diagnosis.FAILED}
    fresh = [c for c in new.collaborators if c.state == diagnosis.FAILED and before.get(c.cluster) != c.reason]
    return [Event("Warning", c.reason, c.message) for c in fresh[:AT_ONCE]]


def _rounds(old: Status, new: Status) -> list[Event]:
    """One Event for each of the last rounds completed between two reconciles; the metrics are those of the last one."""
    before = max(old.rounds.completed if old.start_time == new.start_time else old.rounds.checkpoint, new.rounds.resumed)
    found = []
    for number in range(max(before, new.rounds.completed - AT_ONCE) + 1, new.rounds.completed + 1):
        last = f", {new.headline_metric}" if number == new.rounds.completed and new.headline_metric else ""
        found.append(Event("Normal", Reason.ROUND_COMPLETED.value, f"round {number} of {new.rounds.total} completed{last}"))
    return found


def _notices(old: Status, new: Status) -> list[Event]:
    before = {c.type: c.message for c in old.conditions}
    fresh = [c for c in new.conditions if c.type not in USUAL_CONDITIONS and before.get(c.type) != c.message]
    return [Event("Warning", c.reason, c.message) for c in fresh]


def _model(old: Status, new: Status) -> list[Event]:
    if new.model is None or old.model == new.model:
        return []
    return [Event("Normal", Reason.MODEL_STORED.value, f"{new.model.uri} ({new.model.digest}, {new.model.size} bytes)")]


def _phase(old: Status, new: Status) -> list[Event]:
    reason = _reason(new, "Progressing")
    if old.phase == new.phase and _reason(old, "Progressing") == reason:
        return []
    if new.phase is Phase.FAILED:
        return [Event("Warning", reason, f"Failed: {new.message}")]
    kind: Literal["Normal", "Warning"] = "Normal" if reason in NORMAL else "Warning"
    return [Event(kind, reason, new.message)]
