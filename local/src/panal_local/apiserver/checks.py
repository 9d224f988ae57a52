"""What built-in kinds may not be, beyond their schemas: names, references within an object, and what may not change."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Callable, Iterator
from ipaddress import ip_address
from typing import Any

from panal_local.apiserver import certificates, policies
from panal_local.apiserver.errors import DUPLICATE, FORBIDDEN, INVALID, REQUIRED, UNSUPPORTED, Cause

Object = dict[str, Any]
Causes = Iterator[Cause]
_WORD = "must consist of lower case alphanumeric characters"
SUBDOMAIN = (
    253,
    r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*",
    f"a lowercase RFC 1123 subdomain {_WORD}, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com')",
)
LABEL = (
    63,
    r"[a-z0-9]([-a-z0-9]*[a-z0-9])?",
    f"a lowercase RFC 1123 label {_WORD} or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc')",
)
DNS1035 = (
    63,
    r"[a-z]([-a-z0-9]*[a-z0-9])?",
    f"a DNS-1035 label {_WORD} or '-', start with an alphabetic character, and end with an alphanumeric character"
    " (e.g. 'my-name',  or 'abc-123')",
)
SEGMENT = (253, r"(?!\.{1,2}$)[^/%]+", "may not be '.' or '..' and may not contain '/' or '%'")
KEY = re.compile(r"[-._a-zA-Z0-9]{1,253}")
QUALIFIED = re.compile(r"([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")
LABEL_VALUE = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?")
QUANTITY = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([KMGTPE]i|[numkMGTPE]|[eE][+-]?\d+)?")
NAMES = {"Namespace": LABEL, "Service": DNS1035, **dict.fromkeys(("Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding"), SEGMENT)}


def name_problem(kind: str, name: str) -> str:
    longest, form, words = NAMES.get(kind, SUBDOMAIN)
    if len(name) > longest:
        return f"must be no more than {longest} characters"
    if re.fullmatch(form, name):
        return ""
    if (longest, form) == LABEL[:2] and "." in name:
        return "must not contain dots"
    return words if kind in NAMES and form == SEGMENT[1] else f"{words[:-1]}, regex used for validation is '{form}')"


NAME_SERVERS = 3  # at most, of a Pod
ANNOTATIONS = 256 << 10  # bytes, of all together


def metadata(obj: Object, kind: str, custom: bool) -> Causes:
    """Of any object."""
    found = obj["metadata"]
    name = found.get("name", "")
    if not name:
        yield Cause(REQUIRED, "Required value: name or generateName is required", "metadata.name")
    elif problem := name_problem("" if custom else kind, name):
        yield Cause(INVALID, f"Invalid value: {json.dumps(name)}: {problem}", "metadata.name")
    for part in ("labels", "annotations"):
        for key, value in (found.get(part) or {}).items():
            yield from _pair(part, key, value)
    if sum(len(text.encode()) for pair in (found.get("annotations") or {}).items() for text in pair) > ANNOTATIONS:
        yield Cause("FieldValueTooLong", f"Too long: may not be more than {ANNOTATIONS} bytes", "metadata.annotations")
    for i, finalizer in enumerate(() if custom else found.get("finalizers") or ()):
        if not QUALIFIED.fullmatch(finalizer) or ("/" not in finalizer and finalizer not in ("orphan", "foregroundDeletion", "kubernetes")):
            text = f"Invalid value: {json.dumps(finalizer)}: name is neither a standard finalizer name nor is it fully qualified"
            yield Cause(INVALID, text, f"metadata.finalizers[{i}]")
    owners = [o for o in found.get("ownerReferences") or () if o.get("controller")]
    if len(owners) > 1:
        text = 'Only one reference can have Controller set to true. Found "true" in references for'
        named = " and ".join(f"{o.get('kind')}/{o.get('name')}" for o in owners[:2])
        yield Cause(INVALID, f'Invalid value: "object": {text} {named}', "metadata.ownerReferences")


def _pair(part: str, key: str, value: str) -> Causes:
    if not QUALIFIED.fullmatch(key if part == "labels" else key.lower()):
        text = "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character"
        text += " (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
        yield Cause(INVALID, f"Invalid value: {json.dumps(key)}: {text}", f"metadata.{part}")
    if part == "labels" and not LABEL_VALUE.fullmatch(value):
        text = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with"
        text += " an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is"
        text += " '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
        text = text if len(value) <= 63 else "must be no more than 63 characters"
        yield Cause(INVALID, f"Invalid value: {json.dumps(value)}: {text}", "metadata.labels")


def undecodable(value: Any, schema: dict[str, Any]) -> str:
    """Why the real server could not even read a built-in kind's values into its types; empty if it can."""
    if isinstance(value, dict):
        parts = [(item, schema.get("properties", {}).get(name) or schema.get("additionalProperties")) for name, item in value.items()]
    elif isinstance(value, list):
        parts = [(item, schema.get("items")) for item in value]
    elif schema.get("x-quantity") and not QUANTITY.fullmatch(str(value)):
        return "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
    else:
        return _base64_problem(str(value)) if schema.get("format") == "byte" else ""
    return next((p for item, inner in parts if isinstance(inner, dict) and (p := undecodable(item, inner))), "")


