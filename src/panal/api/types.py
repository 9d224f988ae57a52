"""The FederatedLearning resource as Python types; the CRD is generated from them (`panal.api.crd`).

Field names and meanings of the existing OCM controller are kept, so its resources apply unchanged; the rest are additions.
Python names are snake_case, the wire names camelCase. The controller parses (`panal.api.parse`) what the API server has validated
and defaulted, so an error there means that the CRD installed on the hub is of another version.

This module gathers the names; the spec is in `panal.api.spec`, the status in `panal.api.status`.
"""

from __future__ import annotations

from panal.api.pods import PodSettings
from panal.api.schema import Model
from panal.api.spec import (
    S3,
    Acceleration,
    Client,
    Framework,
    Listener,
    ListenerType,
    Replies,
    ReplyNumbers,
    ReplyShapes,
    Result,
    Server,
    Spec,
    Storage,
    StorageType,
)
from panal.api.status import (
    ClientsStatus,
    CollaboratorStatus,
    Condition,
    FilesStatus,
    ListenerStatus,
    ModelStatus,
    Phase,
    RoundsStatus,
    Status,
)

__all__ = [
    "S3",
    "Acceleration",
    "Client",
    "ClientsStatus",
    "CollaboratorStatus",
    "Condition",
    "FilesStatus",
    "Framework",
    "Listener",
    "ListenerStatus",
    "ListenerType",
    "Model",
    "ModelStatus",
    "Phase",
    "PodSettings",
    "Replies",
    "ReplyNumbers",
    "ReplyShapes",
    "Result",
    "RoundsStatus",
    "Server",
    "Spec",
    "Status",
    "Storage",
    "StorageType",
]
