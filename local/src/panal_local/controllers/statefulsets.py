"""StatefulSets: creates the Pods `<name>-0`, `<name>-1`, … in order, and replaces them when the template changes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from panal.kube.objects import Object, holds
from panal_local.controllers.objects import deleting, phase, pod_of

REVISION = "controller-revision-hash"


@dataclass(frozen=True, slots=True)
class Plan:
    create: list[Object] = field(default_factory=list)
    delete: list[str] = field(default_factory=list)
    status: dict[str, Any] = field(default_factory=dict)


def decide(found: Object, pods: Mapping[str, Object]) -> Plan:
    """`pods` are those that the StatefulSet controls, by name. Volume claim templates are not supported."""
    name, spec = found["metadata"]["name"], found["spec"]
    revision = revision_of(found)
    names = [f"{name}-{ordinal}" for ordinal in range(spec.get("replicas", 1))]
    status = _status(found, names, pods, revision)
    if deleting(found):
        return Plan(status=status)
    surplus = sorted((p for p in pods if p not in names and not deleting(pods[p])), reverse=True)
    for each in names:
        pod = pods.get(each)
        if pod is None:
            return Plan(create=[_pod(found, each, revision)], delete=surplus, status=status)
        if deleting(pod):
            return Plan(delete=surplus, status=status)
        if phase(pod) in ("Failed", "Succeeded") or pod["metadata"]["labels"].get(REVISION) != revision:
            return Plan(delete=[*surplus, each], status=status)
        if not holds(pod, "Ready"):
            return Plan(delete=surplus, status=status)
    return Plan(delete=surplus, status=status)


def revision_of(found: Object) -> str:
    digest = hashlib.sha256(json.dumps(found["spec"]["template"], sort_keys=True).encode()).hexdigest()
    return f"{found['metadata']['name']}-{digest[:10]}"


def _pod(found: Object, name: str, revision: str) -> Object:
    ordinal = name.rpartition("-")[2]
    labels = {REVISION: revision, "statefulset.kubernetes.io/pod-name": name, "apps.kubernetes.io/pod-index": ordinal}
    pod = pod_of(found["spec"]["template"], found, labels, name=name)
    pod["spec"] |= {"hostname": name, "subdomain": found["spec"].get("serviceName", "")}
    return pod


def _status(found: Object, names: list[str], pods: Mapping[str, Object], revision: str) -> dict[str, Any]:
    mine = [pods[n] for n in names if n in pods and not deleting(pods[n])]
    current = sum(p["metadata"]["labels"].get(REVISION) == revision for p in mine)
    ready = sum(holds(p, "Ready") for p in mine)
    return {
        "observedGeneration": found["metadata"].get("generation", 1),
        "replicas": len(mine),
        "readyReplicas": ready,
        "availableReplicas": ready,
        "currentReplicas": current,
        "updatedReplicas": current,
        "currentRevision": revision,
        "updateRevision": revision,
    }
