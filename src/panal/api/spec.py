"""The spec of a FederatedLearning.

`kubectl explain` shows the descriptions. Both the API server and the parser enforce the constraints. Rules over several fields are written
in CEL (`x-kubernetes-validations`); rules that compare with the previous version of a resource are in `panal.api.crd`. A rule must also
hold for the default `{}`, which the API server checks before it sets the defaults inside: therefore `self.?type.orValue('')`.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

from pydantic import ConfigDict, Field, WithJsonSchema

from panal.api.names import MAX_RUN_NAME
from panal.api.placements import DNS_NAME, PLACEMENT, PlacementSpec
from panal.api.pods import ENV, RESERVED_PREFIX, RESOURCES, PodSettings
from panal.api.run_config import RunConfig
from panal.api.schema import Model, kept_as_json, rule

MAX_LISTENERS = 8
MAX_POLICIES = 16
MAX_PATH = 1024
MAX_SECONDS = 2**31 - 1  # 68 years: a time so long after the run's creation still exists
SIZE = r"^([1-9][0-9]*(\.[0-9]+)?|0\.[0-9]*[1-9][0-9]*)(k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei|[eE][0-9]{1,2})?$"
SUBDOMAIN = rf"^({DNS_NAME})?$"
LABEL = r"^([a-z0-9]([-a-z0-9]*[a-z0-9])?)?$"
_HOST_NAME = r"[A-Za-z0-9]([-A-Za-z0-9]{0,61}[A-Za-z0-9])?(\.[A-Za-z0-9]([-A-Za-z0-9]{0,61}[A-Za-z0-9])?)*\.?"
_IPV6 = r"[0-9A-Fa-f]{0,4}(:[0-9A-Fa-f]{0,4}){2,7}(:[0-9]{1,3}(\.[0-9]{1,3}){3})?"
HOST = rf"^({_HOST_NAME}|{_IPV6})?$"
ENDPOINT = rf"^(https?://({_HOST_NAME}|\[{_IPV6}\])(:[0-9]{{1,5}})?(/[-._~A-Za-z0-9/]*)?)?$"
MODEL_URI = r"^((pvc://[-a-z0-9.]+|s3://[-a-z0-9.]+|file://)/[!-~]+\.(safetensors|npz))?$"
IMAGE = r"^[!-~]*$"  # no spaces and line breaks
PRINTABLE = r"^[^\x00-\x1f\x7f-\x9f]*$"  # no line breaks and no control characters
FRAMEWORK = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"
DEFAULT_FRAMEWORK = "other"


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


class Protocol(StrEnum):
    HTTP = "HTTP"
    GRPC = "GRPC"


class ReplyShapes(StrEnum):
    CONSISTENT = "Consistent"
    ANY = "Any"


class ReplyNumbers(StrEnum):
    FINITE = "Finite"
    ANY = "Any"


class GatewayReference(Model):
    name: str = Field(min_length=1, max_length=253, pattern=SUBDOMAIN, description="The Gateway's name.")
    namespace: str = Field(default="", max_length=63, pattern=LABEL, description="Its namespace. If not set: the namespace of the run.")
    section_name: str = Field(
        default="",
        max_length=253,
        pattern=SUBDOMAIN,
        description="The Gateway's listener, with the protocol TLS and the mode Passthrough. If not set: the first such listener.",
    )


class Listener(Model):
    model_config = ConfigDict(
        json_schema_extra={
            "x-kubernetes-validations": [
                rule(
                    "(self.?type.orValue('') == 'Gateway') == has(self.gateway)",
                    "gateway: required with type Gateway, and only then; name the Gateway in gateway.name",
                ),
                rule(
                    "!has(self.host) || self.host == '' || self.?type.orValue('') in ['Route', 'Gateway', 'Ingress']",
                    "host: only with type Route, Gateway or Ingress; remove it, or use ip",
                ),
                rule(
                    "!has(self.ingressClassName) || self.ingressClassName == '' || self.?type.orValue('') == 'Ingress'",
                    "ingressClassName: only with type Ingress; remove it",
                ),
            ]
        }
    )

    name: str = Field(default="", max_length=63, description="A name of your choice, unique in the list.")
    type: ListenerType = Field(
        default=ListenerType.NODE_PORT,
        description="How clusters reach the aggregator from outside the hub. Route (OpenShift), Gateway (Gateway API) and Ingress pass TLS "
        "through to the aggregator by the name in the handshake (SNI), so that many runs share one address and port.",
    )
    port: int = Field(
        default=8080,
        ge=1,
        le=65535,
        description="The port of the Service. With type NodePort: a port in the hub's NodePort range (by default 30000-32767) "
        "is the node port; any other port is the Service's port, and the hub chooses the node port. With type Route or Ingress clusters "
        "use port 443, with type Gateway the port of the Gateway's listener.",
    )
    ip: str = Field(
        default="",
        max_length=253,
        pattern=HOST,
        description="The address at which clusters reach the hub's nodes (type NodePort), or the router, the Gateway or the Ingress "
        "controller. If not set: the address of a node, or the one that the hub's objects say.",
    )
    host: str = Field(
        default="",
        max_length=253,
        pattern=SUBDOMAIN,
        description="With type Route, Gateway or Ingress: the name by which clusters ask for this run in the TLS handshake, different for "
        "each run. If not set: Route: the name that the router assigns. Gateway: RUN.NAMESPACE below the listener's wildcard. Else: "
        "RUN.NAMESPACE.fl.panal, which need not be in any DNS. The certificate of the run does not depend on it.",
    )
    gateway: GatewayReference | None = Field(
        default=None, description="With type Gateway: the Gateway, which the hub's administrator has created."
    )
    ingress_class_name: str = Field(
        default="",
        max_length=253,
        pattern=SUBDOMAIN,
        description="With type Ingress: the IngressClass. Its controller must be able to pass TLS through. If not set: the default one.",
    )


class CaBundleKind(StrEnum):
    CONFIG_MAP = "ConfigMap"
    SECRET = "Secret"


class CaBundle(Model):
    kind: CaBundleKind = Field(default=CaBundleKind.CONFIG_MAP, description="The kind of the object.")
    name: str = Field(min_length=1, max_length=253, pattern=SUBDOMAIN, description="The object's name.")
    key: str = Field(
        default="ca.crt", min_length=1, max_length=253, pattern=r"^[-._a-zA-Z0-9]+$", description="The key whose value is the PEM text."
    )


def _authorities_of(whom: str) -> Any:
    return Field(
        default=None,
        description=f"The certificate authorities that the {whom}'s certificate is checked against: a ConfigMap or Secret in the run's "
        "namespace. If not set: the public authorities.",
    )


def _secret_with(content: str, otherwise: str) -> Any:
    return Field(
        default="",
        max_length=253,
        pattern=SUBDOMAIN,
        description=f"The Secret in the run's namespace with {content}. Only panal's reporter gets them. If not set: {otherwise}.",
    )


class S3(Model):
    model_config = ConfigDict(
        json_schema_extra={
            "x-kubernetes-validations": [
                rule(
                    "!has(self.prefix) || !self.prefix.split('/').exists(part, part == '..')",
                    "storage.s3.prefix: must not contain ..; give the prefix itself",
                )
            ]
        }
    )

    bucket_name: str = Field(min_length=1, max_length=63, description="The bucket's name.")
    prefix: str = Field(default="", max_length=MAX_PATH, description="Folder in the bucket in which the run's files are stored.")
    region: str = Field(
        default="", max_length=63, description="The bucket's region, if the service has regions. If not set: us-east-1 is sent."
    )
    endpoint: str = Field(
        default="",
        max_length=MAX_PATH,
        pattern=ENDPOINT,
        description="URL of a service that is compatible with S3, such as https://minio.example.com:9000. If not set: Amazon S3.",
    )
    force_path_style: bool | None = Field(
        default=None,
        description="Whether the bucket's name is in the path of requests (true) or in their host name (false). "
        "If not set: true with an endpoint, and false without one.",
    )
    ca_bundle: CaBundle | None = _authorities_of("endpoint")
    secret_name: str = _secret_with(
        "the credentials: the keys AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, and AWS_SESSION_TOKEN for temporary ones",
        otherwise="the identity that the cloud gives the Pod",
    )


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
                    "storage.path: must not contain ..; give the path itself",
                ),
            ]
        }
    )

    type: StorageType = Field(default=StorageType.PERSISTENT_VOLUME_CLAIM, description="Where the model is stored.")
    name: str = Field(
        default="",
        max_length=253,
        pattern=SUBDOMAIN,
        description="With type PersistentVolumeClaim: the volume claim in the run's namespace. The controller creates it if it does not "
        "exist; it is kept when the run is deleted. If not set: a name derived from the run's name.",
    )
    path: str = Field(
        default="",
        max_length=MAX_PATH,
        description="Folder in the volume in which the run's files are stored. With type HostPath: the folder on the node. "
        "With type S3Bucket: ignored.",
    )
    size: str = Field(default="1Gi", max_length=32, pattern=SIZE, description="Size of a volume claim that is created, such as 2Gi.")
    s3: S3 | None = Field(default=None, description="With type S3Bucket: the bucket.")


class OnAggregatorLoss(StrEnum):
    RESTART = "Restart"
    FAIL = "Fail"


class AggregationMethod(StrEnum):
    APP = "App"
    MEAN = "Mean"
    MEDIAN = "Median"
    TRIMMED_MEAN = "TrimmedMean"
    KRUM = "Krum"
    MULTI_KRUM = "MultiKrum"


BYZANTINE_CLIENTS_OF_A_METHOD = rule(
    "(self.?method.orValue('App') in ['App', 'Mean']) != has(self.byzantineClients)",
    "aggregation.byzantineClients: required with method Median, TrimmedMean, Krum or MultiKrum, and only then; say how many clusters' "
    "updates may be arbitrary",
)


class Aggregation(Model):
    model_config = ConfigDict(json_schema_extra={"x-kubernetes-validations": [BYZANTINE_CLIENTS_OF_A_METHOD]})

    method: AggregationMethod = Field(
        default=AggregationMethod.APP,
        description="App: the app's strategy aggregates the updates. Any other, with framework flower and a strategy of the app that "
        "averages: panal aggregates them in place of that average, and every update counts the same. Mean: the average. Median: of each "
        "number. TrimmedMean: the average of each number without the byzantineClients largest and smallest. Krum: the one update that is "
        "nearest to its neighbors. MultiKrum: the average of the nearest, as many as there are updates less byzantineClients and two.",
    )
    byzantine_clients: int | None = Field(
        default=None,
        ge=0,
        le=10_000,
        description="How many clusters' updates may be arbitrary. Median and TrimmedMean need twice as many updates and one more, Krum and "
        "MultiKrum twice as many and three more: minAvailableClients must be as high, and a round with fewer fails.",
    )


ENOUGH_FOR_AGGREGATION = [
    rule(
        f"!(self.?aggregation.?method.orValue('App') in {methods}) || self.?minAvailableClients.orValue(1) >= "
        f"2 * self.?aggregation.?byzantineClients.orValue(0) + {more}",
        f"minAvailableClients: aggregation.method {named} needs at least 2 * aggregation.byzantineClients + {more} clusters; raise the "
        "first or lower the second",
    )
    for methods, named, more in (
        ("['Median', 'TrimmedMean']", "Median or TrimmedMean", 1),
        ("['Krum', 'MultiKrum']", "Krum or MultiKrum", 3),
    )
]
EXAMINED_FOR_AGGREGATION = rule(
    "self.?aggregation.?method.orValue('App') == 'App' || "
    "(self.?replies.?shapes.orValue('Consistent') != 'Any' && self.?replies.?numbers.orValue('Finite') != 'Any')",
    "replies.shapes and replies.numbers: not Any with aggregation.method, which combines only replies with the same finite arrays; "
    "remove Any, or use method App",
)


# An API server compares an integer with the whole part of `minimum`: 0 is not below 0.001.
ABOVE_ZERO = rule("self > 0.0", "replies.largestUpdateNorm: must be above 0, because every training changes the model; raise it")


class Replies(Model):
    shapes: ReplyShapes = Field(
        default=ReplyShapes.CONSISTENT,
        description="Consistent: if at least half of the replies of a phase have the arrays that were sent, by name, type and shape, "
        "the other replies are refused. A reply whose names differ from those of most replies is refused if the strategy cannot "
        "aggregate it. Any: the strategy gets every reply.",
    )
    numbers: ReplyNumbers = Field(
        default=ReplyNumbers.FINITE,
        description="Finite: if at least half of the replies of a phase have only finite numbers in their arrays, the others are refused. "
        "Any: the strategy gets every reply.",
    )
    max_size: str | None = Field(
        default=None,
        max_length=32,
        pattern=SIZE,
        description="The largest reply of a cluster, such as 2Gi. If not set: 256Mi, or four times the message's size if that is more.",
    )
    largest_update_norm: float | None = Field(
        default=None,
        ge=0,
        description="With framework flower: a reply to a training is refused if the L2 norm of its update is larger. The update is the "
        "difference to the arrays that were sent, over all floating-point arrays. If not set: no limit.",
        json_schema_extra={"x-kubernetes-validations": [ABOVE_ZERO]},
    )


class InitialModel(Model):
    model_config = ConfigDict(
        json_schema_extra={
            "x-kubernetes-validations": [
                rule(
                    "self.?run.orValue('') != '' ? self.?uri.orValue('') == '' : self.?uri.orValue('') != ''",
                    "initialModel: name either a run or a uri; give one of them",
                ),
                rule(
                    "self.?digest.orValue('') == '' || self.?uri.orValue('') != ''",
                    "initialModel.digest: only with uri, because the status of a run has the digest of its model; remove it",
                ),
                rule(
                    "!has(self.uri) || !self.uri.split('/').exists(part, part == '..')",
                    "initialModel.uri: must not contain ..; give the path itself",
                ),
            ]
        }
    )

    run: str = Field(
        default="",
        max_length=MAX_RUN_NAME,
        pattern=LABEL,
        description="A run in the same namespace, whose model this run begins with. This run waits until that one is Completed.",
    )
    uri: str = Field(
        default="",
        max_length=2 * MAX_PATH,
        pattern=MODEL_URI,
        description="Where the model is: pvc://CLAIM/path/model.safetensors in a volume claim of the run's namespace, "
        "s3://BUCKET/path/model.safetensors in the bucket of server.storage, or file:///path/model.safetensors on the node.",
    )
    digest: str = Field(
        default="",
        max_length=71,
        pattern=r"^(sha256:[0-9a-f]{64})?$",
        description="With uri: the file's SHA-256. If the file has another one, the run fails.",
    )


UNIQUE_LISTENERS = rule(
    "self.all(l, !has(l.name) || l.name == '' || self.exists_one(other, has(other.name) && other.name == l.name))",
    "listeners: names must be unique; rename a listener, or omit its name",
)


class Server(PodSettings):
    model_config = ConfigDict(json_schema_extra={"x-kubernetes-validations": [*ENOUGH_FOR_AGGREGATION, EXAMINED_FOR_AGGREGATION]})

    image: str = Field(
        default="",
        max_length=MAX_PATH,
        pattern=IMAGE,
        description="Required. Image of the aggregator, with the app and the framework. A digest pins it.",
    )
    rounds: int = Field(default=1, ge=1, description="The number of rounds. It can be increased while the run is in progress.")
    min_available_clients: int = Field(
        default=1, ge=1, description="Quorum: how many clusters must be selected and connected to start, and must reply in each round."
    )
    listeners: list[Listener] = Field(
        default_factory=list,
        max_length=MAX_LISTENERS,
        description="How clusters reach the aggregator. If empty: a NodePort that the hub chooses.",
        json_schema_extra={"x-kubernetes-list-type": "atomic", "x-kubernetes-validations": [UNIQUE_LISTENERS]},
    )
    storage: Storage = Field(default_factory=Storage, description="Where the model is stored.", json_schema_extra={"default": {}})
    initial_model: InitialModel | None = Field(
        default=None,
        description="With framework flower: the model with which the run begins, in place of the app's own initial arrays. "
        "It must have the same names, shapes and types. If not set: the app's own.",
    )
    quorum_timeout_seconds: int = Field(
        default=600, ge=1, le=MAX_SECONDS, description="How long the aggregator waits for the quorum to connect before the run fails."
    )
    round_timeout_seconds: int = Field(
        default=3600,
        ge=1,
        le=MAX_SECONDS,
        description="How long a round waits for replies before it continues without the missing clusters.",
    )
    on_aggregator_loss: OnAggregatorLoss = Field(
        default=OnAggregatorLoss.RESTART,
        description="What happens if the aggregator is lost and the run cannot go on after its last complete round, because the state of "
        "the app cannot be restored exactly (condition NotResumable). Restart: the run starts again with the first round. Fail: the run "
        "fails. A run whose state can be restored goes on in any case.",
    )
    straggler_grace_seconds: int | None = Field(
        default=None,
        ge=0,
        le=MAX_SECONDS,
        description="How long a round waits for the other clusters after minAvailableClients of them have replied. Those that have not "
        "replied by then count as failed in this round, and take part in the next one. If not set: until roundTimeoutSeconds.",
    )
    replies: Replies = Field(
        default_factory=Replies,
        description="Which replies of clusters count. A refused reply excludes only its own cluster from the phase of that round.",
        json_schema_extra={"default": {}},
    )
    aggregation: Aggregation = Field(
        default_factory=Aggregation,
        description="How the updates of a training become one. Methods other than App bound what a few clusters can do to the model.",
        json_schema_extra={"default": {}},
    )
    run_config: RunConfig = Field(
        default_factory=dict,
        description="Values for keys of the app's run config: strings, numbers or booleans. A Flower app must declare each key in "
        "pyproject.toml; write a dot between a table and its key. Other keys keep the value from pyproject.toml.",
    )
    protocol: Protocol = Field(
        default=Protocol.HTTP,
        description="With framework other: what collaborators speak with the server. HTTP: HTTP/1.1. GRPC: gRPC. Both without TLS, "
        "because the gateways encrypt.",
    )
    superlink: str = Field(default="", max_length=MAX_PATH, description="Accepted and ignored: each run has its own aggregator.")


class PolicyReference(Model):
    name: str = Field(min_length=1, max_length=253, pattern=SUBDOMAIN, description="The name of the Policy, as its author has created it.")
    namespace: str = Field(default="", max_length=63, pattern=LABEL, description="Its namespace. If not set: the namespace of the run.")


class Client(PodSettings):
    image: str = Field(
        default="",
        max_length=MAX_PATH,
        pattern=IMAGE,
        description="Required. Image of the collaborators, with everything that the app needs to train. A digest pins it.",
    )
    placement: Annotated[dict[str, Any], kept_as_json(PlacementSpec), WithJsonSchema(PLACEMENT)] = Field(
        default_factory=dict, description="Which clusters to select: the spec of an Open Cluster Management Placement."
    )
    data_claim: str = Field(
        default="",
        max_length=253,
        description="Name of the ClusterClaim that says where a cluster's data is: pvc://CLAIM/sub/path for a volume claim in the "
        "namespace panal-collaborator of that cluster, or an absolute path on its nodes. A cluster without the ClusterClaim does not "
        "take part. None: the run needs no data of the clusters, and clusters that announce no data take part as well. "
        "If not set: the last claim with operator Exists in placement; if there is none, the run fails.",
    )
    require_policies: list[PolicyReference] = Field(
        default_factory=list,
        max_length=MAX_POLICIES,
        description="Policies of Open Cluster Management with which a cluster must be Compliant. A cluster that is not, or whose state is "
        "not known to the hub, does not take part; one that is no longer Compliant is removed from the run until it is again.",
        json_schema_extra={"x-kubernetes-list-type": "atomic"},
    )
    minimum_examples: int | None = Field(
        default=None,
        ge=1,
        le=2**53,
        description="With framework flower: a site withholds a reply about fewer examples than this, or than its owner allows in the file "
        ".panal/policy.json of the data folder, if that is more.",
    )
    supernode: str = Field(default="", max_length=MAX_PATH, description="Accepted and ignored: each run has its own collaborators.")


ENOUGH_CLUSTERS = rule(
    "!self.?client.placement.numberOfClusters.hasValue() "
    "|| self.client.placement.numberOfClusters >= self.?server.minAvailableClients.orValue(1)",
    "client.placement.numberOfClusters is lower than server.minAvailableClients, so the run could never start; "
    "raise the first or lower the second",
)


class MLflow(Model):
    uri: str = Field(
        min_length=1,
        max_length=MAX_PATH,
        pattern=ENDPOINT,
        description="URL of the MLflow tracking server, such as https://mlflow.example.com. The aggregator's Pod connects to it.",
    )
    experiment: str = Field(min_length=1, max_length=250, description="The experiment; it is created if it does not exist.")
    secret_name: str = _secret_with(
        "the credentials: the key MLFLOW_TRACKING_TOKEN, or MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD",
        otherwise="none are sent",
    )
    ca_bundle: CaBundle | None = _authorities_of("server")


class OpenTelemetry(Model):
    endpoint: str = Field(
        min_length=1,
        max_length=MAX_PATH,
        pattern=ENDPOINT,
        description="URL of an endpoint for OTLP over HTTP, such as https://otel.example.com:4318; /v1/traces is added. The aggregator's "
        "Pod connects to it.",
    )
    secret_name: str = _secret_with(
        "headers for the endpoint: the key OTEL_EXPORTER_OTLP_HEADERS, such as Authorization=Bearer%20TOKEN", otherwise="none are sent"
    )
    ca_bundle: CaBundle | None = _authorities_of("endpoint")


class Tracking(Model):
    mlflow: MLflow | None = Field(
        default=None, description="An MLflow server that gets parameters, the metrics of each round and cluster, the model and the history."
    )
    open_telemetry: OpenTelemetry | None = Field(
        default=None, description="An OTLP endpoint that gets the run as a trace: placement, start, each round by phase and cluster."
    )


class Validation(Model):
    image: str = Field(
        min_length=1,
        max_length=MAX_PATH,
        pattern=IMAGE,
        description="Image with the notebook, with what it imports, and with the Python packages nbclient, nbconvert and ipykernel.",
    )
    notebook: str = Field(
        default="notebooks/validate.ipynb",
        min_length=1,
        max_length=MAX_PATH,
        description="The notebook in the image: an absolute path, or one that is relative to the working directory of the image.",
    )
    resources: Annotated[dict[str, Any], WithJsonSchema(RESOURCES)] = Field(
        default_factory=dict, description="Requests and limits of the container that executes the notebook, as in a Pod."
    )
    env: Annotated[list[dict[str, Any]], WithJsonSchema(ENV)] = Field(
        default_factory=list,
        description="Environment variables of the container that executes the notebook, as in a Pod. "
        f"Names that start with {RESERVED_PREFIX} are reserved.",
    )
    timeout_seconds: int = Field(default=3600, ge=1, le=MAX_SECONDS, description="How long the cells may take together.")


class PublishMLflow(Model):
    uri: str = Field(
        min_length=1,
        max_length=MAX_PATH,
        pattern=ENDPOINT,
        description="URL of the MLflow server, such as https://mlflow.example.com. A Pod on the hub connects to it after the run.",
    )
    name: str = Field(
        min_length=1,
        max_length=250,
        pattern=r"^[-_. A-Za-z0-9]+$",
        description="The registered model, of which each run becomes a version. It is created if it does not exist.",
    )
    secret_name: str = Field(
        default="",
        max_length=253,
        pattern=SUBDOMAIN,
        description="The Secret in the run's namespace with the credentials: the key MLFLOW_TRACKING_TOKEN, or MLFLOW_TRACKING_USERNAME "
        "and MLFLOW_TRACKING_PASSWORD. Only panal's container gets them. If not set: none are sent.",
    )
    ca_bundle: CaBundle | None = Field(
        default=None,
        description="The certificate authorities that the server's certificate is checked against: a ConfigMap or Secret in the run's "
        "namespace. If not set: the public authorities.",
    )


class PublishModelRegistry(Model):
    uri: str = Field(
        min_length=1,
        max_length=MAX_PATH,
        pattern=ENDPOINT,
        description="URL of the REST API of a Kubeflow Model Registry, such as https://registry-rest.example.com, without "
        "/api/model_registry. A Pod on the hub connects to it after the run.",
    )
    name: str = Field(
        min_length=1,
        max_length=128,
        pattern=r"^[-_.A-Za-z0-9]+$",
        description="The registered model, of which each run becomes a version. It is created if it does not exist.",
    )
    secret_name: str = Field(
        default="",
        max_length=253,
        pattern=SUBDOMAIN,
        description="The Secret in the run's namespace with the bearer token: the key MODEL_REGISTRY_TOKEN. Only panal's container gets "
        "it. If not set: none is sent.",
    )
    ca_bundle: CaBundle | None = Field(
        default=None,
        description="The certificate authorities that the registry's certificate is checked against: a ConfigMap or Secret in the run's "
        "namespace. If not set: the public authorities.",
    )


class Publish(Model):
    mlflow: PublishMLflow | None = Field(
        default=None, description="An MLflow server, which gets the model as a version of a registered model."
    )
    model_registry: PublishModelRegistry | None = Field(
        default=None,
        description="A Kubeflow Model Registry, as OpenShift AI has it, which gets a version of a registered model with the place where "
        "the model is stored.",
    )


class SharedMetrics(StrEnum):
    WEIGHT = "Weight"
    NONE = "None"
    ALL = "All"


class DifferentialPrivacy(Model):
    clipping_norm: float = Field(
        ge=0.0001,
        le=1_000_000,
        description="The largest Euclidean norm of an update, over all of its float arrays together. A larger one is scaled to it.",
    )
    noise_multiplier: float = Field(
        ge=0.001,
        le=1000,
        description="The standard deviation of the noise that each number of an update gets, as a multiple of clippingNorm.",
    )
    delta: float | None = Field(
        default=None,
        ge=0,
        le=0.1,
        description="The δ for which ε is reckoned, larger than 0. It should be smaller than 1 divided by the number of sites. "
        "If not set: 0.00001.",
    )
    max_epsilon: float | None = Field(
        default=None,
        ge=0.001,
        le=1000,
        description="The largest ε of a site. A run whose rounds need more does not start, and a site withholds an update that needs more. "
        "If not set: no limit.",
    )
    metrics: SharedMetrics = Field(
        default=SharedMetrics.WEIGHT,
        description="Which metrics a reply has; ε does not cover them. Weight: only num-examples, by which updates are weighted. "
        "None: none; num-examples is 1 at every site. All: those of the app.",
    )


class SecureAggregation(Model):
    threshold: int | None = Field(
        default=None,
        ge=3,
        le=1000,
        description="How many of a training's clusters must stay until its end; otherwise it is repeated, and then the run fails. It is "
        "raised to more than half of them. If not set: two thirds of them.",
    )


SOME_PROTECTION = rule(
    "has(self.differentialPrivacy) || has(self.secureAggregation)",
    "privacy: has neither differentialPrivacy nor secureAggregation; give one of them, or remove privacy",
)


class Privacy(Model):
    model_config = ConfigDict(json_schema_extra={"x-kubernetes-validations": [SOME_PROTECTION]})

    differential_privacy: DifferentialPrivacy | None = Field(
        default=None,
        description="Each site clips its updates and adds Gaussian noise to them, before they leave it. The unit of privacy is the site.",
    )
    secure_aggregation: SecureAggregation | None = Field(
        default=None,
        description="Each site masks its updates, so that the aggregator learns their weighted mean, and no update of a site. With a "
        "strategy of the app that averages.",
    )


class Mode(StrEnum):
    TRAIN = "Train"
    EVALUATE = "Evaluate"


class Goal(StrEnum):
    MAXIMIZE = "Maximize"
    MINIMIZE = "Minimize"


class Evaluation(Model):
    local_rounds: int = Field(
        default=1,
        ge=0,
        le=1000,
        description="How often each site trains its local-only model, which begins with the app's initial arrays. 0: there is none to "
        "compare with.",
    )
    metric: str = Field(
        default="",
        max_length=200,
        description="The metric by which sites and models are compared. If not set: the first whose name ends with accuracy, acc, auc, f1 "
        "or loss, else the first by name.",
    )
    goal: Goal | None = Field(
        default=None,
        description="Whether a higher or a lower value is better. If not set: Minimize for a name that contains loss, error, mae, mse, "
        "mape, brier, perplexity or divergence, else Maximize.",
    )


EVALUATES_A_MODEL = rule(
    "self.?mode.orValue('') != 'Evaluate' || self.?server.initialModel.hasValue()",
    "server.initialModel: required with mode Evaluate; name the model that is evaluated",
)
EVALUATION_IN_ITS_MODE = rule(
    "!has(self.evaluation) || self.?mode.orValue('') == 'Evaluate'", "evaluation: only with mode Evaluate; set the mode, or remove it"
)
NO_UPDATES_IN_AN_EVALUATION = rule(
    "self.?mode.orValue('') != 'Evaluate' || (self.?server.?aggregation.?method.orValue('App') == 'App' && "
    "!self.?server.?replies.?largestUpdateNorm.hasValue())",
    "server.aggregation.method, server.replies.largestUpdateNorm: not with mode Evaluate, which aggregates no updates; remove them",
)
NO_MODEL_FROM_AN_EVALUATION = rule(
    "self.?mode.orValue('') != 'Evaluate' || (self.?result.orValue('None') == 'None' && !has(self.validation) && !has(self.publish))",
    "result, validation, publish: not with mode Evaluate, which produces only metrics; remove them",
)


PRIVACY_OF_A_TRAINING = rule(
    "!has(self.privacy) || self.?mode.orValue('') != 'Evaluate'",
    "privacy: not with mode Evaluate, which measures at the sites and averages no updates; remove one of them",
)
_SECURE = "self.?privacy.?secureAggregation.hasValue()"
ENOUGH_FOR_SECURE_AGGREGATION = rule(
    f"!{_SECURE} || self.?server.?minAvailableClients.orValue(1) >= 3",
    "server.minAvailableClients: must be at least 3 with privacy.secureAggregation, because of a sum of two each knows the other's "
    "part; raise it",
)
THRESHOLD_WITHIN_THE_QUORUM = rule(
    "!self.?privacy.?secureAggregation.?threshold.hasValue() || self.?server.?minAvailableClients.orValue(1) >= "
    "self.privacy.secureAggregation.threshold",
    "privacy.secureAggregation.threshold: is higher than server.minAvailableClients, so a round with the quorum would fail; raise the "
    "second or lower the first",
)
NO_SINGLE_UPDATES_TO_EXAMINE = rule(
    f"!{_SECURE} || (self.?server.?aggregation.?method.orValue('App') == 'App' && !self.?server.?replies.?largestUpdateNorm.hasValue() && "
    "self.?server.?replies.?shapes.orValue('Consistent') != 'Any' && self.?server.?replies.?numbers.orValue('Finite') != 'Any')",
    "server.aggregation.method, server.replies.largestUpdateNorm, server.replies.shapes Any and server.replies.numbers Any: not with "
    "privacy.secureAggregation, which shows the aggregator no single update; remove them",
)


class Result(StrEnum):
    MODEL = "Model"
    FILES = "Files"
    NONE = "None"


class Acceleration(StrEnum):
    AUTO = "Auto"
    OFF = "Off"


class Spec(Model):
    model_config = ConfigDict(
        json_schema_extra={
            "x-kubernetes-validations": [
                ENOUGH_CLUSTERS,
                EVALUATES_A_MODEL,
                EVALUATION_IN_ITS_MODE,
                NO_UPDATES_IN_AN_EVALUATION,
                NO_MODEL_FROM_AN_EVALUATION,
                PRIVACY_OF_A_TRAINING,
                ENOUGH_FOR_SECURE_AGGREGATION,
                THRESHOLD_WITHIN_THE_QUORUM,
                NO_SINGLE_UPDATES_TO_EXAMINE,
            ]
        }
    )

    framework: str = Field(
        default=DEFAULT_FRAMEWORK,
        max_length=63,
        pattern=FRAMEWORK,
        description="The federated learning framework in the images: flare, flower, openfl, other, or one that is installed on the hub. "
        "other: server and client are programs of your own (server.command, client.command); without commands it means openfl.",
    )
    mode: Mode = Field(
        default=Mode.TRAIN,
        description="Train: the app trains a model in rounds. Evaluate, with framework flower: each site evaluates the model of "
        "server.initialModel on its own data, and compares it with one that it trains alone. No model is stored.",
    )
    evaluation: Evaluation | None = Field(default=None, description="With mode Evaluate: what each site compares the model with.")
    server: Server = Field(default_factory=Server, description="The aggregator, on the hub.", json_schema_extra={"default": {}})
    client: Client = Field(
        default_factory=Client, description="The collaborators, one on each selected cluster.", json_schema_extra={"default": {}}
    )
    privacy: Privacy | None = Field(default=None, description="With framework flower: how the updates of sites are protected.")
    result: Result | None = Field(
        default=None,
        description="What the run must produce; without it the run fails. Model: a model from the app's strategy. Files: at least one "
        "file that the server app writes into its working directory. None: only metrics. "
        "If not set: a model if the app trains one, otherwise anything that the app produces.",
    )
    active_deadline_seconds: int | None = Field(
        default=None,
        ge=1,
        le=MAX_SECONDS,
        description="How long the run may take from its creation, including waiting, before it fails. If not set: no limit.",
    )
    tracking: Tracking | None = Field(
        default=None, description="Where the run is tracked, besides its status. A run does not end because it cannot be tracked."
    )
    validation: Validation | None = Field(
        default=None,
        description="A notebook that a Job on the hub executes on the model of a Completed run. Whatever it finds, the model stays.",
    )
    publish: Publish | None = Field(
        default=None,
        description="Where the model of a Completed run is published. It is not if the app's export or spec.validation has failed.",
    )
    acceleration: Acceleration = Field(
        default=Acceleration.AUTO,
        description="Auto: the app's processes are forked from a process that has imported its libraries, and collaborators get "
        "messages at once. It has no effect with a GPU, or with a version of the framework that panal does not support. Off: the "
        "framework's own behavior.",
    )
    purpose: str = Field(
        default="",
        max_length=200,
        pattern=PRINTABLE,
        description="What the model is for, in your words. Sites with a policy learn it, and may allow by it.",
    )
    requester: str = Field(
        default="",
        max_length=253,
        pattern=PRINTABLE,
        description="Who asks for the run: your user name on the hub, as `kubectl auth whoami` says it; the hub refuses any other. "
        "Sites with a policy learn it, and may allow by it. It cannot be changed later.",
    )
    suspend: bool = Field(default=False, description="Set to true to stop the run's Pods, to false to go on after the last complete round.")
    stop: bool = Field(
        default=False, description="Set to true to end the run permanently: it becomes Failed with the reason Stopped, and is kept."
    )
