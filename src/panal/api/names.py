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
ANNOTATION_HASH = "fl.panal/applied-hash"  # of the desired object: tells a wanted change from a default

MAX_RUN_NAME = 40
COLLABORATOR_NAMESPACE = "panal-collaborator"
BINDING_POLICY = "panal-cluster-set-bindings"  # our ValidatingAdmissionPolicy and its binding
BINDING_POLICY_WORKS_AFTER = timedelta(seconds=5)  # API servers learn of a policy by a watch
SYSTEM_NAMESPACE = "panal-system"
CONTROLLER_LEASE = "panal-controller"
CLUSTER_SET_LABEL = "cluster.open-cluster-management.io/clusterset"  # of a ManagedCluster

# Ports inside the pods.
SUPERLINK_PORT = 8000  # loopback, never reachable from outside the aggregator's pod
GATEWAY_PORT = 8080  # the aggregator's only port that is
GATEWAY_HEALTH_PORT = 8081

# Folders inside the pods.
TOOLS_DIR = "/panal/tools"  # our launchers, copied in by an init container
RUN_DIR = "/panal/run"  # shared by the aggregator's containers
CONFIG_DIR = "/panal/config"  # the collaborator's ConfigMap
STORAGE_DIR = "/panal/storage"  # the model's volume, mounted in the reporter alone
DATA_DIR = "/panal/data"  # the site's data, read-only


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


def work(run: str, identity: str) -> str:
    """The ManifestWork in every selected cluster's namespace on the hub; `identity` is the `run_id`."""
    return f"fl-{run}-{identity}"


def collaborator(run: str, identity: str) -> str:
    """The StatefulSet and ConfigMap on the spoke; its Pod is this with `-0`. Leaves room for Kubernetes' own suffixes."""
    return f"{run[:30].rstrip('-')}-{identity}"
