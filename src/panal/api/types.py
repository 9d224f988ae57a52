"""The FederatedLearning resource as Python types; the CRD is generated from them (`panal.api.crd`).

Field names and meanings of the existing OCM controller are kept, so its resources apply unchanged; the rest are additions.
Python names are snake_case, the wire names camelCase. The controller parses what the API server has validated and defaulted,
so a ValidationError here means that the CRD installed on the hub is of another version.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel


class Model(BaseModel):
    """Base of every type of the resource: camelCase on the wire, frozen, unknown fields ignored."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, frozen=True, extra="ignore")


class Framework(StrEnum):
    FLOWER = "flower"
    OPENFL = "openfl"
    OTHER = "other"


class ListenerType(StrEnum):
    NODE_PORT = "NodePort"
    LOAD_BALANCER = "LoadBalancer"
    ROUTE = "Route"
    CLUSTER_IP = "ClusterIP"
    INGRESS = "Ingress"
    GATEWAY = "Gateway"


class StorageType(StrEnum):
    PERSISTENT_VOLUME_CLAIM = "PersistentVolumeClaim"
    HOST_PATH = "HostPath"
    S3_BUCKET = "S3Bucket"


class Phase(StrEnum):
    WAITING = "Waiting"
    RUNNING = "Running"
    COMPLETED = "Completed"
    FAILED = "Failed"


class Listener(Model):
    name: str = ""
    type: ListenerType = ListenerType.NODE_PORT
    port: int = 8080
    ip: str = ""


class S3(Model):
    bucket_name: str
    prefix: str = ""
    region: str = ""


class Storage(Model):
    type: StorageType = StorageType.PERSISTENT_VOLUME_CLAIM
    name: str = ""
    path: str = ""
    size: str = "1Gi"
    s3: S3 | None = None


class PodSettings(Model):
    """What a pod needs in practice; the same for the aggregator and the collaborators. Values are Kubernetes' own types."""

    resources: dict[str, Any] = Field(default_factory=dict)
    env: list[dict[str, Any]] = Field(default_factory=list)
    image_pull_secrets: list[dict[str, Any]] = Field(default_factory=list)
    image_pull_policy: Literal["Always", "IfNotPresent", "Never"] | None = None
    node_selector: dict[str, str] = Field(default_factory=dict)
    tolerations: list[dict[str, Any]] = Field(default_factory=list)


class Server(PodSettings):
    image: str = ""
    rounds: int = 1
    min_available_clients: int = 1
    listeners: list[Listener] = Field(default_factory=list)
    storage: Storage = Field(default_factory=Storage)
    quorum_timeout_seconds: int = 600
    round_timeout_seconds: int = 3600
    superlink: str = ""


class Client(PodSettings):
    image: str = ""
    placement: dict[str, Any] = Field(default_factory=dict)
    data_claim: str = ""
    supernode: str = ""


class Spec(Model):
    framework: Framework = Framework.OTHER
    server: Server = Field(default_factory=Server)
    client: Client = Field(default_factory=Client)
    active_deadline_seconds: int | None = None
    suspend: bool = False


class Condition(Model):
    type: str
    status: Literal["True", "False", "Unknown"]
    reason: str
    message: str = ""
    last_transition_time: datetime
    observed_generation: int = 0


class RoundsStatus(Model):
    completed: int = 0
    total: int = 0
    summary: str = ""  # "2/3", for the printer column


class ClientsStatus(Model):
    selected: int = 0
    ready: int = 0
    failed: int = 0
    summary: str = ""  # "ready/selected", for the printer column


class CollaboratorStatus(Model):
    """One cluster's part in the run; `state` is one of Pending, Ready, Training, Failed, Done."""

    cluster: str
    state: str
    reason: str = ""
    message: str = ""
    round: int = 0
    seconds: float | None = None
    metrics: dict[str, float] = Field(default_factory=dict)


class ListenerStatus(Model):
    name: str = ""
    type: ListenerType
    address: str
    port: int


class ModelStatus(Model):
    """The finished model: where, its SHA-256 as `sha256:<hex>`, bytes, and the round after which it was taken."""

    uri: str
    digest: str
    size: int
    round: int


class Status(Model):
    phase: Phase = Phase.WAITING
    message: str = ""
    observed_generation: int = 0
    conditions: list[Condition] = Field(default_factory=list)
    rounds: RoundsStatus = Field(default_factory=RoundsStatus)
    clients: ClientsStatus = Field(default_factory=ClientsStatus)
    collaborators: list[CollaboratorStatus] = Field(default_factory=list)
    metrics: dict[str, float] = Field(default_factory=dict)
    headline_metric: str = ""
    listeners: list[ListenerStatus] = Field(default_factory=list)
    model: ModelStatus | None = None
    start_time: datetime | None = None
    completion_time: datetime | None = None