def _base64_problem(text: str) -> str:
    try:
        base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        known = re.match(r"[A-Za-z0-9+/]*={0,2}", text)
        return f"illegal base64 data at input byte {known.end() if known else 0}"
    return ""


# --- kinds --------------------------------------------------------------------------------------------------------
def of_kind(obj: Object, old: Object | None) -> Causes:
    kind = obj["kind"]
    if kind in CHECKS:
        yield from CHECKS[kind](obj, old)
    if old is not None:
        yield from _unchanged(obj, old)


def _unchanged(obj: Object, old: Object) -> Causes:
    for path in IMMUTABLE.get(obj["kind"], ()):
        before, after = _at(old, path), _at(obj, path)
        if before is not None and before != after:
            shown = json.dumps(after)[:200] if not isinstance(after, dict | list) else '"object"'
            yield Cause(INVALID, f"Invalid value: {shown}: field is immutable", path)


def _at(obj: Any, path: str) -> Any:
    for name in path.split("."):
        obj = obj.get(name) if isinstance(obj, dict) else None
    return obj


def _pod_spec(spec: Object, path: str) -> Causes:
    if not spec.get("containers"):
        yield Cause(REQUIRED, "Required value", f"{path}.containers")
    yield from _names(spec, path)
    volumes = {v.get("name") for v in spec.get("volumes") or ()}
    names: set[str] = set()
    for part in ("initContainers", "containers"):
        for i, container in enumerate(spec.get(part) or ()):
            here = f"{path}.{part}[{i}]"
            yield from _container(container, here, volumes)
            if container.get("name") in names:
                yield Cause(DUPLICATE, f"Duplicate value: {json.dumps(container['name'])}", f"{here}.name")
            names.add(container.get("name", ""))
    for i, volume in enumerate(spec.get("volumes") or ()):
        if volume.get("name") in [v.get("name") for v in spec["volumes"][:i]]:
            yield Cause(DUPLICATE, f"Duplicate value: {json.dumps(volume.get('name'))}", f"{path}.volumes[{i}].name")
        sources = [k for k in volume if k != "name"]
        if len(sources) > 1:
            yield Cause(FORBIDDEN, "Forbidden: may not specify more than 1 volume type", f"{path}.volumes[{i}].{sources[1]}")
        if problem := _label_problem(volume.get("name", "")):
            yield Cause(INVALID, f"Invalid value: {json.dumps(volume.get('name', ''))}: {problem}", f"{path}.volumes[{i}].name")


