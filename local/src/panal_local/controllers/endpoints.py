"""EndpointSlices: where the Pods of a Service are, and which of them are ready."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from panal.kube.objects import Object, holds
from panal_local.controllers.objects import deleting, matches, owned_by, phase


def decide(service: Object, pods: Iterable[Object]) -> Object | None:
    """The slice that a Service with a selector should have; its name is the Service's own and `-panal`."""
    selector = service["spec"].get("selector")
    if not selector:
        return None
    found = [p for p in pods if matches(selector, p["metadata"].get("labels") or {}) and (p.get("status") or {}).get("podIP")]
    going = [p for p in found if phase(p) not in ("Succeeded", "Failed")]
    name = service["metadata"]["name"]
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": f"{name}-panal",
            "namespace": service["metadata"]["namespace"],
            "labels": {"kubernetes.io/service-name": name, "endpointslice.kubernetes.io/managed-by": "panal"},
            "ownerReferences": [owned_by(service)],
        },
        "addressType": "IPv4",
        "endpoints": [_endpoint(p) for p in sorted(going, key=lambda p: str(p["metadata"]["name"]))],
        "ports": [_port(p, going) for p in service["spec"].get("ports") or ()],
    }


def _endpoint(pod: Object) -> dict[str, Any]:
    ready = holds(pod, "Ready") and not deleting(pod)
    node = pod["spec"].get("nodeName")
    return ({"nodeName": node} if node else {}) | {
        "addresses": [pod["status"]["podIP"]],
        "conditions": {"ready": ready, "serving": holds(pod, "Ready"), "terminating": deleting(pod)},
        "targetRef": {
            "kind": "Pod",
            "namespace": pod["metadata"]["namespace"],
            "name": pod["metadata"]["name"],
            "uid": pod["metadata"]["uid"],
        },
    }


def _port(port: Mapping[str, Any], pods: list[Object]) -> dict[str, Any]:
    target = port.get("targetPort", port["port"])
    number = target if isinstance(target, int) else _named(str(target), pods)
    return {"name": port.get("name", ""), "port": number or port["port"], "protocol": port.get("protocol", "TCP")}


def _named(name: str, pods: list[Object]) -> int | None:
    containers = (c for p in pods for c in (*(p["spec"].get("initContainers") or ()), *p["spec"]["containers"]))
    return next((int(port["containerPort"]) for c in containers for port in c.get("ports") or () if port.get("name") == name), None)
