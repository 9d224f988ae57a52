"""Whether an object must be applied. A reconcile that changes nothing writes nothing. Pure.

An object is up to date if it contains all fields of the desired object and has its hash. The hash distinguishes a field that is no longer
desired from one that the API server or another client has set.
"""

from __future__ import annotations

import hashlib

import msgspec

from panal.api.names import ANNOTATION_HASH
from panal.kube.objects import Object


def stamped(desired: Object) -> Object:
    """`desired` with its hash as an annotation."""
    digest = hashlib.sha256(msgspec.json.encode(desired, order="sorted")).hexdigest()[:16]
    metadata = desired["metadata"]
    annotations = {**(metadata.get("annotations") or {}), ANNOTATION_HASH: digest}
    return {**desired, "metadata": {**metadata, "annotations": annotations}}


def needs_apply(wanted: Object, live: Object | None) -> bool:
    """Whether `live` differs from `wanted`, which is stamped."""
    return live is None or not contains(live, wanted)


def contains(live: object, wanted: object) -> bool:
    """Whether every field of `wanted` is in `live`; lists are compared item by item."""
    if live is wanted:
        return True
    if isinstance(wanted, dict):
        return isinstance(live, dict) and all(key in live and contains(live[key], value) for key, value in wanted.items())
    if isinstance(wanted, list):
        return isinstance(live, list) and len(live) == len(wanted) and all(map(contains, live, wanted))
    return live == wanted
