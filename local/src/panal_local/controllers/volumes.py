"""Binds volume claims: to a PersistentVolume that a user created and that fits, else to a new folder if the claim's class is `local` or
not set.

A provisioned folder is deleted with its claim (reclaim policy Delete). A PersistentVolume that a user created stays, with its data.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from panal.kube.objects import Object, uid_of
from panal_local.quantity import exact

CLASS = "local"
MADE_BY = {"pv.kubernetes.io/provisioned-by": "panal.io/folder"}


@dataclass(frozen=True, slots=True)
class Bound:
    """The volume for a claim. `make`: it has to be created."""

    volume: Object
    make: bool = False


def decide(claim: Object, volumes: Iterable[Object], folder: Path) -> Bound | None:
    """Returns None if no volume fits, or if the class is not `local`."""
    known = {v["metadata"]["name"]: v for v in volumes}
    spec = claim["spec"]
    if spec.get("volumeName"):
        return Bound(known[spec["volumeName"]]) if spec["volumeName"] in known else None
    fitting = [v for v in known.values() if _fits(v, claim)]
    if fitting:
        return Bound(min(fitting, key=lambda v: (not _is_for(v, claim), _size(v["spec"]["capacity"]))))
    return Bound(_volume(claim, folder), make=True) if spec.get("storageClassName", CLASS) == CLASS else None


def _is_for(volume: Object, claim: Object) -> bool:
    ref = volume["spec"].get("claimRef") or {}
    return (ref.get("namespace"), ref.get("name")) == (claim["metadata"]["namespace"], claim["metadata"]["name"]) and ref.get("uid") in (
        None,
        "",
        uid_of(claim),
    )


def _fits(volume: Object, claim: Object) -> bool:
    spec, wanted = volume["spec"], claim["spec"]
    if spec.get("claimRef"):
        return _is_for(volume, claim)
    if (
        spec.get("storageClassName", "") != wanted.get("storageClassName", CLASS)
        or volume["metadata"].get("annotations", {}).items() >= MADE_BY.items()
    ):
        return False
    enough = _size(spec["capacity"]) >= _size(wanted["resources"]["requests"])
    return enough and set(wanted["accessModes"]) <= set(spec["accessModes"])


def _size(resources: dict[str, Any]) -> Fraction:
    return exact(str(resources["storage"]))


def _volume(claim: Object, folder: Path) -> Object:
    name = f"pvc-{uid_of(claim)}"
    spec = {
        "capacity": {"storage": claim["spec"]["resources"]["requests"]["storage"]},
        "accessModes": claim["spec"]["accessModes"],
        "persistentVolumeReclaimPolicy": "Delete",
        "storageClassName": CLASS,
        "hostPath": {"path": str(folder / name), "type": "DirectoryOrCreate"},
        "claimRef": reference(claim),
    }
    return {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": name, "annotations": MADE_BY}, "spec": spec}


def reference(claim: Object) -> dict[str, Any]:
    metadata = claim["metadata"]
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "namespace": metadata["namespace"],
        "name": metadata["name"],
        "uid": uid_of(claim),
    }


def is_ours(volume: Object) -> bool:
    return bool((volume["metadata"].get("annotations") or {}).items() >= MADE_BY.items())


def released(volume: Object, claims: Iterable[Object]) -> bool:
    """Whether the claim that the volume was bound to no longer exists."""
    ref = volume["spec"].get("claimRef") or {}
    return bool(ref.get("uid")) and all(uid_of(c) != ref["uid"] for c in claims)
