"""Schemas of the kinds that are built in: fields, types and descriptions from lightkube's models, the rest from the tables here.

The tables say what models do not: keys of lists that merge, defaults, and what may not change. Schemas are made when first asked for.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime
from functools import cache, partial
from importlib import import_module
from types import ModuleType
from typing import Any

from panal_local.apiserver.schema import ANY, Schema

MODELS = "lightkube.models"
BYTES: Schema = {"type": "string", "format": "byte"}
SCALARS: dict[str, Schema] = {
    "str": {"type": "string"},
    "bool": {"type": "boolean"},
    "int": {"type": "integer", "format": "int64"},
    "float": {"type": "number"},
    "datetime": {"type": "string", "format": "date-time"},
    "resource.Quantity": {"x-kubernetes-int-or-string": True, "x-quantity": True},
    "util_intstr.IntOrString": {"x-kubernetes-int-or-string": True},
    "IntOrString": {"x-kubernetes-int-or-string": True},
    "Quantity": {"x-kubernetes-int-or-string": True, "x-quantity": True},
}
STRINGS: Schema = {"type": "object", "additionalProperties": {"type": "string"}}
QUANTITIES: Schema = {"type": "object", "additionalProperties": SCALARS["resource.Quantity"]}
LISTS: Schema = {"type": "object", "additionalProperties": {"type": "array", "items": {"type": "string"}}}
UNTYPED = {"FieldsV1", "runtime.RawExtension", "RawExtension", "JSON", "Any", "JSONSchemaProps", "JSONSchemaPropsOrBool", "Dict"}
OF_QUANTITIES = {"capacity", "allocatable", "requests", "limits", "overhead", "allocatedResources", "hard", "used", "default", "allocated"}
OF_LISTS = {"extra"}
# Model.field: keys by which items merge; by which a strategic merge patch finds them, where that differs; "" for a set.
MERGED = {
    "ObjectMeta.ownerReferences": "uid", "ObjectMeta.finalizers": "",
    "PodSpec.containers": "name", "PodSpec.initContainers": "name", "PodSpec.ephemeralContainers": "name", "PodSpec.volumes": "name",
    "PodSpec.imagePullSecrets": "name", "PodSpec.hostAliases": "ip", "PodSpec.topologySpreadConstraints": "topologyKey whenUnsatisfiable",
    "Container.env": "name", "Container.ports": "containerPort protocol", "Container.volumeMounts": "mountPath",
    "Container.volumeDevices": "devicePath",
    "PodStatus.conditions": "type", "PodStatus.podIPs": "ip", "PodStatus.hostIPs": "ip",
    "ServiceSpec.ports": "port protocol", "ServiceStatus.conditions": "type",
    "ServiceAccount.secrets": "name",
    "NodeStatus.conditions": "type", "NodeStatus.addresses": "type", "NodeSpec.podCIDRs": "",
    "NamespaceStatus.conditions": "type", "PersistentVolumeClaimStatus.conditions": "type",
    "JobStatus.conditions": "type", "StatefulSetStatus.conditions": "type", "CertificateSigningRequestStatus.conditions": "type",
    "CustomResourceDefinitionStatus.conditions": "type", "ValidatingAdmissionPolicyStatus.conditions": "type",
    "ValidatingAdmissionPolicySpec.validations": None, "ServiceSpec.clusterIPs": None,
}  # fmt: skip
PATCHED = {"Container.ports": "containerPort", "ServiceSpec.ports": "port", "PodSpec.topologySpreadConstraints": "topologyKey"}
ATOMIC_MAPS = {
    "LabelSelector", "OwnerReference", "SecretKeySelector", "ConfigMapKeySelector", "ObjectFieldSelector", "ResourceFieldSelector",
    "LocalObjectReference", "ObjectReference", "TypedLocalObjectReference", "NodeSelector", "SecretReference",
    "RoleRef", "TypedObjectReference",
}  # fmt: skip
ATOMIC_FIELDS = {"PodSpec.nodeSelector", "ServiceSpec.selector"}
CODED: dict[str, Schema] = {
    "Secret.data": {"type": "object", "additionalProperties": BYTES},
    "ConfigMap.binaryData": {"type": "object", "additionalProperties": BYTES},
    "CertificateSigningRequestSpec.request": BYTES,
    "CertificateSigningRequestStatus.certificate": BYTES,
}
DEFAULTS: dict[str, Any] = {
    "PodSpec.restartPolicy": "Always", "PodSpec.dnsPolicy": "ClusterFirst", "PodSpec.terminationGracePeriodSeconds": 30,
    "PodSpec.schedulerName": "default-scheduler", "PodSpec.securityContext": {},
    "Container.terminationMessagePath": "/dev/termination-log", "Container.terminationMessagePolicy": "File", "Container.resources": {},
    "ContainerPort.protocol": "TCP", "ServicePort.protocol": "TCP", "EndpointPort.protocol": "TCP", "NetworkPolicyPort.protocol": "TCP",
    "Probe.timeoutSeconds": 1, "Probe.periodSeconds": 10, "Probe.successThreshold": 1, "Probe.failureThreshold": 3,
    "HTTPGetAction.scheme": "HTTP", "HTTPGetAction.path": "/", "HostPathVolumeSource.type": "", "GRPCAction.service": "",
    "ConfigMapVolumeSource.defaultMode": 420, "SecretVolumeSource.defaultMode": 420, "ProjectedVolumeSource.defaultMode": 420,
    "DownwardAPIVolumeSource.defaultMode": 420, "ServiceAccountTokenProjection.expirationSeconds": 3600,
    "ObjectFieldSelector.apiVersion": "v1",
    "JobSpec.backoffLimit": 6, "JobSpec.completionMode": "NonIndexed", "JobSpec.suspend": False,
    "JobSpec.podReplacementPolicy": "TerminatingOrFailed", "JobSpec.manualSelector": False,
    "StatefulSetSpec.replicas": 1, "StatefulSetSpec.podManagementPolicy": "OrderedReady", "StatefulSetSpec.revisionHistoryLimit": 10,
    "StatefulSetSpec.updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 0}},
    "StatefulSetSpec.persistentVolumeClaimRetentionPolicy": {"whenDeleted": "Retain", "whenScaled": "Retain"},
    "ServiceSpec.type": "ClusterIP", "ServiceSpec.sessionAffinity": "None", "ServiceSpec.internalTrafficPolicy": "Cluster",
    "PersistentVolumeClaimSpec.volumeMode": "Filesystem", "PersistentVolumeSpec.volumeMode": "Filesystem",
    "PersistentVolumeSpec.persistentVolumeReclaimPolicy": "Retain",
    "StorageClass.reclaimPolicy": "Delete", "StorageClass.volumeBindingMode": "Immediate", "Secret.type": "Opaque",
    "CustomResourceDefinitionSpec.conversion": {"strategy": "None"},
}  # fmt: skip
ENUMS = {
    "PodSpec.restartPolicy": "Always OnFailure Never", "Container.imagePullPolicy": "Always IfNotPresent Never",
    "ContainerPort.protocol": "TCP UDP SCTP", "ServicePort.protocol": "TCP UDP SCTP", "ServiceSpec.sessionAffinity": "ClientIP None",
    "ServiceSpec.type": "ClusterIP ExternalName LoadBalancer NodePort",
    "PodSpec.dnsPolicy": "ClusterFirst ClusterFirstWithHostNet Default None",
    "Container.terminationMessagePolicy": "File FallbackToLogsOnError", "JobSpec.completionMode": "NonIndexed Indexed",
    "StatefulSetSpec.podManagementPolicy": "OrderedReady Parallel",
    "PersistentVolumeSpec.persistentVolumeReclaimPolicy": "Delete Recycle Retain",
    "EndpointSlice.addressType": "IPv4 IPv6 FQDN", "StorageClass.volumeBindingMode": "Immediate WaitForFirstConsumer",
}  # fmt: skip
# Required by the models, but filled with zero values or by the server itself where it is left out.
NOT_REQUIRED = {
    "StatefulSetSpec.serviceName", "JobSpec.template", "CertificateSigningRequestSpec.signerName", "CertificateSigningRequestSpec.username",
    "CustomResourceDefinitionStatus.storedVersions", "Event.metadata",
}  # fmt: skip


def maker(group: str, version: str, kind: str) -> Callable[[], Schema]:
    return partial(schema_of, f"{(group or 'core').split('.')[0]}_{version}", kind)


@cache
def schema_of(module: str, kind: str) -> Schema:
    return _object(import_module(f"{MODELS}.{module}"), kind, {})


def _object(module: ModuleType, model: str, seen: dict[str, Schema]) -> Schema:
    found = getattr(module, model)
    name = f"{module.__name__}.{model}"
    if name in seen:
        return ANY  # a type that holds itself
    about = _descriptions(found.__doc__ or "")
    properties = {}
    for field, annotation in found.__annotations__.items():
        properties[_plain(field)] = _field(module, model, _plain(field), annotation, {**seen, name: ANY}, about)
    required = [f for f in found.__annotations__ if "Optional" not in found.__annotations__[f] and f"{model}.{f}" not in NOT_REQUIRED]
    schema: Schema = {"type": "object", "description": about.get("", ""), "properties": properties}
    if required:
        schema["required"] = [_plain(f) for f in required]
    if model in ATOMIC_MAPS:
        schema["x-kubernetes-map-type"] = "atomic"
    return schema


def _plain(field: str) -> str:
    """A field that is a word of Python, such as from_, has its own name again."""
    return {"ref_": "$ref", "schema_": "$schema"}.get(field, field.rstrip("_"))


def _field(module: ModuleType, model: str, field: str, annotation: str, seen: dict[str, Schema], about: dict[str, str]) -> Schema:
    name = f"{model}.{field}"
    schema = dict(_type(module, field, re.sub(r"^Optional\[(.*)\]$", r"\1", annotation), seen))
    if field in about:
        schema["description"] = about[field]
    keys = MERGED.get(name)
    if schema.get("type") == "array":
        schema["x-kubernetes-list-type"] = "atomic" if keys is None else "map" if keys else "set"
        if keys:
            schema["x-kubernetes-list-map-keys"] = keys.split()
            schema["x-kubernetes-patch-merge-key"] = PATCHED.get(name, keys)
    if name in CODED:
        schema = {"description": schema.get("description", ""), **CODED[name]}
    if name in ATOMIC_FIELDS:
        schema["x-kubernetes-map-type"] = "atomic"
    if name in DEFAULTS:
        schema["default"] = DEFAULTS[name]
    if name in ENUMS:
        schema["enum"] = ENUMS[name].split()
    return schema


def _type(module: ModuleType, field: str, annotation: str, seen: dict[str, Schema]) -> Schema:
    if annotation.startswith("List["):
        return {"type": "array", "items": _type(module, field, annotation[5:-1], seen)}
    if annotation in SCALARS:
        return SCALARS[annotation]
    if annotation in ("dict", "Dict"):
        return QUANTITIES if field in OF_QUANTITIES else LISTS if field in OF_LISTS else STRINGS
    if annotation.split(".")[-1] in {u.split(".")[-1] for u in UNTYPED}:
        return ANY
    owner, _, model = annotation.rpartition(".")
    home = import_module(f"{MODELS}.{owner}") if owner else module
    alias = getattr(home, model)
    if alias is datetime:
        return SCALARS["datetime"]
    return _object(home, model, seen) if hasattr(alias, "__annotations__") else ANY


def _descriptions(text: str) -> dict[str, str]:
    """Of the model itself under "", and of its fields."""
    head, *rest = re.split(r"\*\*parameters\*\*", text)
    found = {"": " ".join(head.split())}
    for part in re.split(r"\n\s*\* \*\*", rest[0])[1:] if rest else ():
        name, _, words = part.partition("**")
        found[_plain(name)] = " ".join(words.partition(" - ")[2].split())
    return found
