"""The kinds that the controller watches, their indexes in the cache, and which runs a change affects.

Objects of a run have its uid as a label, and the cache holds only labelled objects of these kinds. It holds only a few
fields of clusters, volume claims and nodes.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import NamedTuple

from panal.addon import scores
from panal.addon.requests import is_pending
from panal.addon.requests import requester as cluster_of
from panal.api import names
from panal.api.status import ENDED
from panal.hub import evidence, works
from panal.hub.views import run_uid
from panal.kube import kinds
from panal.kube.cache import Cache, Watched
from panal.kube.kinds import Kind
from panal.kube.objects import Object, condition, drop_managed_fields
from panal.lifecycle.reasons import Reason

BY_RUN = "run"
BY_NAME = "name"
BY_PLACEMENT = "placement"
BY_REQUESTER = "requester"
BY_POLICY = "policy"
USER = "user:"  # begins a key of this index that is not a cluster
OURS = ",".join(f"{k}={v}" for k, v in names.MANAGED_BY.items())
PLACEMENT_LABEL = "cluster.open-cluster-management.io/placement"

OWN_KINDS = (
    kinds.PLACEMENT,
    kinds.JOB,
    kinds.SERVICE,
    kinds.CONFIG_MAP,
    kinds.SERVICE_ACCOUNT,
    kinds.ROLE,
    kinds.ROLE_BINDING,
    kinds.MANIFEST_WORK,
    kinds.POD,
)

# What leads to a run by the name in the TLS handshake, and what it depends on. A hub may lack these kinds.
ENTRANCES = (kinds.INGRESS, kinds.ROUTE, *kinds.TLS_ROUTES)
NETWORKS = (kinds.INGRESS_CLASS, kinds.GATEWAY, kinds.GATEWAY_CLASS)

# Kinds that a hub may lack. Without them no cluster gets a certificate, but the controller still reconciles runs.
ADDON_KINDS = (kinds.MANAGED_CLUSTER_ADDON, kinds.CLUSTER_MANAGEMENT_ADDON, kinds.ADDON_DEPLOYMENT_CONFIG)


class RunKey(NamedTuple):
    """Identifies a run in the queue."""

    namespace: str
    name: str


def watched(grpc_server: str = "") -> list[Watched]:
    """`grpc_server`: see `panal.addon.requests`."""
    trims = {kinds.MANIFEST_WORK: works.trim, kinds.CONFIG_MAP: _trimmed_config_map}
    indexes = {BY_RUN: _run, BY_NAME: _name}
    ours = [Watched(kind, label_selector=OURS, trim=trims.get(kind, drop_managed_fields), indexes=indexes) for kind in OWN_KINDS]
    entrances = [Watched(kind, label_selector=OURS, indexes={BY_RUN: _run}, optional=True) for kind in ENTRANCES]
    return [
        Watched(kinds.FEDERATED_LEARNING, indexes={BY_POLICY: _required_policies}),
        *ours,
        *entrances,
        *(Watched(kind, optional=True) for kind in NETWORKS),
        Watched(kinds.NAMESPACE, trim=_trimmed_namespace),
        Watched(kinds.MANAGED_CLUSTER, trim=_trimmed_cluster),
        Watched(kinds.MANAGED_CLUSTER_SET),
        Watched(kinds.MANAGED_CLUSTER_SET_BINDING),
        Watched(kinds.PLACEMENT_DECISION, indexes={BY_PLACEMENT: _placement}),
        Watched(kinds.PERSISTENT_VOLUME_CLAIM, trim=_metadata_only),
        Watched(kinds.NODE, trim=_addresses_only),
        Watched(kinds.VALIDATING_ADMISSION_POLICY, field_selector=f"metadata.name={names.BINDING_POLICY}", trim=_metadata_only),
        Watched(kinds.VALIDATING_ADMISSION_POLICY_BINDING, field_selector=f"metadata.name={names.BINDING_POLICY}", trim=_metadata_only),
        Watched(kinds.MANAGED_CLUSTER_ADDON, field_selector=f"metadata.name={names.ADDON}", trim=_trimmed_addon),
        Watched(kinds.CLUSTER_MANAGEMENT_ADDON, field_selector=f"metadata.name={names.ADDON}"),
        Watched(kinds.ADDON_DEPLOYMENT_CONFIG),
        Watched(kinds.ADDON_PLACEMENT_SCORE, label_selector=OURS, trim=_trimmed_score, optional=True),
        Watched(kinds.POLICY, label_selector=names.ROOT_POLICY_LABEL, trim=_trimmed_policy, optional=True),
        Watched(
            kinds.CERTIFICATE_SIGNING_REQUEST,
            field_selector=f"spec.signerName={names.SIGNER}",
            trim=_trimmed_request,
            indexes={BY_REQUESTER: lambda csr: (requester(csr, grpc_server),)},
        ),
    ]


def requester(csr: Object, grpc_server: str) -> str:
    """The requester as a key: a cluster, or `user:NAME` if it is not a cluster's agent. Names of clusters contain no colon."""
    return cluster_of(csr, grpc_server) or f"{USER}{(csr.get('spec') or {}).get('username', '')}"