def _names(spec: Object, path: str) -> Causes:
    """How the Pod is to resolve names."""
    servers = (spec.get("dnsConfig") or {}).get("nameservers") or []
    here = f"{path}.dnsConfig.nameservers"
    if spec.get("dnsPolicy") == "None" and not spec.get("dnsConfig"):
        yield Cause(REQUIRED, "Required value: must provide `dnsConfig` when `dnsPolicy` is None", f"{path}.dnsConfig")
    elif spec.get("dnsPolicy") == "None" and not servers:
        yield Cause(REQUIRED, "Required value: must provide at least one DNS nameserver when `dnsPolicy` is None", here)
    if len(servers) > NAME_SERVERS:
        words = json.dumps(servers, separators=(",", ":"))
        yield Cause(INVALID, f"Invalid value: {words}: must not have more than {NAME_SERVERS} nameservers", here)
    for i, server in enumerate(servers):
        if not _is_address(server):
            text = f"Invalid value: {json.dumps(server)}: must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"
            yield Cause(INVALID, text, f"{here}[{i}]")


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _label_problem(name: str) -> str:
    return "" if len(name) <= 63 and re.fullmatch(LABEL[1], name) else LABEL[2]


def _container(container: Object, path: str, volumes: set[Any]) -> Causes:
    name = container.get("name", "")
    if not name:
        yield Cause(REQUIRED, "Required value", f"{path}.name")
    elif problem := _label_problem(name):
        yield Cause(INVALID, f"Invalid value: {json.dumps(name)}: {problem}", f"{path}.name")
    if not container.get("image"):
        yield Cause(REQUIRED, "Required value", f"{path}.image")
    yield from _mounts(container, path, volumes)
    for i, port in enumerate(container.get("ports") or ()):
        if not 0 < int(port.get("containerPort") or 0) < 65536:
            text = "Invalid value: {}: must be between 1 and 65535, inclusive"
            yield Cause(INVALID, text.format(port.get("containerPort")), f"{path}.ports[{i}].containerPort")
    for i, env in enumerate(container.get("env") or ()):
        if env.get("value") and env.get("valueFrom"):
            text = 'Invalid value: "": may not be specified when `value` is not empty'
            yield Cause(INVALID, text, f"{path}.env[{i}].valueFrom")


def _mounts(container: Object, path: str, volumes: set[Any]) -> Causes:
    mounted: set[str] = set()
    for i, mount in enumerate(container.get("volumeMounts") or ()):
        if mount.get("name") not in volumes:
            yield Cause("FieldValueNotFound", f"Not found: {json.dumps(mount.get('name'))}", f"{path}.volumeMounts[{i}].name")
        if mount.get("mountPath", "") in mounted:
            yield Cause(INVALID, f"Invalid value: {json.dumps(mount['mountPath'])}: must be unique", f"{path}.volumeMounts[{i}].mountPath")
        mounted.add(mount.get("mountPath", ""))


POD_CHANGES = ("image",)


def _pod(pod: Object, old: Object | None) -> Causes:
    yield from _pod_spec(pod.get("spec") or {}, "spec")
    if old is not None and _fixed_of_pod(pod["spec"]) != _fixed_of_pod(old["spec"]):
        text = "Forbidden: pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,"
        text += (
            "`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds`"
        )
        text += " (allow it to be set to 1 if it was previously negative)"
        yield Cause(FORBIDDEN, text, "spec")


def _fixed_of_pod(spec: Object) -> Object:
    fixed = {k: v for k, v in spec.items() if k not in ("activeDeadlineSeconds", "tolerations", "ephemeralContainers", "schedulingGates")}
    for part in ("containers", "initContainers"):
        if part in fixed:
            fixed[part] = [{k: v for k, v in c.items() if k not in POD_CHANGES} for c in fixed[part]]
    return fixed


def _job(job: Object, old: Object | None) -> Causes:
    spec = job["spec"]
    template = (spec.get("template") or {}).get("spec") or {}
    yield from _pod_spec(template, "spec.template.spec")
    if template.get("restartPolicy") not in ("OnFailure", "Never"):
        text = 'Required value: valid values: "OnFailure", "Never"'
        yield Cause(REQUIRED, text, "spec.template.spec.restartPolicy")
    for name in ("parallelism", "completions", "backoffLimit", "activeDeadlineSeconds", "ttlSecondsAfterFinished"):
        if isinstance(spec.get(name), int) and spec[name] < 0:
            yield Cause(INVALID, f"Invalid value: {spec[name]}: must be greater than or equal to 0", f"spec.{name}")
    if old is not None and spec.get("template") != old["spec"].get("template"):
        yield Cause(INVALID, 'Invalid value: "object": field is immutable', "spec.template")


