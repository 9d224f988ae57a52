"""Values that the API server sets in built-in kinds, beyond the defaults of their schemas: addresses, ports, labels, accounts."""

from __future__ import annotations

import base64
import random
from collections.abc import Iterator
from ipaddress import ip_network
from typing import Any

from panal_local.apiserver import certificates, errors
from panal_local.apiserver.errors import INVALID, Cause
from panal_local.apiserver.identity import User
from panal_local.apiserver.schema import Schema, child
from panal_local.apiserver.store import Store

Object = dict[str, Any]
SERVICES = "10.96.0.0/16"
NODE_PORTS = range(30000, 32768)
WITH_SPEC = {"Pod", "Job", "Service", "PersistentVolumeClaim"}
GATED = {
    "type": "PodScheduled",
    "status": "False",
    "reason": "SchedulingGated",
    "message": "Scheduling is blocked due to non-empty scheduling gates",
}
TOKEN_DIR = "/var/run/secrets/kubernetes.io/serviceaccount"


def coerce(value: Any, schema: Schema) -> Any:
    """Converts values as Kubernetes decodes them: removes nulls, and converts quantities to strings. Changes `value` in place."""
    if isinstance(value, dict):
        for name in [n for n, item in value.items() if item is None]:
            del value[name]
        for name, item in value.items():
            value[name] = coerce(item, child(schema, name) or {})
    elif isinstance(value, list):
        value[:] = [coerce(item, schema.get("items", {})) for item in value]
    elif schema.get("x-quantity") and isinstance(value, int | float) and not isinstance(value, bool):
        return str(value) if isinstance(value, int) or value.is_integer() else f"{round(value * 1000)}m"
    return value


def plain(obj: Object) -> None:
    """Sets defaults that depend only on the object; the writer owns them. Changes `obj` in place."""
    if obj["kind"] in WITH_SPEC:
        obj.setdefault("spec", {})
    if obj["kind"] == "Secret":
        _secret(obj)
    for container in _containers(obj):
        resources = container.get("resources") or {}
        for name, amount in (resources.get("limits") or {}).items():
            resources.setdefault("requests", {}).setdefault(name, amount)


def fill(obj: Object, store: Store, user: User, old: Object | None) -> None:
    """Sets the fields that the server assigns; they have no field manager. Changes `obj` in place."""
    match obj["kind"]:
        case "Pod" if old is None:
            _account(obj, store)
            obj["status"] = {"phase": "Pending"} | ({"conditions": [dict(GATED)]} if obj["spec"].get("schedulingGates") else {})
        case "Job" if old is None:
            _select_pods(obj)
        case "Service":
            _service(obj, (old or {}).get("spec") or {}, store)
        case "PersistentVolumeClaim":
            obj.setdefault("status", {"phase": "Pending"})
        case "Namespace":
            _namespace(obj, old)
        case "CertificateSigningRequest":
            certificates.fill(obj, user, old)


def _containers(obj: Object) -> Iterator[Object]:
    spec = obj.get("spec") or {}
    if obj["kind"] in ("Job", "StatefulSet"):
        spec = (spec.get("template") or {}).get("spec") or {}
    if obj["kind"] in ("Pod", "Job", "StatefulSet"):
        yield from (*(spec.get("initContainers") or ()), *(spec.get("containers") or ()))


# --- Pods and Jobs ------------------------------------------------------------------------------------------------
def _account(pod: Object, store: Store) -> None:
    """Sets the Pod's service account and mounts its token. Raises StatusError, 403, if the service account does not exist."""
    spec, metadata = pod["spec"], pod["metadata"]
    name = spec.setdefault("serviceAccountName", "default")
    account = store.get("serviceaccounts", (metadata["namespace"], name))
    if account is None:
        why = f'error looking up service account {metadata["namespace"]}/{name}: serviceaccount "{name}" not found'
        raise errors.forbidden("", "pods", metadata.get("name", ""), why)
    wanted = spec.get("automountServiceAccountToken", account.object.get("automountServiceAccountToken", True))
    without = [c for c in _containers(pod) if all(m.get("mountPath") != TOKEN_DIR for m in c.get("volumeMounts") or ())]
    if not wanted or not without:
        return
    volume = f"kube-api-access-{metadata['uid'][:5]}"
    for container in without:
        container.setdefault("volumeMounts", []).append({"name": volume, "readOnly": True, "mountPath": TOKEN_DIR})
    spec.setdefault("volumes", []).append({"name": volume, "projected": {"sources": _token_sources(), "defaultMode": 420}})


