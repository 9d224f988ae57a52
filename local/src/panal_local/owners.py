"""References to the controller of an object."""

from __future__ import annotations

from panal.kube.objects import Object


def controller_reference(api_version: str, kind: str, owner: Object) -> Object:
    """The ownerReference that makes `owner`, of this kind, the controller of another object."""
    metadata = owner["metadata"]
    names = {"apiVersion": api_version, "kind": kind, "name": metadata["name"], "uid": metadata["uid"]}
    return names | {"controller": True, "blockOwnerDeletion": True}