def affected(cache: Cache, kind: Kind, changed: Object) -> Iterator[RunKey]:
    """The runs that a change of `changed` may affect."""
    metadata = changed["metadata"]
    labels = metadata.get("labels") or {}
    if kind == kinds.FEDERATED_LEARNING:
        yield RunKey(metadata["namespace"], metadata["name"])
        yield from _successors(cache, RunKey(metadata["namespace"], metadata["name"]))
        yield from _behind(cache, RunKey(metadata["namespace"], metadata["name"]))
    elif names.LABEL_RUN in labels and names.LABEL_RUN_NAMESPACE in labels:  # a cluster's agent may remove labels of its works
        yield RunKey(labels[names.LABEL_RUN_NAMESPACE], labels[names.LABEL_RUN])
    elif kind == kinds.PLACEMENT_DECISION:
        if PLACEMENT_LABEL in labels:
            yield RunKey(metadata["namespace"], labels[PLACEMENT_LABEL])
    elif kind == kinds.NAMESPACE:
        yield from unfinished(cache, metadata["name"])
    elif kind == kinds.POLICY:
        yield from _not_ended(cache.by_index(kinds.FEDERATED_LEARNING, BY_POLICY, metadata["name"]))
    elif kind in ADDON_KINDS or kind in NETWORKS:  # a run may use a Gateway of another namespace
        yield from unfinished(cache)
    elif kind not in (kinds.CERTIFICATE_SIGNING_REQUEST, kinds.ADDON_PLACEMENT_SCORE):
        yield from unfinished(cache, metadata.get("namespace"))


def _successors(cache: Cache, key: RunKey) -> Iterator[RunKey]:
    """The runs that have not started and wait for the model of this one."""
    for run in cache.list(kinds.FEDERATED_LEARNING, key.namespace):
        initial = ((run.get("spec") or {}).get("server") or {}).get("initialModel") or {}
        if initial.get("run") == key.name and not (run.get("status") or {}).get("startTime"):
            yield RunKey(key.namespace, run["metadata"]["name"])


def _behind(cache: Cache, key: RunKey) -> Iterator[RunKey]:
    """The other runs that wait for their turn in this one's namespace."""
    for run in cache.list(kinds.FEDERATED_LEARNING, key.namespace):
        if run["metadata"]["name"] != key.name and condition(run, "Progressing").get("reason") == Reason.RUN_LIMIT_REACHED:
            yield RunKey(key.namespace, run["metadata"]["name"])


def unfinished(cache: Cache, namespace: str | None = None) -> Iterator[RunKey]:
    """Every run that has not ended. It may wait for a cluster, a cluster set, a node or a volume claim."""
    yield from _not_ended(cache.list(kinds.FEDERATED_LEARNING, namespace))


def _not_ended(runs: Iterable[Object]) -> Iterator[RunKey]:
    for run in runs:
        if (run.get("status") or {}).get("phase") not in ENDED:
            yield RunKey(run["metadata"]["namespace"], run["metadata"]["name"])


