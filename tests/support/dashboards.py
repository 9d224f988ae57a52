"""A hub with clusters and runs as the dashboard sees it, and what an app or a site could write to harm who looks."""

from __future__ import annotations

import base64
import gzip
import json
from typing import Any

from panal.api import names
from panal.api.history import head

HOSTILE = ("<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "{{7*7}}", "\u202egnp", "a\r\nSet-Cookie: x=1", "'-alert(1)-'")


def run(name: str = "digits", namespace: str = "ns", phase: str = "Running", **status: Any) -> dict[str, Any]:
    completed = status.pop("completed", 2)
    spec = {"framework": "flower", "server": {"image": "app:1", "rounds": 5}, "client": {"placement": {}}, "suspend": False, "stop": False}
    found = {
        "phase": phase,
        "message": "round 3 of 5",
        "rounds": {"completed": completed, "total": 5, "summary": f"{completed}/5", "replies": 2, "seconds": 12.0},
        "clients": {"selected": 2, "ready": 2, "failed": 0, "summary": "2/2"},
        "headlineMetric": "accuracy 0.91",
        "startTime": "2026-03-01T11:00:00Z",
        "collaborators": [{"cluster": "site-a", "state": "Training", "round": 2, "seconds": 3.0, "metrics": {"loss": 0.5}}],
        **status,
    }
    metadata = {"name": name, "namespace": namespace, "uid": f"uid-of-{name}", "creationTimestamp": "2026-03-01T10:59:00Z"}
    return {"apiVersion": names.API_VERSION, "kind": names.KIND, "metadata": metadata, "spec": spec, "status": found}


def labels(name: str, component: str) -> dict[str, str]:
    return {names.LABEL_RUN: name, names.LABEL_RUN_UID: f"uid-of-{name}", names.LABEL_COMPONENT: component}


def config_map(name: str, of: str, namespace: str = "ns", **content: Any) -> dict[str, Any]:
    metadata = {"name": name, "namespace": namespace, "labels": labels(of, "aggregator")}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, **content}


def history(of: str = "digits", namespace: str = "ns", rounds: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    rows = rounds if rounds is not None else [row(1, 0.8), row(2, 0.91)]
    content = head({"name": of, "namespace": namespace, "uid": f"uid-of-{of}"}, "job") + b"\n".join(json.dumps(r).encode() for r in rows)
    packed = base64.b64encode(gzip.compress(content)).decode()
    return config_map(names.history(of), of, namespace, binaryData={names.KEY_HISTORY: packed})


def row(number: int, accuracy: float | str, seconds: float = 12.0, **more: Any) -> dict[str, Any]:
    clusters = {
        "site-a": {"seconds": 3.0, "metrics": {"loss": 1 / number}, "received": 1000, "sent": 500},
        "site-b": {"seconds": 4.0, "metrics": {"loss": 2 / number}, "received": 1000, "sent": 500},
    }
    phases = {"train": seconds - 1, "server": 1.0}
    common = {"complete": True, "time": 1772362800.0 + number, "seconds": seconds, "phases": phases, "replies": 2, "failures": 0}
    return {"round": number, **common, "metrics": {"accuracy": accuracy}, "clusters": clusters, **more}


def progress(of: str = "digits", namespace: str = "ns") -> dict[str, Any]:
    traffic = {"": [1, 1, 0, 0], "site-a": [5, 0, 2048, 1024], "site-b": [5, 2, 4096, 1024]}
    told = {"collaborators": {"site-b": {"round": 2, "time": 1772362802.0, "failed": False, "metrics": {"loss": 1.0}}}}
    return config_map(names.progress(of), of, namespace, data={"progress": json.dumps(told), "traffic": json.dumps(traffic)})


def gateway(of: str = "digits", namespace: str = "ns") -> dict[str, Any]:
    return config_map(names.gateway(of), of, namespace, data={"participants": json.dumps(["site-a", "site-b", "site-c"])})


def event(
    message: str = "round 2 of 5 completed", of: str = "digits", namespace: str = "ns", reason: str = "RoundCompleted"
) -> dict[str, Any]:
    about = {"kind": names.KIND, "name": of, "namespace": namespace, "uid": f"uid-of-{of}"}
    metadata = {"name": f"{of}.1", "namespace": namespace}
    times = {"lastTimestamp": "2026-03-01T11:01:00Z", "count": 1, "type": "Normal"}
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": metadata,
        "involvedObject": about,
        "reason": reason,
        "message": message,
        **times,
    }


def pod(of: str = "digits", namespace: str = "ns") -> dict[str, Any]:
    metadata = {"name": f"{of}-aggregator-x", "namespace": namespace, "labels": labels(of, "aggregator")}
    spec = {"initContainers": [{"name": "superlink"}, {"name": "reporter"}], "containers": [{"name": "launcher"}]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def cluster(name: str = "site-a", **claims: str) -> dict[str, Any]:
    conditions = [{"type": each, "status": "True"} for each in ("HubAcceptedManagedCluster", "ManagedClusterConditionAvailable")]
    status = {
        "conditions": conditions,
        "allocatable": {"cpu": "8", "memory": "16Gi", "nvidia.com/gpu": "2"},
        "clusterClaims": [{"name": name, "value": value} for name, value in claims.items()],
        "version": {"kubernetes": "v1.34.0"},
    }
    metadata = {"name": name, "labels": {names.CLUSTER_SET_LABEL: "default"}}
    kind = {"apiVersion": "cluster.open-cluster-management.io/v1", "kind": "ManagedCluster"}
    return {**kind, "metadata": metadata, "spec": {"hubAcceptsClient": True}, "status": status}


def addon(cluster: str = "site-a") -> dict[str, Any]:
    issued = [{"serial": "1f", "notBefore": "2026-03-01T00:00:00+00:00", "notAfter": "2099-03-02T00:00:00+00:00"}]
    metadata = {"name": names.ADDON, "namespace": cluster, "annotations": {names.ANNOTATION_CERTIFICATES: json.dumps(issued)}}
    conditions = [{"type": "Available", "status": "True", "reason": "CollaboratorReady", "message": "The cluster can take part"}]
    kind = {"apiVersion": "addon.open-cluster-management.io/v1alpha1", "kind": "ManagedClusterAddOn"}
    return {**kind, "metadata": metadata, "status": {"conditions": conditions}}


def everything() -> list[dict[str, Any]]:
    """Two clusters, a run in each of two namespaces, and all that belongs to the first run."""
    clusters = [cluster("site-a", data="pvc://digits"), cluster("site-b"), addon("site-a"), addon("site-b")]
    return [*clusters, run(), history(), progress(), gateway(), event(), pod(), run("secret", "other", "Completed")]
