"""Every name, label and path that more than one part must agree on."""

from __future__ import annotations

import hashlib
from datetime import timedelta
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
LABEL_COMPONENT = "fl.panal/component"  # aggregator or collaborator
ANNOTATION_PARTITION = "fl.panal/partition"  # of a collaborator's StatefulSet: its number and how many there are, such as 0/3
ANNOTATION_HASH = "fl.panal/applied-hash"  # of the desired object: tells a wanted change from a default

MAX_RUN_NAME = 40
NO_DATA = "None"  # in spec.client.dataClaim: the run needs no data of the clusters; no ClusterClaim can have this name
COLLABORATOR_NAMESPACE = "panal-collaborator"
BINDING_POLICY = "panal-cluster-set-bindings"  # our ValidatingAdmissionPolicy and its binding
BINDING_POLICY_WORKS_AFTER = timedelta(seconds=5)  # API servers learn of a policy by a watch
BOUND_SETS = "panal-bound-cluster-sets"  # Role beside the controller, which the policy is given: in annotations, sets bound by others
ANNOTATION_BOUND = "bound.fl.panal/"  # on it, with a namespace's name behind: the sets bound there by others, with commas
ANNOTATION_GONE = "gone.fl.panal/"  # the same: those that were bound there by others and are no more
SYSTEM_NAMESPACE = "panal-system"
CONTROLLER_LEASE = "panal-controller"
CLUSTER_SET_LABEL = "cluster.open-cluster-management.io/clusterset"  # of a ManagedCluster

# The add-on by which a cluster takes part, and its certificate (docs/design/identity.md).
ADDON = "fl-collaborator"
SIGNER = "fl.panal/collaborator"  # of collaborators' certificates
IDENTITY_SECRET = f"{ADDON}-{SIGNER.replace('/', '-')}-client-cert"  # on the spoke, made by OCM's agent: tls.crt, tls.key
TRUST = f"{ADDON}-trust"  # ConfigMap on the spoke: ca.crt, the authorities of servers
SITE = f"{ADDON}-site"  # ConfigMap on the spoke that its owner may make: what this site allows
PROXY = f"{ADDON}-proxy"  # Secret on the spoke that its owner may make: credentials for the site's proxy
ADDON_LABEL = "open-cluster-management.io/addon-name"
CLUSTER_LABEL = "open-cluster-management.io/cluster-name"
AUTHORITIES = "panal-authorities"  # ConfigMap beside the controller: what of the authorities anyone may know
SERVER_AUTHORITY = "panal-server-authority"  # Secrets beside the controller
COLLABORATOR_AUTHORITY = "panal-collaborator-authority"
ANNOTATION_ROTATE = "fl.panal/rotate"  # on the ConfigMap AUTHORITIES: servers, collaborators, or both with a comma; then "@" and a time
ANNOTATION_REVOKED = "fl.panal/revoked"  # on a ManagedClusterAddOn: since when
ANNOTATION_CERTIFICATES = "fl.panal/certificates"  # on a ManagedClusterAddOn: those issued that have not expired, as JSON
CLUSTER_HEADER = "x-panal-cluster"  # set by the aggregator's gateway: the cluster that the certificate proves
POD_HEADER = "x-panal-pod"  # on the loopback of a run's Pod: the content of POD_SECRET, which only the Pod's processes can read

# Keys of `data` in the ConfigMap `progress`; the controller writes the rounds that are wanted, the reporter the others.
KEY_PROGRESS = "progress"  # `panal.api.progress.Progress` as JSON
KEY_REQUEST = "csr"  # PEM: the request for the certificate of the aggregator's gateway
KEY_TRAFFIC = "traffic"  # JSON: by cluster requests, refused requests, bytes received, bytes sent
KEY_ROUNDS = "rounds"

# Keys of `data` in the ConfigMap `gateway`, all of them the controller's.
KEY_PARTICIPANTS = "participants"  # JSON: the clusters that are let in
KEY_TRUST = "trust"  # PEM: the authorities of collaborators
KEY_CRL = "crl"  # PEM: their revocation lists
KEY_CERTIFICATE = "certificate"  # PEM: what was asked for with KEY_REQUEST

# Ports inside the pods.
SUPERLINK_PORT = 8000  # loopback, never reachable from outside the aggregator's pod
GATEWAY_PORT = 8080  # the aggregator's only port that is
GATEWAY_HEALTH_PORT = 8081
COLLABORATOR_PORT = 8000  # loopback in a collaborator's pod: its gateway, which the runtime takes for the aggregator

# Folders inside the pods.
TOOLS_DIR = "/panal/tools"  # our launchers, copied in by an init container
RUN_DIR = "/panal/run"  # shared by the aggregator's containers
STORAGE_DIR = "/panal/storage"  # the model's volume, mounted in the reporter alone
DATA_DIR = "/panal/data"  # the site's data, read-only
GATEWAY_DIR = "/panal/gateway"  # the gateway's files, its key among them: in no container of a user's image
WORK_DIR = "/panal/work"  # the app's working directory is in it
POD_DIR = "/panal/pod"  # in memory, made by the init container: what only this Pod's processes know
POD_SECRET = "secret"  # in POD_DIR: one line, the value of POD_HEADER
POD_USERS = "users"  # in POD_DIR: the same for Envoy, as an htpasswd file


def run_id(namespace: str, name: str, uid: str) -> str:
    """Ten hexadecimal digits that no other run shares: names on spokes and works carry them."""
    return hashlib.sha256(f"{namespace}/{name}/{uid}".encode()).hexdigest()[:10]


def aggregator(run: str) -> str:
    """The Job and the Service."""
    return f"{run}-aggregator"


def reporter(run: str) -> str:
    """The reporter's ServiceAccount, Role and RoleBinding."""
    return f"{run}-reporter"


def progress(run: str) -> str:
    return f"{run}-progress"


def gateway(run: str) -> str:
    """The ConfigMap on the hub that tells the aggregator's gateway whom to let in, and its certificate."""
    return f"{run}-gateway"


def server_name(run: str, namespace: str) -> str:
    """The name in the certificate of a run's aggregator: a DNS name that no DNS knows."""
    return f"{run}.{namespace}.fl.panal"


def cluster_uri(cluster: str) -> str:
    """The name in the certificate of a cluster's collaborators."""
    return f"spiffe://fl.panal/cluster/{cluster}"


def protocol(identity: str, cluster: str) -> str:
    """What a collaborator offers beside h2 in its TLS handshake (ALPN): by it the aggregator's gateway chooses the rules for this cluster
    in this very run. It proves nothing; the certificate does."""
    return f"{identity}.{cluster}"


def work(run: str, identity: str) -> str:
    """The ManifestWork in every selected cluster's namespace on the hub; `identity` is the `run_id`."""
    return f"fl-{run}-{identity}"


def collaborator(run: str, identity: str) -> str:
    """The StatefulSet and ConfigMap on the spoke; its Pod is this with `-0`. Leaves room for Kubernetes' own suffixes."""
    return f"{run[:30].rstrip('-')}-{identity}"
