"""The result of a decision: objects and works to apply, objects to delete, a status, Events, and when to reconcile again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from panal.api.names import ClusterName
from panal.api.types import Status
from panal.evidence.receipt import Signed
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
class Keep:
    """Stores the record of a run, and enters it into the hub's ledger. `asked`: the clusters that are to countersign it."""

    content: Object
    asked: Sequence[str]


@dataclass(frozen=True, slots=True)
class Enter:
    """Enters a stored record into the hub's ledger. `record`: its SHA-256."""

    record: str
    recorded: datetime


@dataclass(frozen=True, slots=True)
class Receive:
    """Stores receipts. `asked`: all clusters that were asked, in their order."""

    receipts: Mapping[ClusterName, Signed]
    asked: Sequence[str]


@dataclass(frozen=True, slots=True)
class Close:
    """Seals which receipts there are."""

    content: Object


@dataclass(frozen=True, slots=True)
class Plan:
    """`hub.apply` takes the steps of the evidence, adds the finalizer, applies objects and works, writes the status (None: unchanged) and
    the Events, deletes objects, and removes the finalizer, in this order."""

    evidence: tuple[Keep | Enter | Receive | Close, ...] = ()
    apply: tuple[Object, ...] = ()
    works: Works | None = None
    delete: tuple[Ref, ...] = ()
    status: Status | None = None
    events: tuple[Event, ...] = ()
    add_finalizer: bool = False
    remove_finalizer: bool = False
    look_again: float | None = None  # seconds
