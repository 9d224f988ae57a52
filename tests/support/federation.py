"""A hub in memory with one run that trains on three clusters, as the controller and the reporter have written it, for tests of metrics."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

from memory_hub import Hub, managed
from panal.addon import issued
from panal.addon.issued import Issued
from panal.api import names
from panal.hub.apply import without_empty
from panal.kube import kinds
from panal.kube.objects import Object
from panal.kube.times import now_utc
from panal.lifecycle.world import World
from worlds import UID, ended, progress, resource, running, said, seen, status_after

NOW = now_utc()
CLUSTERS = ("cluster1", "cluster2", "cluster3")
TRAFFIC = {cluster: [100, 0, 5_000_000, 9_000_000] for cluster in CLUSTERS} | {"": [0, 2, 0, 0]}
METRICS = {"accuracy": 0.93, "loss": 0.21}


def filled(*more: Object, life: timedelta = timedelta(days=1)) -> Hub:
    """`life`: of the newest certificate of each cluster, from now on."""
    return Hub(training(), traffic(TRAFFIC), authorities(), *(obj for c in CLUSTERS for obj in (managed(c), addon(c, life))), *more)


def training(**changes: Any) -> Object:
    """The run in its second round."""
    known: dict[str, Any] = {
        "seconds": 20.0,
        "replies": 3,
        "metrics": METRICS,
        "collaborators": {c: seen(seconds=12.0, metrics=METRICS) for c in CLUSTERS},
    }
    return written(running(progress=progress(**(known | changes))))


def finished() -> Object:
    found = written(ended())
    return found | {"status": found["status"] | {"completionTime": NOW.isoformat()}}


def failed() -> Object:
    found = written(said("QuorumLost", "1 of 2 clusters is connected"))
    return found | {"status": found["status"] | {"completionTime": NOW.isoformat()}}


def written(world: World) -> Object:
    """The resource with the status that the world leads to."""
    return resource() | {"status": without_empty(status_after(world).model_dump(mode="json", by_alias=True))}


def traffic(of: dict[str, list[int]]) -> Object:
    labels = {names.LABEL_RUN_UID: UID, names.LABEL_RUN: "digits", names.LABEL_RUN_NAMESPACE: "ns"}
    metadata = {"name": names.progress("digits"), "namespace": "ns", "labels": labels}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {names.KEY_TRAFFIC: json.dumps(of)}}


def addon(cluster: str, life: timedelta) -> Object:
    certificates = [Issued(1, NOW - timedelta(hours=1), NOW + life)]
    annotations = {names.ANNOTATION_CERTIFICATES: issued.text(certificates, NOW - timedelta(days=30))}
    metadata = {"name": names.ADDON, "namespace": cluster, "annotations": annotations}
    return {"apiVersion": kinds.MANAGED_CLUSTER_ADDON.api_version, "kind": "ManagedClusterAddOn", "metadata": metadata}


def authorities(life: timedelta = timedelta(days=365)) -> Object:
    signers = json.dumps([{"role": "current", "notBefore": NOW.isoformat(), "notAfter": (NOW + life).isoformat()}])
    metadata = {"name": names.AUTHORITIES, "namespace": names.SYSTEM_NAMESPACE, "labels": dict(names.MANAGED_BY)}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"servers": signers, "collaborators": signers}}
