"""What the API server itself fills in for built-in kinds beyond the defaults of their schemas: names, addresses, ports, labels, phases."""

from __future__ import annotations

import base64
import random
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from ipaddress import ip_network
from typing import Any

from panal.kube.times import now_utc, to_time
from panal_local.apiserver import certificates, errors, policies
from panal_local.apiserver.errors import INVALID, Cause
from panal_local.apiserver.schema import Schema, child
from panal_local.apiserver.store import Entry, Store

Object = dict[str, Any]
SERVICES = "10.96.0.0/16"
NODE_PORTS = range(30000, 32768)
DEFAULT_CLASS = "storageclass.kubernetes.io/is-default-class"
TOKEN_DIR = "/var/run/secrets/kubernetes.io/serviceaccount"
NOT_READY = ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")


@dataclass(frozen=True, slots=True)
class User:
    """Who asks."""

    name: str
    uid: str = ""
    groups: tuple[str, ...] = ()
    extra: tuple[tuple[str, tuple[str, ...]], ...] = ()


@dataclass(frozen=True, slots=True)
class Setting:
    """What defaults depend on besides the object: what is there already, who asks, the object as it was."""

    store: Store
    user: User
    old: Object | None


def coerce(value: Any, schema: Schema) -> Any:
    """As Kubernetes decodes built-in kinds: null is left out, quantities are strings."""
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
    """Defaults that go by the object alone; whoever writes it owns them. Changes `obj` itself."""
    if obj["kind"] in PLAIN:
        PLAIN[obj["kind"]](obj)
    for spec in _pod_specs(obj):
        _pod_spec(spec)


def fill(obj: Object, setting: Setting) -> None:
    """What the server gives by itself, which nobody owns. Changes `obj` itself."""
    if obj["kind"] in FILL:
        FILL[obj["kind"]](obj, setting)


def _pod_specs(obj: Object) -> Iterator[Object]:
    if obj["kind"] == "Pod" and isinstance(obj.get("spec"), dict):
        yield obj["spec"]
    template = (obj.get("spec") or {}).get("template") if obj["kind"] in ("Job", "StatefulSet") else None
    if isinstance(template, dict) and isinstance(template.get("spec"), dict):
        template.setdefault("metadata", {})
        yield template["spec"]


def _pod_spec(spec: Object) -> None:
    if spec.get("serviceAccountName"):
        spec["serviceAccount"] = spec["serviceAccountName"]
    for container in [*(spec.get("initContainers") or ()), *(spec.get("containers") or ())]:
        _container(container)
    for volume in spec.get("volumes") or ():
        if isinstance(volume, dict) and set(volume) == {"name"}:
            volume["emptyDir"] = {}


def _container(container: Object) -> None:
    image = str(container.get("image", ""))
    tag = image.rsplit("/", 1)[-1].partition("@")[0].partition(":")[2]
    latest = tag in ("", "latest") and "@" not in image
    container.setdefault("imagePullPolicy", "Always" if latest else "IfNotPresent")
    resources = container.get("resources") or {}
    for name, amount in (resources.get("limits") or {}).items():
        resources.setdefault("requests", {}).setdefault(name, amount)


def _plain_pod(pod: Object) -> None:
    pod.setdefault("spec", {}).setdefault("enableServiceLinks", True)


