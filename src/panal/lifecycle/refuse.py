"""The plan for a resource that cannot be parsed: it fails with the field's name, its collaborators are deleted, and it can be deleted.

The API server has validated it, so it was created with another version of the CRD. It may have works.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from panal.api import names
from panal.api.parse import Metadata, ParseError
from panal.api.types import Condition, Phase, Status
from panal.lifecycle.collaborators import WORK_API
from panal.lifecycle.plan import Event, Plan, Ref
from panal.lifecycle.reasons import Reason, with_remedy
from panal.lifecycle.world import WorkView


def refuse(metadata: Metadata, current: str, error: ParseError, works: Iterable[WorkView], limit: timedelta, now: datetime) -> Plan:
    """`current` is the message that the resource's status has now; `limit` is how long a deletion waits for a cluster's agent."""
    left = list(works)
    going = removal(left, limit, now)
    look_again = 10.0 if left else None
    if metadata.deleting_since:
        held = names.FINALIZER in metadata.finalizers
        return Plan(delete=going, remove_finalizer=held and not left, look_again=look_again)
    message = with_remedy(Reason.INVALID_SPEC, str(error))
    if current == message:
        return Plan(delete=going, look_again=look_again)
    status = Status(
        phase=Phase.FAILED,
        message=message,
        observed_generation=metadata.generation,
        conditions=[Condition(type="Failed", status="True", reason=Reason.INVALID_SPEC.value, message=message, last_transition_time=now)],
        completion_time=now,
    )
    return Plan(delete=going, status=status, events=(Event("Warning", Reason.INVALID_SPEC.value, message),), look_again=look_again)


def removal(works: Iterable[WorkView], limit: timedelta, now: datetime) -> tuple[Ref, ...]:
    """Deletes works whose run cannot be read or no longer exists; after the limit, their finalizers are removed."""
    return tuple(_ref(w, strip=w.deleting_since is not None) for w in works if w.deleting_since is None or now - w.deleting_since > limit)


def _ref(work: WorkView, strip: bool) -> Ref:
    return Ref(WORK_API, "ManifestWork", work.cluster, work.name, work.uid, strip_finalizers=strip)
