"""The kinds in the dashboard's watch cache, and what is kept of each: what the lists show. Everything else of a run is read on demand."""

from __future__ import annotations

import sys
from typing import Any

from panal.api import names
from panal.kube import kinds
from panal.kube.cache import Watched
from panal.kube.objects import Object

METADATA = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp", "deletionTimestamp", "labels")
STATUS = ("phase", "message", "rounds", "clients", "headlineMetric", "startTime", "completionTime")
ANNOTATIONS = (names.ANNOTATION_CERTIFICATES, names.ANNOTATION_REVOKED)


def watched(namespace: str = "") -> list[Watched]:
    """`namespace`: the only one whose runs are watched; empty: all."""
    own = f"metadata.name={names.ADDON}"
    return [
        Watched(kinds.FEDERATED_LEARNING, namespace=namespace, trim=_run),
        Watched(kinds.MANAGED_CLUSTER, trim=_cluster, optional=True),
        Watched(kinds.MANAGED_CLUSTER_ADDON, field_selector=own, trim=_addon, optional=True),
        Watched(kinds.ADDON_PLACEMENT_SCORE, field_selector=own, trim=_score, optional=True),
        Watched(kinds.PLACEMENT_DECISION, namespace=namespace, trim=_decision, optional=True),
    ]


def _kept(obj: Object, **parts: Any) -> Object:
    metadata = {name: obj["metadata"][name] for name in METADATA if name in obj["metadata"]}
    return {"apiVersion": obj.get("apiVersion", ""), "kind": obj.get("kind", ""), "metadata": metadata, **parts}


def _run(obj: Object) -> Object:
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    kept = {name: status[name] for name in STATUS if name in status}
    kept["collaborators"] = [_collaborator(each) for each in status.get("collaborators") or ()]
    given = spec.get("server") or {}
    server = {"rounds": given.get("rounds"), "image": sys.intern(str(given.get("image") or ""))}
    return _kept(
        obj, spec={"mode": spec.get("mode"), "suspend": spec.get("suspend"), "stop": spec.get("stop"), "server": server}, status=kept
    )


def _collaborator(found: Object) -> Object:
    kept = {"cluster": sys.intern(str(found.get("cluster"))), "state": sys.intern(str(found.get("state") or ""))}
    return kept if found.get("seconds") is None else {**kept, "seconds": found["seconds"]}


def _cluster(obj: Object) -> Object:
    status = obj.get("status") or {}
    conditions = [{name: each.get(name) for name in ("type", "status", "reason")} for each in status.get("conditions") or ()]
    kept = {name: status.get(name) for name in ("clusterClaims", "allocatable", "version")}
    return _kept(obj, spec={"taints": (obj.get("spec") or {}).get("taints")}, status={"conditions": conditions, **kept})


def _addon(obj: Object) -> Object:
    conditions = [each for each in (obj.get("status") or {}).get("conditions") or () if each.get("type") == "Available"]
    annotations = obj["metadata"].get("annotations") or {}
    kept = _kept(obj, status={"conditions": conditions})
    kept["metadata"]["annotations"] = {name: annotations[name] for name in ANNOTATIONS if name in annotations}
    return kept


def _score(obj: Object) -> Object:
    return _kept(obj, status={"scores": (obj.get("status") or {}).get("scores")})


def _decision(obj: Object) -> Object:
    decided = [{"clusterName": sys.intern(str(each.get("clusterName")))} for each in (obj.get("status") or {}).get("decisions") or ()]
    return _kept(obj, status={"decisions": decided})