def _pod(pod: Object, setting: Setting) -> None:
    spec = pod["spec"]
    for condition in (pod.get("status") or {}).get("conditions") or ():
        condition.setdefault("lastProbeTime", None)
        condition.setdefault("lastTransitionTime", None)
    if setting.old is None:
        _account(pod, setting.store)
        pod["status"] = {"phase": "Pending", "qosClass": _quality(spec)}
        spec.setdefault("priority", 0)
        spec.setdefault("preemptionPolicy", "PreemptLowerPriority")
        known = {t.get("key") for t in spec.get("tolerations") or () if t.get("effect") in ("NoExecute", None)}
        for key in NOT_READY:
            if key not in known:
                toleration = {"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}
                spec.setdefault("tolerations", []).append(toleration)


def _quality(spec: Object) -> str:
    asked = [c.get("resources") or {} for c in [*(spec.get("containers") or ()), *(spec.get("initContainers") or ())]]
    if not any(r.get("requests") or r.get("limits") for r in asked):
        return "BestEffort"
    sure = all({"cpu", "memory"} <= set(r.get("limits") or ()) and (r.get("requests") or r["limits"]) == r["limits"] for r in asked)
    return "Guaranteed" if sure else "Burstable"


def _account(pod: Object, store: Store) -> None:
    """The Pod's service account, which must exist, and its token where the Pod mounts none of its own."""
    spec, metadata = pod["spec"], pod["metadata"]
    name = spec.get("serviceAccountName") or spec.get("serviceAccount") or "default"
    spec["serviceAccountName"] = spec["serviceAccount"] = name
    account = store.get("serviceaccounts", (metadata["namespace"], name))
    if account is None:
        why = f'error looking up service account {metadata["namespace"]}/{name}: serviceaccount "{name}" not found'
        raise errors.forbidden("", "pods", metadata.get("name", ""), why)
    mount = spec.get("automountServiceAccountToken", account.object.get("automountServiceAccountToken", True))
    containers = [c for c in [*(spec.get("initContainers") or ()), *(spec.get("containers") or ())] if isinstance(c, dict)]
    bare = [c for c in containers if all(m.get("mountPath") != TOKEN_DIR for m in c.get("volumeMounts") or ())]
    if not mount or not bare:
        return
    volume = f"kube-api-access-{metadata['uid'][:5]}"
    for container in bare:
        container.setdefault("volumeMounts", []).append({"name": volume, "readOnly": True, "mountPath": TOKEN_DIR})
    spec.setdefault("volumes", []).append({"name": volume, "projected": {"sources": _token_sources(), "defaultMode": 420}})


def _token_sources() -> list[Object]:
    namespace = {"path": "namespace", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}}
    return [
        {"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}},
        {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
        {"downwardAPI": {"items": [namespace]}},
    ]


def _plain_job(job: Object) -> None:
    spec = job.setdefault("spec", {})
    if spec.get("completions") is None and spec.get("parallelism") is None:
        spec["completions"] = 1
    spec.setdefault("parallelism", 1)
    if spec.get("podFailurePolicy"):
        spec["podReplacementPolicy"] = "Failed"


def _job(job: Object, setting: Setting) -> None:
    spec = job["spec"]
    job.setdefault("status", {})
    if setting.old is None and not spec.get("manualSelector"):
        uid, name = job["metadata"]["uid"], job["metadata"]["name"]
        labels = {"batch.kubernetes.io/controller-uid": uid, "batch.kubernetes.io/job-name": name, "controller-uid": uid, "job-name": name}
        template = spec.setdefault("template", {})
        template.setdefault("metadata", {}).setdefault("labels", {}).update(labels)
        spec["selector"] = {"matchLabels": {"batch.kubernetes.io/controller-uid": uid}}
        job["metadata"].setdefault("labels", dict(template["metadata"]["labels"]))


def _stateful_set(found: Object, setting: Setting) -> None:
    status = found.setdefault("status", {})
    status.setdefault("replicas", 0)
    status.setdefault("availableReplicas", 0)


def _event(event: Object, setting: Setting) -> None:
    """Fields that are told even if there is nothing to tell."""
    for name in ("eventTime", "firstTimestamp", "lastTimestamp"):
        event.setdefault(name, None)
    for name in ("reportingComponent", "reportingInstance"):
        event.setdefault(name, "")


def _plain_service(service: Object) -> None:
    spec = service.setdefault("spec", {})
    for port in spec.get("ports") or ():
        if isinstance(port, dict) and "port" in port:
            port.setdefault("targetPort", port["port"])
    if spec.get("type") in ("NodePort", "LoadBalancer"):
        spec.setdefault("externalTrafficPolicy", "Cluster")
        if spec["type"] == "LoadBalancer":
            spec.setdefault("allocateLoadBalancerNodePorts", True)


def _service(service: Object, setting: Setting) -> None:
    spec, old = service["spec"], (setting.old or {}).get("spec") or {}
    service.setdefault("status", {"loadBalancer": {}})
    if spec.get("type") == "ExternalName":
        return
    for name in ("clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"):
        if not spec.get(name) and old.get(name):
            spec[name] = old[name]
    if not spec.get("clusterIP"):
        spec["clusterIP"] = _free_address(setting.store)
    spec.setdefault("clusterIPs", [spec["clusterIP"]])
    spec.setdefault("ipFamilies", ["IPv4"])
    spec.setdefault("ipFamilyPolicy", "SingleStack")
    if spec.get("type") in ("NodePort", "LoadBalancer"):
        _node_ports(service, old, setting.store)


def _others(store: Store, service: Object) -> Iterable[Entry]:
    uid = service["metadata"]["uid"]
    return (e for e in store.all("services") if e.object["metadata"]["uid"] != uid)


def _free_address(store: Store) -> str:
    taken = {(e.object.get("spec") or {}).get("clusterIP") for e in store.all("services")}
    network = ip_network(SERVICES)
    return next(a for i in range(10, network.num_addresses - 1) if (a := str(network[i])) not in taken)


def _node_ports(service: Object, old: Object, store: Store) -> None:
    taken = {p.get("nodePort") for e in _others(store, service) for p in (e.object.get("spec") or {}).get("ports") or ()}
    before = {(p.get("name"), p["port"]): p.get("nodePort") for p in old.get("ports") or ()}
    for i, port in enumerate(service["spec"].get("ports") or ()):
        wanted = port.get("nodePort") or before.get((port.get("name"), port.get("port")))
        if wanted and port.get("nodePort") and wanted not in before.values():
            _check_port(service, wanted, wanted in taken, i)
        port["nodePort"] = wanted or _any_port(taken)
        taken.add(port["nodePort"])


def _any_port(taken: set[int | None]) -> int:
    """At random, as the real one: who still dials the port of a Service that is gone must not reach the next one made."""
    return random.choice([port for port in NODE_PORTS if port not in taken])


def _check_port(service: Object, port: int, taken: bool, index: int) -> None:
    path, name = f"spec.ports[{index}].nodePort", service["metadata"]["name"]
    if port not in NODE_PORTS:
        text = f"Invalid value: {port}: provided port is not in the valid range. The range of valid ports is 30000-32767"
        raise errors.invalid("", "Service", name, [Cause(INVALID, text, path)])
    if taken:
        raise errors.invalid("", "Service", name, [Cause(INVALID, f"Invalid value: {port}: provided port is already allocated", path)])


def _claim(claim: Object, setting: Setting) -> None:
    claim.setdefault("status", {"phase": "Pending"})
    spec = claim.setdefault("spec", {})
    if setting.old is None and "storageClassName" not in spec:
        for entry in setting.store.all("storageclasses.storage.k8s.io"):
            if (entry.object["metadata"].get("annotations") or {}).get(DEFAULT_CLASS) == "true":
                spec["storageClassName"] = entry.object["metadata"]["name"]


def _plain_namespace(namespace: Object) -> None:
    if namespace["metadata"].get("name"):
        namespace["metadata"].setdefault("labels", {})["kubernetes.io/metadata.name"] = namespace["metadata"]["name"]


def _namespace(namespace: Object, setting: Setting) -> None:
    if setting.old is None:
        namespace["spec"] = {"finalizers": ["kubernetes"]}
        namespace["status"] = {"phase": "Active"}
    namespace.setdefault("status", {"phase": "Active"})


def _secret(secret: Object) -> None:
    strings = secret.pop("stringData", None)
    if isinstance(strings, dict):
        coded = {k: base64.b64encode(str(v).encode()).decode() for k, v in strings.items()}
        secret["data"] = (secret.get("data") or {}) | coded


def _request(csr: Object, setting: Setting) -> None:
    """Who asks is recorded by the server, never by the one who asks. What was asked for stays as it was."""
    spec, old = csr.setdefault("spec", {}), (setting.old or {}).get("spec")
    csr.setdefault("status", {})
    for condition in certificates.conditions_of(csr):
        for name in ("lastUpdateTime", "lastTransitionTime"):
            condition[name] = condition.get(name) or to_time(now_utc())
    if old:
        csr["spec"] = old
        return
    user = setting.user
    found = {"username": user.name, "uid": user.uid, "groups": list(user.groups), "extra": {k: list(v) for k, v in user.extra}}
    for name in ("username", "uid", "groups", "extra"):
        spec.pop(name, None)
    spec.update({k: v for k, v in found.items() if v})


def _binding(binding: Object) -> None:
    for subject in binding.get("subjects") or ():
        if isinstance(subject, dict):
            subject.setdefault("apiGroup", "" if subject.get("kind") == "ServiceAccount" else "rbac.authorization.k8s.io")
            if not subject["apiGroup"]:
                del subject["apiGroup"]
    if isinstance(binding.get("roleRef"), dict):
        binding["roleRef"].setdefault("apiGroup", "rbac.authorization.k8s.io")


def _policy(policy: Object, setting: Setting) -> None:
    policy["spec"].setdefault("podSelector", {})


def _volume(volume: Object, setting: Setting) -> None:
    volume.setdefault("status", {"phase": "Pending"})


def _status(obj: Object, setting: Setting) -> None:
    obj.setdefault("status", {})


PLAIN: dict[str, Callable[[Object], None]] = {
    "Pod": _plain_pod,
    "Job": _plain_job,
    "Service": _plain_service,
    "Namespace": _plain_namespace,
    "Secret": _secret,
    "RoleBinding": _binding,
    "ClusterRoleBinding": _binding,
    "NetworkPolicy": policies.fill,
}
FILL: dict[str, Callable[[Object, Setting], None]] = {
    "Pod": _pod,
    "Job": _job,
    "StatefulSet": _stateful_set,
    "Service": _service,
    "PersistentVolumeClaim": _claim,
    "PersistentVolume": _volume,
    "Namespace": _namespace,
    "CertificateSigningRequest": _request,
    "NetworkPolicy": _policy,
    "Event": _event,
    "Node": _status,
}
