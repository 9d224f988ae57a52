"""Names, labels and paths that several packages share."""

from __future__ import annotations

import hashlib
from datetime import timedelta
from functools import lru_cache
from typing import NewType

ClusterName = NewType("ClusterName", str)

GROUP = "federation-ai.open-cluster-management.io"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"
KIND = "FederatedLearning"
PLURAL = "federatedlearnings"

FIELD_MANAGER = "panal"
FINALIZER = "fl.panal/cleanup"
MANAGED_BY = {"app.kubernetes.io/managed-by": "panal"}
LABEL_RUN = "fl.panal/run"  # the run's name, at most MAX_RUN_NAME characters
LABEL_RUN_NAMESPACE = "fl.panal/run-namespace"
LABEL_RUN_UID = "fl.panal/run-uid"
LABEL_COMPONENT = "fl.panal/component"  # aggregator, collaborator, history, export, validation, publication or probe
ANNOTATION_PARTITION = "fl.panal/partition"  # of a collaborator's StatefulSet: its number and how many there are, such as 0/3
ANNOTATION_HASH = "fl.panal/applied-hash"  # hash of the desired object: distinguishes a change of it from a default of the API server

MAX_RUN_NAME = 40
NO_DATA = "None"  # in spec.client.dataClaim: the run needs no data of the clusters; not a valid name of a ClusterClaim
COLLABORATOR_NAMESPACE = "panal-collaborator"
BINDING_POLICY = "panal-cluster-set-bindings"  # panal's ValidatingAdmissionPolicy and its binding
BINDING_POLICY_WORKS_AFTER = timedelta(seconds=5)  # API servers watch policies, with a delay
BOUND_SETS = "panal-bound-cluster-sets"  # Role in the controller's namespace: its annotations list sets bound by others, for the policy
ANNOTATION_BOUND = "bound.fl.panal/"  # prefix of a namespace: the sets that others bound there, comma-separated
ANNOTATION_GONE = "gone.fl.panal/"  # prefix of a namespace: the sets that others had bound there, but no longer do
SYSTEM_NAMESPACE = "panal-system"
CONTROLLER = "panal-controller"  # its Deployment
CONTROLLER_LEASE = "panal-controller"
FORMER_LEASE = "b4652c81.open-cluster-management.io"  # of Open Cluster Management's federated-learning-controller
CLUSTER_SET_LABEL = "cluster.open-cluster-management.io/clusterset"  # of a ManagedCluster