def _stateful_set(found: Object, old: Object | None) -> Causes:
    spec = found["spec"]
    template = spec.get("template") or {}
    yield from _pod_spec(template.get("spec") or {}, "spec.template.spec")
    labels = (spec.get("selector") or {}).get("matchLabels") or {}
    if not spec.get("selector"):
        yield Cause(REQUIRED, "Required value", "spec.selector")
    if not labels.items() <= ((template.get("metadata") or {}).get("labels") or {}).items():
        labelled = json.dumps((template.get("metadata") or {}).get("labels") or {}, separators=(",", ":"))
        text = f"Invalid value: {labelled}: `selector` does not match template `labels`"
        yield Cause(INVALID, text, "spec.template.metadata.labels")
    if (template.get("spec") or {}).get("restartPolicy", "Always") != "Always":
        text = f'Unsupported value: {json.dumps(template["spec"]["restartPolicy"])}: supported values: "Always"'
        yield Cause(UNSUPPORTED, text, "spec.template.spec.restartPolicy")
    may = {
        "replicas",
        "ordinals",
        "template",
        "updateStrategy",
        "revisionHistoryLimit",
        "persistentVolumeClaimRetentionPolicy",
        "minReadySeconds",
    }
    if old is not None and any(spec.get(k) != old["spec"].get(k) for k in {*spec, *old["spec"]} - may):
        text = "Forbidden: updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy',"
        text += " 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden"
        yield Cause(FORBIDDEN, text, "spec")


def _service(service: Object, old: Object | None) -> Causes:
    spec, ports = service["spec"], service["spec"].get("ports") or []
    if not ports and spec.get("type") != "ExternalName" and spec.get("clusterIP") != "None":
        yield Cause(REQUIRED, "Required value", "spec.ports")
    for i, port in enumerate(ports):
        if not 0 < int(port.get("port") or 0) < 65536:
            yield Cause(INVALID, f"Invalid value: {port.get('port')}: must be between 1 and 65535, inclusive", f"spec.ports[{i}].port")
        if len(ports) > 1 and not port.get("name"):
            yield Cause(REQUIRED, "Required value", f"spec.ports[{i}].name")
    if (((service.get("status") or {}).get("loadBalancer") or {}).get("ingress")) and spec.get("type") != "LoadBalancer":
        text = "Forbidden: may only be used when `spec.type` is 'LoadBalancer'"
        yield Cause(FORBIDDEN, text, "status.loadBalancer.ingress")
    before = (old or {}).get("spec") or {}
    if before.get("type") != "ExternalName" and spec.get("type") != "ExternalName":
        for name, shown in (("clusterIP", json.dumps(spec.get("clusterIP"))),):
            if before.get(name) and before[name] != spec.get(name):
                text = "may not change once set"
                yield Cause(INVALID, f"Invalid value: [{shown}]: {text}", "spec.clusterIPs[0]")


def _claim(claim: Object, old: Object | None) -> Causes:
    spec = claim["spec"]
    if not spec.get("accessModes"):
        yield Cause(REQUIRED, "Required value: at least 1 access mode is required", "spec.accessModes")
    if not ((spec.get("resources") or {}).get("requests") or {}).get("storage"):
        yield Cause(REQUIRED, "Required value", "spec.resources[storage]")
    if old is None:
        return
    free = {"resources", "volumeAttributesClassName"} | (set() if old["spec"].get("volumeName") else {"volumeName"})
    if any(spec.get(k) != old["spec"].get(k) for k in {*spec, *old["spec"]} - free):
        text = "Forbidden: spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims"
        yield Cause(FORBIDDEN, text, "spec")


