"""Cluster sets that others than the controller have bound in a namespace: naming one in a run there needs no right to bind it.

The admission policy cannot look for bindings, so the controller keeps a list of them in the annotations of a Role that the policy is
given: for each namespace the sets that are bound, and apart from them the sets that were bound earlier. The controller never creates a
binding for either: the API server may have admitted a run because of a binding that its owner has deleted since.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Mapping
from contextlib import suppress

from panal.api import names
from panal.kube import kinds
from panal.kube.cache import Cache
from panal.kube.client import Client
from panal.kube.errors import ApiError, NotFound
from panal.kube.kinds import Kind
from panal.kube.objects import Object, labels_of, version_of

log = logging.getLogger(__name__)

SETTLE = 0.1  # seconds for which changes are gathered
AGAIN = 5.0  # seconds until a list that could not be written is tried again
LOOK_AGAIN = 60.0  # seconds after which the list is looked at although no binding has changed: it may have been made again
Sets = dict[str, frozenset[str]]  # by namespace


class BoundSets:
    """`run` works until cancelled; `ready` is set once it is known what the list says."""

    def __init__(self, client: Client, cache: Cache, namespace: str) -> None:
        self._client = client
        self._cache = cache
        self._namespace = namespace
        self._known: Sets = {}
        self._changed = asyncio.Event()
        self.ready = asyncio.Event()

    def of_others(self, namespace: str) -> frozenset[str]:
        """The sets that are bound there by others, or were."""
        return self._known.get(namespace, frozenset())

    async def run(self) -> None:
        await self._cache.wait_synced(kinds.MANAGED_CLUSTER_SET_BINDING)
        self._cache.subscribe(self._on_change)
        while True:
            self._changed.clear()
            try:
                await self._publish()
            except ApiError as error:
                log.warning("the list of bound cluster sets could not be written: %s (retry in %.0f s)", error, AGAIN)
                await asyncio.sleep(AGAIN)
                continue
            with suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), LOOK_AGAIN)
                await asyncio.sleep(SETTLE)

    def _on_change(self, kind: Kind, _old: Object | None, _new: Object | None) -> None:
        if kind == kinds.MANAGED_CLUSTER_SET_BINDING:
            self._changed.set()

    async def _publish(self) -> None:
        """Nothing where the list is not there: then there is no policy that reads it."""
        try:
            found = await self._client.get(kinds.ROLE, self._namespace, names.BOUND_SETS)
        except NotFound:
            self.ready.set()
            return
        before = _listed_in(found)
        wanted = listed(before, self._known, self._cache.list(kinds.MANAGED_CLUSTER_SET_BINDING))
        self._known = known(wanted)  # before anybody can be let in because of it
        self.ready.set()
        if wanted != before:
            metadata = {"resourceVersion": version_of(found), "annotations": dict.fromkeys(before) | wanted}
            await self._client.merge_patch(kinds.ROLE, self._namespace, names.BOUND_SETS, {"metadata": metadata})


def _listed_in(role: Object) -> dict[str, str]:
    """Its annotations but for those of others, such as helm's."""
    ours = (names.ANNOTATION_BOUND, names.ANNOTATION_GONE)
    return {key: text for key, text in (role["metadata"].get("annotations") or {}).items() if key.startswith(ours)}


def listed(before: Mapping[str, str], remembered: Sets, bindings: Iterable[Object]) -> dict[str, str]:
    """The annotations, of which `before` is what they were. What is `remembered` stays, even if somebody has made the Role again."""
    bound: Sets = {}
    for binding in bindings:
        if not names.MANAGED_BY.items() <= labels_of(binding).items() and not binding["metadata"].get("deletionTimestamp"):
            namespace = binding["metadata"]["namespace"]
            bound[namespace] = bound.get(namespace, frozenset()) | {binding["metadata"]["name"]}
    gone = {namespace: sets - bound.get(namespace, frozenset()) for namespace, sets in _union(known(before), remembered).items()}
    return _annotations(bound, names.ANNOTATION_BOUND) | _annotations(gone, names.ANNOTATION_GONE)


def known(annotations: Mapping[str, str]) -> Sets:
    """Bound or gone, by namespace."""
    found: Sets = {}
    for key, text in annotations.items():
        namespace = key.rpartition("/")[2]
        found[namespace] = found.get(namespace, frozenset()) | frozenset(name for name in text.split(",") if name)
    return found


def _union(one: Sets, other: Sets) -> Sets:
    return {namespace: one.get(namespace, frozenset()) | other.get(namespace, frozenset()) for namespace in one | other}


def _annotations(sets: Sets, prefix: str) -> dict[str, str]:
    return {f"{prefix}{namespace}": ",".join(sorted(each)) for namespace, each in sorted(sets.items()) if each}