# The add-on by which a cluster takes part, and its certificate (docs/design/identity.md).
ADDON = "fl-collaborator"
SIGNER = "fl.panal/collaborator"  # of collaborators' certificates
IDENTITY_SECRET = f"{ADDON}-{SIGNER.replace('/', '-')}-client-cert"  # on the managed cluster, created by OCM's agent: tls.crt, tls.key
TRUST = f"{ADDON}-trust"  # ConfigMap on the managed cluster: ca.crt, the trust bundle of the server authority
SITE = f"{ADDON}-site"  # optional ConfigMap on the managed cluster, by its owner: the site configuration
PROXY = f"{ADDON}-proxy"  # optional Secret on the managed cluster, by its owner: credentials for the site's proxy
SITE_CONTROLLER = (
    "panal-site"  # at a site whose owner has installed it: namespace and Deployment of the site controller; in the namespace of
)
# collaborators the ConfigMap (address, ca.crt) and the Secret (token) by which their gateways reach it
SITE_GATE = "fl.panal/site-policy"  # scheduling gate of a collaborator's Pod, and the type of the condition with the site's decision
SITE_CLAIM = "site-policy.fl.panal"  # ClusterClaim of a site that has a SitePolicy: the policy's version
ANNOTATION_REQUEST = "fl.panal/request"  # of a collaborator's Pod: what the hub says about the run, as JSON
SITE_KIND, SITE_PLURAL, SITE_POLICY = "SitePolicy", "sitepolicies", "site"  # the resource at a site, and the name of the one that applies
RECORD_KIND, RECORD_PLURAL = "RunRecord", "runrecords"  # the resource at a site by which the hub asks it to countersign the record of a run
EVIDENCE = "panal-evidence"  # ConfigMap in the controller's namespace: the hub's public key, and the last entry of its ledger
EVIDENCE_KEY = "panal-evidence-key"  # Secret beside it: the key
DATA_ACCESS = f"{ADDON}-data"  # Secret on the managed cluster, by its owner: environment variables of apps whose data is in a bucket
ROOT_POLICY_LABEL = "policy.open-cluster-management.io/root-policy"  # on the copies of a Policy: NAMESPACE.NAME of the original
ADDON_LABEL = "open-cluster-management.io/addon-name"
CLUSTER_LABEL = "open-cluster-management.io/cluster-name"
AUTHORITIES = "panal-authorities"  # ConfigMap in the controller's namespace: the public part of the authorities
SERVER_AUTHORITY = "panal-server-authority"  # and COLLABORATOR_AUTHORITY: Secrets in the controller's namespace
COLLABORATOR_AUTHORITY = "panal-collaborator-authority"
ANNOTATION_ROTATE = "fl.panal/rotate"  # on the ConfigMap AUTHORITIES: servers, collaborators, or both with a comma; then "@" and a time
ANNOTATION_MAX_ACTIVE_RUNS = "fl.panal/max-active-runs"  # on a namespace: how many of its runs may be active at once
ANNOTATION_REVOKED = "fl.panal/revoked"  # on a ManagedClusterAddOn: since when
ANNOTATION_CERTIFICATES = "fl.panal/certificates"  # on a ManagedClusterAddOn: the unexpired certificates, as JSON
INITIAL_PREFIX = "PANAL_INITIAL_"  # of the reporter's variables with the credentials of the bucket of spec.server.initialModel
CLUSTER_HEADER = "x-panal-cluster"  # set by the aggregator's gateway: the cluster in the certificate
POD_HEADER = "x-panal-pod"  # on the loopback of a run's Pod: the content of POD_SECRET, which only the Pod's processes can read

# Keys of `data` in the ConfigMap `progress`; the controller writes KEY_ROUNDS, the reporter the others.
KEY_PROGRESS = "progress"  # `panal.api.progress.Progress` as JSON
KEY_REQUEST = "csr"  # PEM: the request for the certificate of the aggregator's gateway
KEY_TRAFFIC = "traffic"  # JSON: by cluster requests, refused requests, bytes received, bytes sent
KEY_ROUNDS = "rounds"

KEY_HISTORY = "history"  # of `binaryData` in the ConfigMap `history`: `panal.api.history`

# Keys of `data` in the ConfigMap `gateway`, written by the controller.
KEY_PARTICIPANTS = "participants"  # JSON: the clusters to admit
KEY_TRUST = "trust"  # PEM: the trust bundle of the collaborator authority
KEY_CRL = "crl"  # PEM: its revocation lists
KEY_CERTIFICATE = "certificate"  # PEM: the certificate for KEY_REQUEST

# Keys of the Secrets of spec.tracking, and the reporter's variables with their values.
MLFLOW_CREDENTIALS = ("MLFLOW_TRACKING_TOKEN", "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD")
MODEL_REGISTRY_TOKEN = "MODEL_REGISTRY_TOKEN"  # of the Secret of spec.publish.modelRegistry
OTLP_HEADERS = "OTEL_EXPORTER_OTLP_HEADERS"

# Ports inside the pods.
GATEWAY_PORT = 8080  # the only port of the aggregator that is reachable from outside
GATEWAY_HEALTH_PORT = 8081
SITE_PORT = 8443  # of the site controller: its gateways ask it about each request
COLLABORATOR_PORT = 8000  # loopback in a collaborator's Pod: its gateway, to which the runtime connects

