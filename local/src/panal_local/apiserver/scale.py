"""The scale subresource: how many replicas there are, and are to be."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from panal_local.apiserver.errors import bad_request
from panal_local.apiserver.kinds import Resource
from panal_local.apiserver.requests import Call
from panal_local.apiserver.table import first

Object = dict[str, Any]
BUILT_IN = {"specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas"}


def of(resource: Resource, obj: Object) -> Object:
    paths = resource.scale or BUILT_IN
    metadata = {k: v for k, v in obj["metadata"].items() if k in ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")}
    status: Object = {"replicas": first(obj, paths["statusReplicasPath"]) or 0}
    if selector := first(obj, paths.get("labelSelectorPath", "")) or _labels(obj):
        status["selector"] = selector
    replicas = first(obj, paths["specReplicasPath"])
    spec = {"replicas": replicas} if replicas else {}
    return {"kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": metadata, "spec": spec, "status": status}


def _labels(obj: Object) -> str:
    selector = (obj.get("spec") or {}).get("selector")
    found = selector.get("matchLabels") if isinstance(selector, dict) else None
    return ",".join(f"{k}={v}" for k, v in sorted((found or {}).items()))


def changed(resource: Resource, old: Object, wanted: Any) -> Object:
    replicas = (
        (wanted.get("spec") or {}).get("replicas", 0) if isinstance(wanted, dict) and isinstance(wanted.get("spec") or {}, dict) else None
    )
    if not isinstance(replicas, int) or isinstance(replicas, bool) or replicas < 0:
        raise bad_request("Scale: spec.replicas is a whole number, 0 or more")
    *parents, last = (resource.scale or BUILT_IN)["specReplicasPath"].strip(".").split(".")
    place = old
    for name in parents:
        place = place.setdefault(name, {})
    place[last] = replicas
    version = (wanted.get("metadata") or {}).get("resourceVersion")
    if version:
        old["metadata"]["resourceVersion"] = version
    return old


def main(call: Call) -> Call:
    """The same on the object itself."""
    return replace(call, subresource="")
