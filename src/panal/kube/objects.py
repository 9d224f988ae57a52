"""Kubernetes objects as plain JSON dicts, and functions that read them."""

from __future__ import annotations

from typing import Any, NamedTuple

Object = dict[str, Any]
Objects = list[Object]


class Key(NamedTuple):
    """Identifies an object within its kind. `namespace` is empty for cluster-scoped objects."""

    namespace: str
    name: str


def key_of(obj: Object) -> Key:
    metadata = obj["metadata"]
    return Key(metadata.get("namespace", ""), metadata["name"])


def uid_of(obj: Object) -> str:
    """Empty for an object that no API server has stored."""
    return str(obj["metadata"].get("uid", ""))


def version_of(obj: Object) -> str:
    return str(obj["metadata"].get("resourceVersion", ""))


def labels_of(obj: Object) -> dict[str, str]:
    labels: dict[str, str] | None = obj["metadata"].get("labels")
    return labels or {}


def conditions_of(obj: Object) -> Objects:
    return (obj.get("status") or {}).get("conditions") or []


def condition(obj: Object, type_: str) -> Object:
    """Empty if there is no condition of that type."""
    return next((c for c in conditions_of(obj) if c.get("type") == type_), {})


def holds(obj: Object, type_: str) -> bool:
    """Whether the condition of that type is True."""
    return condition(obj, type_).get("status") == "True"


def owner_uids(obj: Object) -> tuple[str, ...]:
    return tuple(owner["uid"] for owner in obj["metadata"].get("ownerReferences") or ())


def drop_managed_fields(obj: Object) -> Object:
    """Removes managedFields, which are often half of an object and are not needed. Changes `obj`."""
    obj["metadata"].pop("managedFields", None)
    return obj
