"""Schemas of the built-in kinds: fields, types and descriptions from lightkube's models, the rest from the tables here.

The tables add what the models lack: the keys of lists that merge, and the defaults that the platform relies on. A schema is created when
it is first needed.
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
CODED: Schema = {"type": "object", "additionalProperties": BYTES}
UNTYPED = {"FieldsV1", "RawExtension", "JSON", "Any", "JSONSchemaProps", "JSONSchemaPropsOrBool"}
OF_QUANTITIES = {"capacity", "allocatable", "requests", "limits"}
# Model.field: the keys by which items merge; "" for a set. PATCHED has the merge key of strategic merge patches where it differs.
MERGED = {
    "ObjectMeta.ownerReferences": "uid", "ObjectMeta.finalizers": "",
    "PodSpec.containers": "name", "PodSpec.initContainers": "name", "PodSpec.volumes": "name", "PodSpec.imagePullSecrets": "name",
    "PodSpec.schedulingGates": "name",
    "Container.env": "name", "Container.ports": "containerPort protocol", "Container.volumeMounts": "mountPath",
    "ServiceSpec.ports": "port protocol",
}  # fmt: skip
PATCHED = {"Container.ports": "containerPort", "ServiceSpec.ports": "port"}
DEFAULTS: dict[str, Any] = {
    "ContainerPort.protocol": "TCP", "ServicePort.protocol": "TCP", "ServiceSpec.type": "ClusterIP", "PodSpec.restartPolicy": "Always",
    "StatefulSetSpec.replicas": 1, "StorageClass.reclaimPolicy": "Delete", "Secret.type": "Opaque",
    "PersistentVolumeSpec.persistentVolumeReclaimPolicy": "Retain",
}  # fmt: skip
GIVEN: dict[str, Schema] = {
    "Secret.data": CODED, "ConfigMap.binaryData": CODED,
    "CertificateSigningRequestSpec.request": BYTES, "CertificateSigningRequestStatus.certificate": BYTES,
    "CertificateSigningRequestSpec.extra": LISTS,
}  # fmt: skip
# Required by the models, but set by the server or omitted by some writers.
NOT_REQUIRED = {"StatefulSetSpec.serviceName", "CustomResourceDefinitionStatus.storedVersions", "Event.metadata"}


def maker(group: str, version: str, kind: str) -> Callable[[], Schema]:
    return partial(schema_of, f"{(group or 'core').split('.')[0]}_{version}", kind)


@cache
def schema_of(module: str, kind: str) -> Schema:
    return _object(import_module(f"{MODELS}.{module}"), kind, {})


def _object(module: ModuleType, model: str, seen: dict[str, Schema]) -> Schema:
    found = getattr(module, model)
    name = f"{module.__name__}.{model}"
    if name in seen:
        return ANY  # a recursive type
    about = _descriptions(found.__doc__ or "")
    properties = {}
    for field, annotation in found.__annotations__.items():
        properties[_plain(field)] = _field(module, model, _plain(field), annotation, {**seen, name: ANY}, about)
    required = [f for f in found.__annotations__ if "Optional" not in found.__annotations__[f] and f"{model}.{f}" not in NOT_REQUIRED]
    schema: Schema = {"type": "object", "description": about.get("", ""), "properties": properties}
    return schema | ({"required": [_plain(f) for f in required]} if required else {})


def _plain(field: str) -> str:
    """The API's name of a field that is a keyword in Python, such as from_."""
    return {"ref_": "$ref", "schema_": "$schema"}.get(field, field.rstrip("_"))


def _field(module: ModuleType, model: str, field: str, annotation: str, seen: dict[str, Schema], about: dict[str, str]) -> Schema:
    name = f"{model}.{field}"
    schema = dict(_type(module, field, re.sub(r"^Optional\[(.*)\]$", r"\1", annotation), seen))
    if field in about:
        schema["description"] = about[field]
    if schema.get("type") == "array":
        keys = "type" if name.endswith("Status.conditions") else MERGED.get(name)
        schema["x-kubernetes-list-type"] = "atomic" if keys is None else "map" if keys else "set"
        if keys:
            schema["x-kubernetes-list-map-keys"] = keys.split()
            schema["x-kubernetes-patch-merge-key"] = PATCHED.get(name, keys)
    if name in DEFAULTS:
        schema["default"] = DEFAULTS[name]
    return schema | GIVEN.get(name, {})


def _type(module: ModuleType, field: str, annotation: str, seen: dict[str, Schema]) -> Schema:
    if annotation.startswith("List["):
        return {"type": "array", "items": _type(module, field, annotation[5:-1], seen)}
    if annotation in SCALARS:
        return SCALARS[annotation]
    if annotation in ("dict", "Dict"):
        return QUANTITIES if field in OF_QUANTITIES else STRINGS
    if annotation.split(".")[-1] in UNTYPED:
        return ANY
    owner, _, model = annotation.rpartition(".")
    home = import_module(f"{MODELS}.{owner}") if owner else module
    alias = getattr(home, model)
    if alias is datetime:
        return SCALARS["datetime"]
    return _object(home, model, seen) if hasattr(alias, "__annotations__") else ANY


def _descriptions(text: str) -> dict[str, str]:
    """The descriptions of the fields; that of the model itself has the key ""."""
    head, *rest = re.split(r"\*\*parameters\*\*", text)
    found = {"": " ".join(head.split())}
    for part in re.split(r"\n\s*\* \*\*", rest[0])[1:] if rest else ():
        name, _, words = part.partition("**")
        found[_plain(name)] = " ".join(words.partition(" - ")[2].split())
    return found