def _token_sources() -> list[Object]:
    namespace = {"path": "namespace", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}}
    return [
        {"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}},
        {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
        {"downwardAPI": {"items": [namespace]}},
    ]


def _select_pods(job: Object) -> None:
    uid, name = job["metadata"]["uid"], job["metadata"]["name"]
    labels = {"batch.kubernetes.io/controller-uid": uid, "batch.kubernetes.io/job-name": name, "controller-uid": uid, "job-name": name}
    template = job["spec"].setdefault("template", {})
    template.setdefault("metadata", {}).setdefault("labels", {}).update(labels)
    job["spec"]["selector"] = {"matchLabels": {"batch.kubernetes.io/controller-uid": uid}}


# --- Services -----------------------------------------------------------------------------------------------------
def _service(service: Object, old: Object, store: Store) -> None:
    spec = service["spec"]
    service.setdefault("status", {"loadBalancer": {}})
    if not spec.get("clusterIP"):
        spec["clusterIP"] = old.get("clusterIP") or _free_address(store)
    if spec.get("type") in ("NodePort", "LoadBalancer"):
        _node_ports(service, old, store)


def _free_address(store: Store) -> str:
    taken = {(e.object.get("spec") or {}).get("clusterIP") for e in store.all("services")}
    network = ip_network(SERVICES)
    return next(a for i in range(10, network.num_addresses - 1) if (a := str(network[i])) not in taken)


def _node_ports(service: Object, old: Object, store: Store) -> None:
    others = (e.object for e in store.all("services") if e.object["metadata"]["uid"] != service["metadata"]["uid"])
    taken = {port.get("nodePort") for other in others for port in other["spec"].get("ports") or ()}
    before = {(p.get("name"), p["port"]): p.get("nodePort") for p in old.get("ports") or ()}
    for i, port in enumerate(service["spec"].get("ports") or ()):
        wanted = port.get("nodePort") or before.get((port.get("name"), port["port"]))
        if wanted and wanted not in before.values():
            _check_port(service, wanted, wanted in taken, i)
        port["nodePort"] = wanted or _any_port(taken)
        taken.add(port["nodePort"])


def _any_port(taken: set[int | None]) -> int:
    """A random port: a client that still uses the port of a deleted Service must not reach the next Service."""
    return random.choice([port for port in NODE_PORTS if port not in taken])


def _check_port(service: Object, port: int, taken: bool, index: int) -> None:
    problem = "provided port is already allocated" if taken else ""
    if port not in NODE_PORTS:
        problem = "provided port is not in the valid range. The range of valid ports is 30000-32767"
    if problem:
        cause = Cause(INVALID, f"Invalid value: {port}: {problem}", f"spec.ports[{index}].nodePort")
        raise errors.invalid("", "Service", service["metadata"]["name"], [cause])


# --- other kinds --------------------------------------------------------------------------------------------------
def _namespace(namespace: Object, old: Object | None) -> None:
    namespace["metadata"].setdefault("labels", {})["kubernetes.io/metadata.name"] = namespace["metadata"].get("name", "")
    if old is None:
        namespace["spec"] = {"finalizers": ["kubernetes"]}
    namespace.setdefault("status", {"phase": "Active"})


def _secret(secret: Object) -> None:
    strings = secret.pop("stringData", None) or {}
    if strings:
        secret["data"] = (secret.get("data") or {}) | {k: base64.b64encode(v.encode()).decode() for k, v in strings.items()}