def _required_policies(run: Object) -> Iterable[str]:
    """The names of the copies, in the namespaces of clusters, of the policies that the run requires."""
    required = ((run.get("spec") or {}).get("client") or {}).get("requirePolicies") or ()
    return {names.replicated_policy(each.get("namespace") or run["metadata"]["namespace"], each.get("name", "")) for each in required}


def _run(obj: Object) -> Iterable[str]:
    uid = run_uid(obj)
    return (uid,) if uid else ()


def _name(obj: Object) -> Iterable[str]:
    labels = obj["metadata"].get("labels") or {}
    return (f"{labels.get(names.LABEL_RUN_NAMESPACE)}/{labels.get(names.LABEL_RUN)}",)


def _placement(obj: Object) -> Iterable[str]:
    name = (obj["metadata"].get("labels") or {}).get(PLACEMENT_LABEL)
    return (f"{obj['metadata']['namespace']}/{name}",) if name else ()


def _trimmed_config_map(obj: Object) -> Object:
    """A run's history is large, changes often, and decides nothing. Records are large as well."""
    if _is_history(obj):
        obj.pop("binaryData", None)
    return drop_managed_fields(evidence.trimmed(obj))


def _is_history(obj: Object) -> bool:
    return (obj["metadata"].get("labels") or {}).get(names.LABEL_COMPONENT) == "history"


def _metadata_only(obj: Object) -> Object:
    return drop_managed_fields({key: obj[key] for key in ("apiVersion", "kind", "metadata") if key in obj})


def _trimmed_cluster(cluster: Object) -> Object:
    """Keeps what decisions and the add-on read. The same names and values of labels and claims are in thousands of clusters."""
    metadata, status = cluster["metadata"], cluster.get("status") or {}
    kept = {key: metadata[key] for key in ("name", "uid", "resourceVersion", "creationTimestamp", "deletionTimestamp") if key in metadata}
    kept["labels"] = {sys.intern(key): sys.intern(value) for key, value in (metadata.get("labels") or {}).items()}
    claims = [
        {"name": sys.intern(c["name"]), "value": sys.intern(c["value"])}
        for c in status.get("clusterClaims") or ()
        if c.get("name") and c.get("value")  # the schema of a ManagedCluster requires neither
    ]
    conditions = [
        {sys.intern(key): sys.intern(c[key]) for key in ("type", "status", "reason", "message") if key in c}
        for c in status.get("conditions") or ()
    ]
    allocatable = {
        sys.intern(key): sys.intern(str(value)) for key, value in (status.get("allocatable") or {}).items() if scores.counted(key)
    }
    return {
        "apiVersion": cluster.get("apiVersion", kinds.MANAGED_CLUSTER.api_version),
        "kind": "ManagedCluster",
        "metadata": kept,
        "spec": {"taints": (cluster.get("spec") or {}).get("taints")},
        "status": {"conditions": conditions, "clusterClaims": claims, "allocatable": allocatable},
    }


def _trimmed_addon(addon: Object) -> Object:
    """Removes fields that neither runs nor the add-on's controller need."""
    status = addon.get("status") or {}
    for key in ("relatedObjects", "addOnMeta", "addOnConfiguration"):
        status.pop(key, None)
    if "conditions" in status:
        status["conditions"] = [c for c in status["conditions"] if c["type"] not in ("Progressing", "Configured")]
    return drop_managed_fields(addon)


def _trimmed_score(score: Object) -> Object:
    """Keeps whose it is, and its status."""
    metadata, status = score["metadata"], score.get("status") or {}
    kept = {key: metadata[key] for key in ("name", "namespace", "uid", "resourceVersion") if key in metadata}
    kept["ownerReferences"] = [{"uid": each["uid"]} for each in metadata.get("ownerReferences") or ()]
    items = [{"name": sys.intern(each["name"]), "value": each["value"]} for each in status.get("scores") or ()]
    return {
        "apiVersion": kinds.ADDON_PLACEMENT_SCORE.api_version,
        "kind": "AddOnPlacementScore",
        "metadata": kept,
        "status": {"scores": items, "validUntil": status.get("validUntil")},
    }