# Folders inside the pods.
TOOLS_DIR = "/panal/tools"  # the pod tools, copied by an init container
RUN_DIR = "/panal/run"  # shared by the aggregator's containers
STORAGE_DIR = "/panal/storage"  # the model's volume, mounted only in the reporter
SITE_DIR = "/panal/site"  # the files of SITE_CONTROLLER: not mounted in containers with a user's image
DATA_DIR = "/panal/data"  # the site's data, read-only
AUTHORITIES_DIR = "/panal/authorities"  # of a bucket's endpoint, mounted only in the reporter
GATEWAY_DIR = "/panal/gateway"  # the gateway's files, including its key: not mounted in containers with a user's image
WORK_DIR = "/panal/work"  # contains the app's working directory
EXPORT_FOLDER = "export"  # in the run's folder of the storage: what the app's export has written
POD_DIR = "/panal/pod"  # in memory, created by the init container: the Pod's secret
POD_SECRET = "secret"  # in POD_DIR: one line, the value of POD_HEADER
POD_USERS = "users"  # in POD_DIR: the same for Envoy, as an htpasswd file
POD_GATEWAY = "gateway.json"  # in POD_DIR of a collaborator: the bootstrap configuration of its gateway


def replicated_policy(namespace: str, name: str) -> str:
    """The copy of a Policy in the namespace of each cluster on which it is placed. Its status has the cluster's compliance."""
    return f"{namespace}.{name}"


@lru_cache(maxsize=1024)
def run_id(namespace: str, name: str, uid: str) -> str:
    """Ten hexadecimal digits that identify the run, for names of works and of objects on managed clusters."""
    return hashlib.sha256(f"{namespace}/{name}/{uid}".encode()).hexdigest()[:10]


def aggregator(run: str) -> str:
    """The aggregator's Job."""
    return f"{run}-aggregator"


def listener(run: str, number: int) -> str:
    """The Service of a listener, by its position in the spec, and the Route, TLSRoute or Ingress that leads to it."""
    return f"{aggregator(run)}-{number + 1}" if number else aggregator(run)


def reporter(run: str) -> str:
    """The reporter's ServiceAccount, Role and RoleBinding."""
    return f"{run}-reporter"


def progress(run: str) -> str:
    return f"{run}-progress"


def history(run: str) -> str:
    """The ConfigMap on the hub with the run's rounds."""
    return f"{run}-history"


def evidence(run: str) -> str:
    """The ConfigMap on the hub with the run's record; with `-N` after it, a part of a long one."""
    return f"{run}-evidence"


def sealed(run: str) -> str:
    """The ConfigMap on the hub with the entry of the hub's ledger, and what is sealed about the receipts."""
    return f"{run}-evidence-sealed"


def receipts(run: str, number: int) -> str:
    """A ConfigMap on the hub with receipts of sites."""
    return f"{run}-evidence-receipts-{number}"


def validation(run: str) -> str:
    """The Job that validates the model."""
    return f"{run}-validation"


def export(run: str) -> str:
    """The Job that exports the model."""
    return f"{run}-export"


def publication(run: str) -> str:
    """The Job that publishes the model."""
    return f"{run}-publication"


def gateway(run: str) -> str:
    """The ConfigMap on the hub with the aggregator's certificate and the clusters that its gateway admits."""
    return f"{run}-gateway"


def server_name(run: str, namespace: str) -> str:
    """The name in the certificate of a run's aggregator: a DNS name that does not resolve."""
    return f"{run}.{namespace}.fl.panal"


def cluster_uri(cluster: str) -> str:
    """The name in the certificate of a cluster's collaborators."""
    return f"spiffe://fl.panal/cluster/{cluster}"


def protocol(identity: str, cluster: str) -> str:
    """The protocol that a collaborator offers in its TLS handshake (ALPN), in addition to h2. The aggregator's gateway selects by it the
    rules for the cluster and the run. It proves nothing; the certificate does."""
    return f"{identity}.{cluster}"


def work(run: str, identity: str) -> str:
    """The ManifestWork in the namespace of a selected cluster on the hub; `identity` is the `run_id`."""
    return f"fl-{run}-{identity}"


def asking(run: str, identity: str) -> str:
    """The ManifestWork by which a site is asked to countersign the run's record."""
    return f"fl-{run}-{identity}-evidence"


def collaborator(run: str, identity: str) -> str:
    """The StatefulSet and ConfigMap on the managed cluster; its Pod is this with `-0`. Leaves room for Kubernetes' suffixes."""
    return f"{run[:30].rstrip('-')}-{identity}"


def other_controller(lease: str) -> str:
    """What renews a Lease of this name outside this installation."""
    return "Open Cluster Management's federated-learning-controller" if lease == FORMER_LEASE else "another controller of panal"
