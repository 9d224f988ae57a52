"""The result of a decision: objects and works to apply, objects to delete, a status, Events, and when to reconcile again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from panal.api.types import Status
from panal.lifecycle.collaborators import Works
from panal.lifecycle.world import Object


@dataclass(frozen=True, slots=True)
class Ref:
    """An object to delete. `uid` is a precondition: a later object of the same name is not deleted. `strip_finalizers`: remove the
    finalizers of an object whose cluster is unreachable."""

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
    """`hub.apply` adds the finalizer, applies objects and works, writes the status (None: unchanged) and the Events, deletes objects, and
    removes the finalizer, in this order."""

    apply: tuple[Object, ...] = ()
    works: Works | None = None
    delete: tuple[Ref, ...] = ()
    status: Status | None = None
    events: tuple[Event, ...] = ()
    add_finalizer: bool = False
    remove_finalizer: bool = False
    look_again: float | None = None  # seconds
