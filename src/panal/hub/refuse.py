"""What becomes of a resource whose spec cannot be read: it fails with the field's name, and it can be deleted."""

from __future__ import annotations

from datetime import datetime

from panal.api import names
from panal.api.parse import ParseError, parse_metadata
from panal.api.types import Condition, Phase, Status
from panal.kube.objects import Object
from panal.lifecycle.plan import Event, Plan
from panal.lifecycle.reasons import Reason, with_remedy


def refuse(resource: Object, error: ParseError, now: datetime) -> Plan:
    """Nothing was made for it, so there is nothing to clean up."""
    metadata = parse_metadata(resource)
    if metadata.deleting_since:
        return Plan(remove_finalizer=names.FINALIZER in metadata.finalizers)
    message = with_remedy(Reason.INVALID_SPEC, str(error))
    if (resource.get("status") or {}).get("message") == message:
        return Plan()
    status = Status(
        phase=Phase.FAILED,
        message=message,
        observed_generation=metadata.generation,
        conditions=[Condition(type="Failed", status="True", reason=Reason.INVALID_SPEC.value, message=message, last_transition_time=now)],
        completion_time=now,
    )
    return Plan(status=status, events=(Event("Warning", Reason.INVALID_SPEC.value, message),))
