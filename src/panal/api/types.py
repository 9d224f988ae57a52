"""The FederatedLearning resource as Python types; the CRD is generated from them (`panal.api.crd`).

Fields of the former OCM controller keep their names and meanings, so its resources apply unchanged; the other fields are additions.
Python names are snake_case, names in the resource camelCase. The API server has validated a resource and set its defaults before the
controller parses it (`panal.api.parse`), so an error there means that the CRD on the hub has another version.

This module exports all names; the spec is in `panal.api.spec`, the status in `panal.api.status`.
"""

from __future__ import annotations

from panal.api.pods import PodSettings
from panal.api.schema import Model
from panal.api.spec import (
    S3,
    Acceleration,
    CaBundle,
    CaBundleKind,
    Client,
    GatewayReference,
    InitialModel,
    Listener,
    ListenerType,
    MLflow,
    OnAggregatorLoss,
    OpenTelemetry,
    Publish,
    PublishMLflow,
    Replies,
    ReplyNumbers,
    ReplyShapes,
    Result,
    Server,
    Spec,
    Storage,
    StorageType,
    Tracking,
    Validation,
)
from panal.api.status import (
    ClientsStatus,
    CollaboratorStatus,
    Condition,
    ExportedFile,
    ExportStatus,
    FilesStatus,
    InitialModelStatus,
    ListenerStatus,
    ModelStatus,
    Phase,
    PublishedMLflow,
    PublishStatus,
    RestartsStatus,
    RoundsStatus,
    Status,
    ValidationStatus,
)

__all__ = [
    "S3",
    "Acceleration",
    "CaBundle",
    "CaBundleKind",
    "Client",
    "ClientsStatus",
    "CollaboratorStatus",
    "Condition",
    "ExportStatus",
    "ExportedFile",
    "FilesStatus",
    "GatewayReference",
    "InitialModel",
    "InitialModelStatus",
    "Listener",
    "ListenerStatus",
    "ListenerType",
    "MLflow",
    "Model",
    "ModelStatus",
    "OnAggregatorLoss",
    "OpenTelemetry",
    "Phase",
    "PodSettings",
    "Publish",
    "PublishMLflow",
    "PublishStatus",
    "PublishedMLflow",
    "Replies",
    "ReplyNumbers",
    "ReplyShapes",
    "RestartsStatus",
    "Result",
    "RoundsStatus",
    "Server",
    "Spec",
    "Status",
    "Storage",
    "StorageType",
    "Tracking",
    "Validation",
    "ValidationStatus",
]