def _trimmed_namespace(namespace: Object) -> Object:
    """Keeps the limit of runs."""
    metadata = namespace["metadata"]
    limit = (metadata.get("annotations") or {}).get(names.ANNOTATION_MAX_ACTIVE_RUNS)
    annotations = {} if limit is None else {names.ANNOTATION_MAX_ACTIVE_RUNS: limit}
    return {"metadata": {"name": metadata["name"], "resourceVersion": metadata["resourceVersion"], "annotations": annotations}}


def _trimmed_policy(policy: Object) -> Object:
    """Keeps the compliance: there may be a policy for each of many rules on each of thousands of clusters."""
    metadata, state = policy["metadata"], (policy.get("status") or {}).get("compliant") or ""
    kept = {"name": sys.intern(metadata["name"]), "namespace": sys.intern(metadata["namespace"])}
    return {"metadata": {**kept, "resourceVersion": metadata["resourceVersion"]}, "status": _compliance(state)}


@lru_cache(maxsize=16)
def _compliance(state: str) -> Object:
    """Shared by all policies in this state."""
    return {"compliant": state}


def _trimmed_request(csr: Object) -> Object:
    """Keeps little more than the name of a request that has been answered."""
    if is_pending(csr):
        return drop_managed_fields(csr)
    kept = {key: value for key, value in (csr.get("spec") or {}).items() if key in ("signerName", "username")}
    return _metadata_only(csr) | {"spec": kept, "status": csr.get("status")}


def _addresses_only(obj: Object) -> Object:
    """Keeps the addresses and the condition Ready of a node."""
    status = obj.get("status") or {}
    ready = [{"type": c["type"], "status": c["status"]} for c in status.get("conditions") or () if c["type"] == "Ready"]
    kept = {key: obj["metadata"][key] for key in ("name", "uid", "resourceVersion", "deletionTimestamp") if key in obj["metadata"]}
    return {
        "apiVersion": obj.get("apiVersion", "v1"),
        "kind": "Node",
        "metadata": kept,
        "status": {"addresses": status.get("addresses"), "conditions": ready},
    }


def affects_no_run(kind: Kind, old: Object | None, new: Object | None) -> bool:
    """Whether a change affects no run, such as the heartbeats of nodes and clusters, which are frequent on a large hub."""
    if old is None or new is None or old is new:
        return False
    if kind == kinds.MANAGED_CLUSTER_ADDON:
        return _relevant_addon_fields(old) == _relevant_addon_fields(new)
    if kind == kinds.GATEWAY:  # its status counts routes
        return _relevant_gateway_fields(old) == _relevant_gateway_fields(new)
    if kind == kinds.CONFIG_MAP:
        return _is_history(old) and _is_history(new)
    if kind == kinds.NAMESPACE:
        return bool(old["metadata"]["annotations"] == new["metadata"]["annotations"])
    if kind == kinds.POLICY:  # its status has a history of messages
        return bool(old["status"] == new["status"])
    return kind in (kinds.NODE, kinds.MANAGED_CLUSTER) and _relevant_fields(old) == _relevant_fields(new)


def _relevant_gateway_fields(obj: Object) -> object:
    return obj["metadata"]["uid"], obj["metadata"].get("deletionTimestamp"), obj["spec"], (obj.get("status") or {}).get("addresses")


def _relevant_fields(obj: Object) -> object:
    status = obj.get("status") or {}
    metadata = obj["metadata"]
    conditions = [(c.get("type"), c.get("status")) for c in status.get("conditions") or ()]
    return (
        conditions,
        status.get("addresses"),
        status.get("clusterClaims"),
        metadata.get("labels"),
        metadata.get("deletionTimestamp"),
        (obj.get("spec") or {}).get("taints"),
    )


def _relevant_addon_fields(obj: Object) -> object:
    """The fields that runs depend on: whether the cluster is revoked, its certificate, and its configuration."""
    metadata, status = obj["metadata"], obj.get("status") or {}
    rotated = [(c.get("status"), c.get("message")) for c in status.get("conditions") or () if c.get("type") == "ClusterCertificateRotated"]
    return (
        metadata["uid"],
        metadata.get("deletionTimestamp"),
        (metadata.get("annotations") or {}).get(names.ANNOTATION_REVOKED),
        rotated,
        (obj.get("spec") or {}).get("configs"),
        status.get("configReferences"),
    )
