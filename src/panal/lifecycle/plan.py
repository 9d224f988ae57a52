"""What a decision comes to: objects and works to apply, objects to delete, one status, the story's next Events, and when to look again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from panal.api.types import Status
from panal.lifecycle.collaborators import Works
from panal.lifecycle.world import Object


@dataclass(frozen=True, slots=True)
class Ref:
    """An object to delete. `uid` guards against deleting a later object of the same name;
    `strip_finalizers` gives up on a spoke that cannot be reached."""

    api_version: str
    kind: str
    namespace: str
    name: str
    uid: str = ""
    strip_finalizers: bool = False


@dataclass(frozen=True, slots=True)
class Event:
    """An Event on the FederatedLearning, written after the status write succeeded."""

    type: Literal["Normal", "Warning"]
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Plan:
    """Carried out in this order: finalizer added, objects applied, then works, status written (None: unchanged), Events written, objects
    deleted, finalizer removed."""

    apply: tuple[Object, ...] = ()
    works: Works | None = None
    delete: tuple[Ref, ...] = ()
    status: Status | None = None
    events: tuple[Event, ...] = ()
    add_finalizer: bool = False
    remove_finalizer: bool = False
    look_again: float | None = None  # seconds
