"""ManifestWorks in the watch cache: few fields and the compressed rest, since a hub has one for each cluster and run.

`trim` makes the form that the cache stores; `whole` restores the work without status, to compare it with the desired one.
"""

from __future__ import annotations

import sys
import zlib
from collections.abc import Iterable
from typing import Any, NamedTuple

import msgspec

from panal.api import names
from panal.api.names import ClusterName
from panal.hub.views import created, time_of
from panal.kube.decoding import decode
from panal.kube.objects import Object, condition
from panal.lifecycle import partitions
from panal.lifecycle.world import WorkView

KEPT = ("uid", "resourceVersion", "generation", "creationTimestamp", "deletionTimestamp")
DEEPEST = 50  # levels of the spec; a Pod template needs less than half of them
TOLD = ("Pod", names.RECORD_KIND)  # the manifests with feedback
VIEW, PACKED = "view", "packed"  # fields that no ManifestWork has
SAMPLES = 64
_samples: dict[str, bytes] = {}  # by name of works, which the works of a run share: one of them, as JSON


class Packed(NamedTuple):
    """`data`: the compressed JSON. `sample`: that of a work of the same name, from which it differs little."""

    data: bytes
    sample: bytes


def trim(work: Object) -> Object:
    """The form that the cache stores: metadata, the conditions, `packed` (the compressed work without status) and `view` (what decisions
    read)."""
    metadata = work["metadata"]
    kept = {key: metadata[key] for key in KEPT if key in metadata}
    kept["labels"] = {sys.intern(key): sys.intern(value) for key, value in (metadata.get("labels") or {}).items()}
    rest = {"metadata": {key: value for key, value in metadata.items() if key != "managedFields"}, "spec": work.get("spec") or {}}
    return {
        "apiVersion": "work.open-cluster-management.io/v1",
        "kind": "ManifestWork",
        "metadata": {"name": sys.intern(metadata["name"]), "namespace": sys.intern(metadata["namespace"]), **kept},
        "status": {"conditions": [_trimmed(c) for c in (work.get("status") or {}).get("conditions") or ()]},
        PACKED: _pack(metadata["name"], _encoded(rest)),
        VIEW: view(work),
    }


def _encoded(rest: Object) -> bytes:
    try:
        return msgspec.json.encode(rest)
    except RecursionError:
        return msgspec.json.encode(rest | {"spec": {}})


def _is_nested_deeply(value: Object) -> bool:
    """Whether `value` is nested deeper than DEEPEST levels, which code that calls itself for each level may not survive."""
    level: list[Any] = [value]
    for _ in range(DEEPEST):
        items: list[object] = []
        for each in level:
            items += each.values() if isinstance(each, dict) else each
        level = [item for item in items if isinstance(item, (dict, list))]
        if not level:
            return False
    return True


def whole(trimmed: Object) -> Object:
    """The work without status. A spec that is nested too deeply is left out, so that it is written again."""
    packed: Packed = trimmed[PACKED]
    unpacking = zlib.decompressobj(zdict=packed.sample)
    rest: Object = decode(unpacking.decompress(packed.data) + unpacking.flush())
    if _is_nested_deeply(rest["spec"]):
        rest["spec"] = {}
    return {"apiVersion": trimmed["apiVersion"], "kind": trimmed["kind"], **rest}


def _pack(name: str, text: bytes) -> Packed:
    sample = _samples.get(name)
    if sample is None and len(_samples) < SAMPLES:
        sample = _samples[name] = text
    sample = sample or next(iter(_samples.values()))
    packing = zlib.compressobj(level=1, zdict=sample)
    return Packed(packing.compress(text) + packing.flush(), sample)


def manifests(work: Object) -> list[Object]:
    """The manifests of a work that is not trimmed."""
    found = ((work.get("spec") or {}).get("workload") or {}).get("manifests") or ()
    return [m for m in found if isinstance(m, dict)]


def view(work: Object) -> WorkView:
    """What decisions read of a work that is not trimmed. Fields that do not exist yet are tolerated."""
    metadata = work["metadata"]
    applied = condition(work, "Applied")
    current = applied.get("observedGeneration") == metadata.get("generation")
    reported = ((work.get("status") or {}).get("resourceStatus") or {}).get("manifests") or ()
    told: dict[str, Any] = next((m for m in reported if (m.get("resourceMeta") or {}).get("kind") in TOLD), {})
    exists = any(c.get("type") == "Available" and c.get("status") == "True" for c in told.get("conditions") or ())
    return WorkView(
        cluster=ClusterName(sys.intern(metadata["namespace"])),
        name=sys.intern(metadata["name"]),
        uid=metadata["uid"],
        created=created(work),
        deleting_since=time_of(metadata.get("deletionTimestamp")),
        partition=partitions.read(partitions.text(manifests(work))),
        applied={"True": True, "False": False}.get(applied.get("status", "")) if current else None,
        applied_message=_why_not_applied(reported) or ("" if current and applied.get("status") == "True" else applied.get("message", "")),
        pod_exists=exists,
        feedback=_feedback(told) if exists else {},
    )


def _trimmed(condition: Object) -> Object:
    """The message only if the condition is not True."""
    left_out = ("lastTransitionTime", "message") if condition.get("status") == "True" else ("lastTransitionTime",)
    return {key: value for key, value in condition.items() if key not in left_out}


def _why_not_applied(reported: Iterable[Object]) -> str:
    for manifest in reported:
        for each in manifest.get("conditions") or ():
            if each.get("type") == "Applied" and each.get("status") == "False":
                return str(each.get("message", ""))
    return ""


def _feedback(manifest: Object) -> dict[str, str | int | bool]:
    """An agent may write any value that the schema of a ManifestWork permits, also a type without a value of that type."""
    found = {}
    for each in (manifest.get("statusFeedback") or {}).get("values") or ():
        typed = each.get("fieldValue") or {}
        value = typed.get(str(typed.get("type", "")).lower())
        if typed.get("type") in ("String", "Integer", "Boolean") and value is not None:
            found[sys.intern(str(each.get("name", "")))] = value
    return found
