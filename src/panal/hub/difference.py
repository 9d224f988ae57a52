"""Whether an object must be applied: a no-op reconcile writes nothing. Pure.

An object is as wanted if everything wanted is in it, and if it was applied from the very same wish: the hash tells a field that we no
longer want from one that the API server or somebody else has set.
"""

from __future__ import annotations

import hashlib

import msgspec

from panal.api.names import ANNOTATION_HASH
from panal.kube.objects import Object


def stamped(desired: Object) -> Object:
    """`desired` with the hash of itself as an annotation."""
    digest = hashlib.sha256(msgspec.json.encode(desired, order="sorted")).hexdigest()[:16]
    metadata = desired["metadata"]
    annotations = {**(metadata.get("annotations") or {}), ANNOTATION_HASH: digest}
    return {**desired, "metadata": {**metadata, "annotations": annotations}}


def needs_apply(wanted: Object, live: Object | None) -> bool:
    """`wanted` is stamped."""
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
