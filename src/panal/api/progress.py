"""How a run's progress reaches the hub: the reporter writes it as JSON into `data.progress` of the ConfigMap `<run>-progress`,
the controller reads it into the status. Bounded: at most MAX_COLLABORATORS clusters (failed ones first) and MAX_METRICS numbers each.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from panal.api.status import MAX_COLLABORATORS
from panal.api.types import Model, ModelStatus

__all__ = ["MAX_COLLABORATORS", "MAX_METRICS", "CollaboratorProgress", "Progress"]

MAX_METRICS = 16
MAX_TEXT = 500
MAX_ROUNDS = 2**63 - 1  # as many as spec.server.rounds may ask for

# The ConfigMap can be written by others in the namespace: what does not fit is not read at all.
Count = Annotated[int, Field(ge=0, le=MAX_ROUNDS)]
Number = Annotated[float, Field(allow_inf_nan=False)]
Name = Annotated[str, Field(max_length=64)]
Text = Annotated[str, Field(max_length=MAX_TEXT)]
Digest = Annotated[str, Field(pattern=r"^([0-9a-f]{64})?$")]
Metrics = Annotated[dict[Name, Number], Field(max_length=MAX_METRICS)]


class CollaboratorProgress(Model):
    """The last word of one cluster. `reason` is a code (an exception's class name), never free text of user code; `message` is such text,
    and empty unless the site's owner shares it."""

    round: Count = 0
    failed: bool = False
    reason: Name = ""
    message: Text = ""
    seconds: Number | None = None
    metrics: Metrics = Field(default_factory=dict)


class Progress(Model):
    """`attempt` is the aggregator Job's uid, so that an older attempt's words are not taken for the present one's.
    `app_hash` is the SHA-256 of the app bundle, which collaborators are told to run and nothing else; empty until it is known.
    `connected` counts the collaborators connected to the aggregator (None: not known yet).
    `started` is true once the server app's strategy runs, `rounds_completed` counts finished rounds of `rounds_total`;
    `replies` and `failures` are those of the last training phase, `seconds` its round's duration.
    `metrics` are those of the last round as aggregated by the strategy. `observable` is false for an app that does not use
    Flower's `Strategy.start`: it runs, but its rounds cannot be seen.
    """

    attempt: str = ""
    app_hash: Digest = ""
    connected: Count | None = None
    started: bool = False
    observable: bool = True
    rounds_completed: Count = 0
    rounds_total: Count = 0
    replies: Count = 0
    failures: Count = 0
    seconds: Number | None = None
    metrics: Metrics = Field(default_factory=dict)
    collaborators: dict[str, CollaboratorProgress] = Field(default_factory=dict)
    model: ModelStatus | None = None