def _volume(volume: Object, old: Object | None) -> Causes:
    spec = volume.get("spec") or {}
    if not spec.get("accessModes"):
        yield Cause(REQUIRED, "Required value", "spec.accessModes")
    if not spec.get("capacity"):
        yield Cause(REQUIRED, "Required value", "spec.capacity")
    plain = {"capacity", "accessModes", "persistentVolumeReclaimPolicy", "storageClassName", "volumeMode", "claimRef", "mountOptions"}
    sources = set(spec) - plain - {"nodeAffinity", "volumeAttributesClassName"}
    if not sources:
        yield Cause(REQUIRED, "Required value: must specify a volume type", "spec")
    if old is not None and any(spec.get(s) != old["spec"].get(s) for s in sources | (set(old["spec"]) - plain - {"nodeAffinity"})):
        yield Cause(FORBIDDEN, "Forbidden: spec.persistentvolumesource is immutable after creation", "spec.persistentvolumesource")


def _data(obj: Object, old: Object | None) -> Causes:
    for part in ("data", "binaryData"):
        for key in obj.get(part) or ():
            if not KEY.fullmatch(key) or key in (".", ".."):
                text = "a valid config key must consist of alphanumeric characters, '-', '_' or '.'"
                text += " (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')"
                yield Cause(INVALID, f"Invalid value: {json.dumps(key)}: {text}", f"{part}[{key}]")
    if sum(len(str(v)) for p in ("data", "binaryData") for v in (obj.get(p) or {}).values()) > 1 << 20:
        yield Cause("FieldValueTooLong", "Too long: may not be more than 1048576 bytes", "")
    if old is not None and old.get("immutable"):
        for part in ("data", "binaryData"):
            if obj.get(part) != old.get(part):
                yield Cause(FORBIDDEN, "Forbidden: field is immutable when `immutable` is set", part)
        if not obj.get("immutable"):
            yield Cause(FORBIDDEN, "Forbidden: field is immutable when `immutable` is set", "immutable")


def _lease(lease: Object, old: Object | None) -> Causes:
    spec = lease.get("spec") or {}
    if isinstance(spec.get("leaseDurationSeconds"), int) and spec["leaseDurationSeconds"] <= 0:
        text = f"Invalid value: {spec['leaseDurationSeconds']}: must be greater than 0"
        yield Cause(INVALID, text, "spec.leaseDurationSeconds")
    if isinstance(spec.get("leaseTransitions"), int) and spec["leaseTransitions"] < 0:
        text = f"Invalid value: {spec['leaseTransitions']}: must be greater than or equal to 0"
        yield Cause(INVALID, text, "spec.leaseTransitions")


def _event(event: Object, old: Object | None) -> Causes:
    namespace = event["involvedObject"].get("namespace", "")
    own = event["metadata"].get("namespace")
    if namespace != own and not (not namespace and own in ("default", "kube-system", "")):
        yield Cause(INVALID, f"Invalid value: {json.dumps(namespace)}: does not match event.namespace", "involvedObject.namespace")


CHECKS: dict[str, Callable[[Object, Object | None], Causes]] = {
    "Pod": _pod,
    "Job": _job,
    "StatefulSet": _stateful_set,
    "Service": _service,
    "PersistentVolumeClaim": _claim,
    "PersistentVolume": _volume,
    "ConfigMap": _data,
    "Secret": _data,
    "CertificateSigningRequest": certificates.check,
    "NetworkPolicy": policies.check,
    "Lease": _lease,
    "Event": _event,
}
IMMUTABLE = {
    "Job": ("spec.selector", "spec.completionMode"),
    "Secret": ("type",),
    "RoleBinding": ("roleRef",),
    "ClusterRoleBinding": ("roleRef",),
    "StorageClass": ("provisioner", "parameters", "reclaimPolicy", "volumeBindingMode"),
    "EndpointSlice": ("addressType",),
    "PersistentVolume": ("spec.volumeMode",),
    "CustomResourceDefinition": ("spec.group", "spec.scope", "spec.names.kind", "spec.names.plural"),
}
