"""The collaborators: one ManifestWork for each selected cluster, and what its feedback says of the Pod there.

A collaborator is a StatefulSet of one replica with its Pod, whose name is then known, in the same work as ReadOnly: only so can the hub see
why a Pod does not start. The pod template never changes during a run, whatever else does: a work that exists keeps its StatefulSet.
"""

from __future__ import annotations

from typing import Any

from panal.api import names
from panal.api.names import ClusterName
from panal.lifecycle import pods
from panal.lifecycle.exposure import host_port
from panal.lifecycle.metadata import identity, labels
from panal.lifecycle.reasons import Reason
from panal.lifecycle.support import Stop, stop
from panal.lifecycle.world import Address, Object, WorkView, World
from panal.placement.data import DataLocation, HostPathLocation, PvcLocation, data_claim, data_location
from panal.runtimes import runtime_for

WORK_API = "work.open-cluster-management.io/v1"
# What the work agent reads off the collaborator's Pod: name of the value -> JSONPath.
_CONTAINER = ".status.containerStatuses[0]"
FEEDBACK = {
    "phase": ".status.phase",
    "unschedulable": '.status.conditions[?(@.type=="PodScheduled")].message',
    "toolsWaiting": ".status.initContainerStatuses[0].state.waiting.reason",
    "toolsMessage": ".status.initContainerStatuses[0].state.waiting.message",
    "waiting": f"{_CONTAINER}.state.waiting.reason",
    "waitingMessage": f"{_CONTAINER}.state.waiting.message",
    "ready": f"{_CONTAINER}.ready",
    "restarts": f"{_CONTAINER}.restartCount",
    "lastExitCode": f"{_CONTAINER}.lastState.terminated.exitCode",
    "lastReason": f"{_CONTAINER}.lastState.terminated.reason",
    "lastMessage": f"{_CONTAINER}.lastState.terminated.message",
}


def works(world: World, clusters: frozenset[ClusterName], address: Address) -> list[Object]:
    """The works of the clusters that can take part."""
    return [_work(world, c, address) for c in sorted(clusters) if cannot_take_part(world, c) is None]


def cannot_take_part(world: World, cluster: ClusterName) -> Stop | None:
    """Why a selected cluster gets no collaborator, or loses it: its data cannot be located, or are not offered any more."""
    claim = data_claim(world.run.spec.client.placement, world.run.spec.client.data_claim)
    if not claim or cluster not in world.clusters:
        return None
    value = world.clusters[cluster].claims.get(claim)
    if value is None:
        return stop(Reason.DATA_NOT_FOUND, f"{cluster} has no ClusterClaim {claim}")
    try:
        data_location(value)
    except ValueError as error:
        return stop(Reason.DATA_LOCATION_INVALID, f"ClusterClaim {claim} of {cluster}: {error}")
    return None


def _location(world: World, cluster: ClusterName) -> DataLocation | None:
    claim = data_claim(world.run.spec.client.placement, world.run.spec.client.data_claim)
    value = world.clusters[cluster].claims.get(claim) if claim and cluster in world.clusters else None
    return data_location(value) if value else None


