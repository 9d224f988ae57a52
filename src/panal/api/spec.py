"""What a user asks for: the spec of a FederatedLearning.

Every description here is what `kubectl explain` shows. Constraints hold on the API server and in the parser alike; rules over more
than one field are CEL (`x-kubernetes-validations`), and those that compare with the past are in `panal.api.crd`. A rule must hold for
the default `{}` as well, which the API server checks before it fills in the defaults inside: hence `self.?type.orValue('')`.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

from pydantic import ConfigDict, Field, WithJsonSchema

from panal.api.placements import PLACEMENT
from panal.api.pods import PodSettings
from panal.api.run_config import RunConfig
from panal.api.schema import Model, rule

MAX_LISTENERS = 8
MAX_PATH = 1024
SIZE = r"^([1-9][0-9]*(\.[0-9]+)?|0\.[0-9]*[1-9][0-9]*)(k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei|[eE][0-9]{1,2})?$"
SUBDOMAIN = r"^([a-z0-9]([-a-z0-9.]*[a-z0-9])?)?$"
HOST = r"^[A-Za-z0-9.:-]*$"


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


class ReplyShapes(StrEnum):
    CONSISTENT = "Consistent"
    ANY = "Any"


class ReplyNumbers(StrEnum):
    FINITE = "Finite"
    ANY = "Any"


class Listener(Model):
    name: str = Field(default="", max_length=63, description="A name of your choice, unique in the list.")
    type: ListenerType = Field(default=ListenerType.NODE_PORT, description="How clusters reach the aggregator from outside the hub.")
    port: int = Field(
        default=8080,
        ge=1,
        le=65535,
        description="The port. With type NodePort: if it lies within the hub's NodePort range (by default 30000-32767) "
        "it is the node port; otherwise it is the Service's port and the hub chooses the node port.",
    )
    ip: str = Field(
        default="",
        max_length=253,
        pattern=HOST,
        description="With type NodePort: the address at which clusters reach the hub's nodes, if it is not the address of a node.",
    )


class S3(Model):
    bucket_name: str = Field(min_length=1, max_length=63, description="The bucket's name.")
    prefix: str = Field(default="", max_length=MAX_PATH, description="Folder in the bucket under which the run's files are stored.")
    region: str = Field(default="", max_length=63, description="The bucket's region, where the service has regions.")


class Storage(Model):
    model_config = ConfigDict(
        json_schema_extra={
            "x-kubernetes-validations": [
                rule(
                    "self.?type.orValue('') != 'S3Bucket' || has(self.s3)",
                    "storage.s3: required with type S3Bucket; name the bucket in storage.s3.bucketName",
                ),
                rule(
                    "self.?type.orValue('') != 'HostPath' || (has(self.path) && self.path.startsWith('/') && self.path.size() > 1)",
                    "storage.path: required with type HostPath; give an absolute path other than /",
                ),
                rule(
                    "!has(self.path) || !self.path.split('/').exists(part, part == '..')",
                    "storage.path: may not contain ..; give the path itself",
                ),
            ]
        }
    )

    type: StorageType = Field(default=StorageType.PERSISTENT_VOLUME_CLAIM, description="Where the model is kept.")
    name: str = Field(
        default="",
        max_length=253,
        pattern=SUBDOMAIN,
        description="With type PersistentVolumeClaim: the claim in the run's namespace; it is made if it does not exist, "
        "and outlives the run. If not given, a name made from the run's.",
    )
    path: str = Field(
        default="",
        max_length=MAX_PATH,
        description="Folder in the volume under which the run's files are stored; with type HostPath: the folder on the node.",
    )
    size: str = Field(default="1Gi", max_length=32, pattern=SIZE, description="Size of the claim if it has to be made, such as 2Gi.")
    s3: S3 | None = Field(default=None, description="With type S3Bucket: the bucket.")


class Replies(Model):
    shapes: ReplyShapes = Field(
        default=ReplyShapes.CONSISTENT,
        description="Consistent: where at least half of the replies of a phase have the arrays that were sent, by name, type and shape, "
        "the others are refused; and one whose names are unlike those of most is refused where the strategy could not go on with it. "
        "Any: the strategy gets every reply.",
    )
    numbers: ReplyNumbers = Field(
        default=ReplyNumbers.FINITE,
        description="Finite: where at least half of the replies of a phase have finite numbers in their arrays, the others are refused. "
        "Any: the strategy gets every reply.",
    )
    max_size: str | None = Field(
        default=None,
        max_length=32,
        pattern=SIZE,
        description="The largest reply of a cluster, such as 2Gi. If not given: 256Mi, or four times what the cluster was sent if that is "
        "more.",
    )


UNIQUE_LISTENERS = rule(
    "self.all(l, !has(l.name) || l.name == '' || self.exists_one(other, has(other.name) && other.name == l.name))",
    "listeners: names must be unique; rename a listener, or leave out its name",
)


class Server(PodSettings):
    image: str = Field(
        default="",
        max_length=MAX_PATH,
        description="Required. Image of the aggregator: it holds the user's app and the framework. A digest pins it.",
    )
    rounds: int = Field(default=1, ge=1, description="How many rounds to train. May be raised while the run goes on.")
    min_available_clients: int = Field(
        default=1, ge=1, description="Quorum: how many clusters must be selected and connected to start, and must answer in each round."
    )
    listeners: list[Listener] = Field(
        default_factory=list,
        max_length=MAX_LISTENERS,
        description="How clusters reach the aggregator. Without one: a NodePort that the hub chooses.",
        json_schema_extra={"x-kubernetes-list-type": "atomic", "x-kubernetes-validations": [UNIQUE_LISTENERS]},
    )
    storage: Storage = Field(default_factory=Storage, description="Where the model is kept.", json_schema_extra={"default": {}})
    quorum_timeout_seconds: int = Field(
        default=600, ge=1, description="How long the aggregator waits for the quorum to connect before the run fails."
    )
    round_timeout_seconds: int = Field(
        default=3600, ge=1, description="How long one round waits for clusters that do not answer before it goes on without them."
    )
    replies: Replies = Field(
        default_factory=Replies,
        description="Which replies of clusters count. One that is refused costs its own cluster's part of a round.",
        json_schema_extra={"default": {}},
    )
    run_config: RunConfig = Field(
        default_factory=dict,
        description="Values for keys of the app's run config, which are texts, numbers or booleans; those that the app declares in "
        "pyproject.toml, with a dot between a table and its key. What is not named here keeps the app's own value.",
    )
    superlink: str = Field(default="", max_length=MAX_PATH, description="Accepted and ignored: each run has an aggregator of its own.")


class Client(PodSettings):
    image: str = Field(
        default="",
        max_length=MAX_PATH,
        description="Required. Image of the collaborators: the environment in which the app trains. A digest pins it.",
    )
    placement: Annotated[dict[str, Any], WithJsonSchema(PLACEMENT)] = Field(
        default_factory=dict, description="Which clusters take part: the spec of an Open Cluster Management Placement."
    )
    data_claim: str = Field(
        default="",
        max_length=253,
        description="Name of the ClusterClaim that says where a cluster's data is: pvc://CLAIM/sub/path, a claim in the namespace "
        "panal-collaborator of that cluster, or an absolute path on its nodes. Clusters without it do not take part. None: the run "
        "needs no data of the clusters, and takes part on those that have announced none. "
        "If not given: the last claim with operator Exists in placement; without such a claim the run is refused.",
    )
    supernode: str = Field(default="", max_length=MAX_PATH, description="Accepted and ignored: each run has collaborators of its own.")


ENOUGH_CLUSTERS = rule(
    "!self.?client.placement.numberOfClusters.hasValue() "
    "|| self.client.placement.numberOfClusters >= self.?server.minAvailableClients.orValue(1)",
    "client.placement.numberOfClusters is lower than server.minAvailableClients, so the run could never start; "
    "raise the one or lower the other",
)


class Result(StrEnum):
    MODEL = "Model"
    FILES = "Files"
    NONE = "None"


class Acceleration(StrEnum):
    AUTO = "Auto"
    OFF = "Off"


class Spec(Model):
    model_config = ConfigDict(json_schema_extra={"x-kubernetes-validations": [ENOUGH_CLUSTERS]})

    framework: Framework = Field(default=Framework.OTHER, description="The framework that the images hold.")
    server: Server = Field(default_factory=Server, description="The aggregator, on the hub.", json_schema_extra={"default": {}})
    client: Client = Field(
        default_factory=Client, description="The collaborators, one on each selected cluster.", json_schema_extra={"default": {}}
    )
    result: Result | None = Field(
        default=None,
        description="What has to come of the run, which fails without it. Model: a model of the app's strategy. Files: at least one file "
        "that the server app writes into its working directory. None: nothing beside the metrics. "
        "If not given: a model where the app trains one, else whatever there is.",
    )
    active_deadline_seconds: int | None = Field(
        default=None,
        ge=1,
        description="How long the run may take from its creation on, waiting included, before it fails. No limit if not given.",
    )
    acceleration: Acceleration = Field(
        default=Acceleration.AUTO,
        description="Auto: the app's processes are forked from one that has imported its libraries, and nodes look for work more often "
        "while there is some; not with a GPU, nor with a version of the framework that panal does not know. Off: as the framework does.",
    )
    suspend: bool = Field(default=False, description="Set to true to stop the run's pods, to false to go on.")
    stop: bool = Field(
        default=False, description="Set to true to end the run for good: it becomes Failed with the reason Stopped. Its record stays."
    )
