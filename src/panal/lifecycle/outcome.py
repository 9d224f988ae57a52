"""The result of the policies of one pass, from which `status` builds the run's status."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from panal.api.types import ClientsStatus, CollaboratorStatus, ModelStatus, Phase, RestartsStatus

NO_CLIENTS = ClientsStatus(summary="0/0")


@dataclass(frozen=True, slots=True)
class Outcome:
    """The state of the run after the policies of one reconcile. `reason` and `message` explain the phase to programs and to users."""

    phase: Phase
    reason: str
    message: str
    clients: ClientsStatus = NO_CLIENTS
    clusters_selected: bool = False
    selection_message: str = ""
    aggregator_ready: bool = False
    collaborators: tuple[CollaboratorStatus, ...] = ()  # those that the status shows
    model: ModelStatus | None = None
    started: datetime | None = None
    restarts: RestartsStatus | None = None

    def ended(self, phase: Phase, reason: str, message: str) -> Outcome:
        return replace(self, phase=phase, reason=reason, message=message)
