"""The add-on API in version v1beta1, translated. panal uses its objects in the form of v1alpha1; a hub may have either version or both.

These are the differences in what panal reads or writes. Each function also takes a part of an object, such as a patch, and returns a copy.
"""

from __future__ import annotations

from typing import Any

Object = dict[str, Any]
SIGNER, KUBE_CLIENT = "customSigner", "kubeClient"
KUBE_CLIENT_SIGNER = "kubernetes.io/kube-apiserver-client"
NO_DEFAULT = "__reserved_no_default__"  # written by OCM's conversion for a kind of configuration that has no default


def from_v1beta1(obj: Object) -> Object:
    found = _renamed(_renamed(obj, "spec", "defaultConfigs", "supportedConfigs"), "status", "defaultConfigReferences", REFERENCES)
    _translate(found, "spec", "supportedConfigs", _supported)
    _translate(found, "status", "registrations", _registration)
    return found


def to_v1beta1(obj: Object) -> Object:
    found = _renamed(_renamed(obj, "spec", "supportedConfigs", "defaultConfigs"), "status", REFERENCES, "defaultConfigReferences")
    _translate(found, "spec", "defaultConfigs", _default)
    _translate(found, "status", "registrations", _typed_registration)
    return found


REFERENCES = "defaultconfigReferences"


def _renamed(obj: Object, part: str, old: str, new: str) -> Object:
    """A copy, as deep as it is changed."""
    if old not in (obj.get(part) or {}):
        return obj | {part: dict(obj[part])} if obj.get(part) else dict(obj)
    return obj | {part: {new if key == old else key: value for key, value in obj[part].items()}}


def _translate(obj: Object, part: str, field: str, one: Any) -> None:
    found = obj.get(part) or {}
    if found.get(field) is not None:
        found[field] = [one(each) for each in found[field]]


def _supported(default: Object) -> Object:
    kind = {key: default.get(key, "") for key in ("group", "resource")}
    reference = {key: default[key] for key in ("namespace", "name") if default.get(key)}
    named = reference.get("name", NO_DEFAULT) != NO_DEFAULT
    return kind | ({"defaultConfig": reference} if named else {})


def _default(supported: Object) -> Object:
    kind = {key: value for key, value in supported.items() if key != "defaultConfig"}
    return kind | (supported.get("defaultConfig") or {"name": NO_DEFAULT})


def _registration(typed: Object) -> Object:
    if typed.get("type") == SIGNER:
        return dict(typed.get(SIGNER) or {})
    return {"signerName": KUBE_CLIENT_SIGNER} | {k: v for k, v in (typed.get(KUBE_CLIENT) or {}).items() if k == "subject"}


def _typed_registration(registration: Object) -> Object:
    if registration.get("signerName") == KUBE_CLIENT_SIGNER:
        return {"type": KUBE_CLIENT, KUBE_CLIENT: {k: v for k, v in registration.items() if k != "signerName"}}
    return {"type": SIGNER, SIGNER: dict(registration)}