def _work(world: World, cluster: ClusterName, address: Address) -> Object:
    run = world.run
    name = names.collaborator(run.name, identity(run))
    existing = _manifest(world.works.get(cluster), "StatefulSet")
    return {
        "apiVersion": WORK_API,
        "kind": "ManifestWork",
        "metadata": {"name": names.work(run.name, identity(run)), "namespace": cluster, "labels": labels(run, "collaborator")},
        "spec": {
            "workload": {
                "manifests": [
                    _namespace(),
                    _config(world, name, address),
                    existing or _stateful_set(world, name, cluster),
                    {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": f"{name}-0", "namespace": names.COLLABORATOR_NAMESPACE}},
                ]
            },
            "deleteOption": {
                "propagationPolicy": "SelectivelyOrphan",
                "selectivelyOrphans": {
                    "orphaningRules": [{"group": "", "resource": "namespaces", "name": names.COLLABORATOR_NAMESPACE, "namespace": ""}]
                },
            },
            "manifestConfigs": [
                _manifest_config("namespaces", names.COLLABORATOR_NAMESPACE, namespaced=False, updateStrategy={"type": "CreateOnly"}),
                _manifest_config("pods", f"{name}-0", updateStrategy={"type": "ReadOnly"}, feedbackRules=[_feedback()]),
            ],
        },
    }


def _manifest(work: WorkView | None, kind: str) -> Object | None:
    manifests = work.object.get("spec", {}).get("workload", {}).get("manifests", []) if work else []
    return next((m for m in manifests if m.get("kind") == kind), None)


def _manifest_config(resource: str, name: str, namespaced: bool = True, **options: Any) -> dict[str, Any]:
    identifier = {"group": "", "resource": resource, "name": name, "namespace": names.COLLABORATOR_NAMESPACE if namespaced else ""}
    return {"resourceIdentifier": identifier, "feedbackScrapeType": "Watch", **options}


def _feedback() -> dict[str, Any]:
    return {"type": "JSONPaths", "jsonPaths": [{"name": k, "path": v} for k, v in FEEDBACK.items()]}


def _namespace() -> Object:
    """Made once and never touched again: its owner may relax or tighten it, and nothing of ours deletes it."""
    level = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "warn")}
    metadata = {"name": names.COLLABORATOR_NAMESPACE, "labels": names.MANAGED_BY | level}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}


def _config(world: World, name: str, address: Address) -> Object:
    metadata = {"name": name, "namespace": names.COLLABORATOR_NAMESPACE, "labels": labels(world.run, "collaborator")}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"address": host_port(address)}}


def _stateful_set(world: World, name: str, cluster: ClusterName) -> Object:
    run = world.run
    metadata = {"name": name, "namespace": names.COLLABORATOR_NAMESPACE, "labels": labels(run, "collaborator")}
    selector = {names.LABEL_RUN_UID: run.uid}
    spec = {
        "serviceName": name,
        "replicas": 1,
        "selector": {"matchLabels": selector},
        "template": {"metadata": {"labels": labels(run, "collaborator")}, "spec": _pod(world, name, cluster)},
    }
    return {"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": metadata, "spec": spec}


def _pod(world: World, name: str, cluster: ClusterName) -> dict[str, Any]:
    run, client = world.run, world.run.spec.client
    runtime = runtime_for(run.spec.framework)
    assert runtime, "support.unsupported ends such a run"
    location = _location(world, cluster)
    container = runtime.collaborator(run.spec, cluster, names.DATA_DIR if location else "")
    volumes = [*pods.empty_dirs("tools", "tmp"), {"name": "config", "configMap": {"name": name}}]
    if location:
        container, volumes = _with_data(container, volumes, location)
    return {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": 20,
        "securityContext": pods.security(open_shift=True, volumes_are_written=False),
        "initContainers": [pods.tools_container(world.images)],
        "containers": [pods.with_settings(container, client)],
        "volumes": volumes,
        **pods.scheduling(client),
    }


def _with_data(container: Object, volumes: list[Object], location: DataLocation) -> tuple[Object, list[Object]]:
    """The site's data, mounted read-only into the training container alone."""
    mount: dict[str, Any] = {"name": "data", "mountPath": names.DATA_DIR, "readOnly": True}
    match location:
        case PvcLocation(claim, sub_path):
            volume: Object = {"name": "data", "persistentVolumeClaim": {"claimName": claim, "readOnly": True}}
            if sub_path:
                mount["subPath"] = sub_path
        case HostPathLocation(path):
            volume = {"name": "data", "hostPath": {"path": path, "type": "Directory"}}
    return {**container, "volumeMounts": [*container["volumeMounts"], mount]}, [*volumes, volume]
