"""Cluster sets that others than the controller have bound to a namespace: a run there may name them without the permission to bind them.

The admission policy cannot read bindings. The controller therefore keeps a list of them in the annotations of a Role, which is the policy's
parameter: for each namespace the sets that are bound, and separately those that were bound before. The controller creates no binding for
either: the API server may have admitted a run because of a binding that was deleted later.
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

SETTLE = 0.1  # seconds during which changes are collected
RETRY_AFTER = 5.0  # seconds after a failed write
CHECK_EVERY = 60.0  # seconds without a change after which the Role is read: it may have been recreated
Sets = dict[str, frozenset[str]]  # by namespace


class BoundSets:
    """`run` keeps the list up to date until it is cancelled. `ready` is set once the list has been read."""

    def __init__(self, client: Client, cache: Cache, namespace: str) -> None:
        self._client = client
        self._cache = cache
        self._namespace = namespace
        self._known: Sets = {}
        self._changed = asyncio.Event()
        self.ready = asyncio.Event()

    def of_others(self, namespace: str) -> frozenset[str]:
        """The sets that others have bound to the namespace, now or before."""
        return self._known.get(namespace, frozenset())

    async def run(self) -> None:
        await self._cache.wait_synced(kinds.MANAGED_CLUSTER_SET_BINDING)
        self._cache.subscribe(self._on_change)
        while True:
            self._changed.clear()
            try:
                await self._publish()
            except ApiError as error:
                log.warning("cannot write the list of bound cluster sets: %s (retry in %.0f s)", error, RETRY_AFTER)
                await asyncio.sleep(RETRY_AFTER)
                continue
            with suppress(TimeoutError):
                async with asyncio.timeout(CHECK_EVERY):
                    await self._changed.wait()
                await asyncio.sleep(SETTLE)

    def _on_change(self, kind: Kind, _old: Object | None, _new: Object | None) -> None:
        if kind == kinds.MANAGED_CLUSTER_SET_BINDING:
            self._changed.set()

    async def _publish(self) -> None:
        """Writes the list if it has changed. Does nothing if the Role does not exist."""
        try:
            found = await self._client.get(kinds.ROLE, self._namespace, names.BOUND_SETS)
        except NotFound:
            self.ready.set()
            return
        before = _listed_in(found)
        wanted = listed(before, self._known, self._cache.list(kinds.MANAGED_CLUSTER_SET_BINDING))
        self._known = known(wanted)  # before the policy can admit a run by it
        self.ready.set()
        if wanted != before:
            metadata = {"resourceVersion": version_of(found), "annotations": dict.fromkeys(before) | wanted}
            await self._client.merge_patch(kinds.ROLE, self._namespace, names.BOUND_SETS, {"metadata": metadata})


def _listed_in(role: Object) -> dict[str, str]:
    """The annotations of the list, without others, such as those of Helm."""
    ours = (names.ANNOTATION_BOUND, names.ANNOTATION_GONE)
    return {key: text for key, text in (role["metadata"].get("annotations") or {}).items() if key.startswith(ours)}


def listed(before: Mapping[str, str], remembered: Sets, bindings: Iterable[Object]) -> dict[str, str]:
    """The new annotations. Sets in `before` or in `remembered` stay in the list, so that recreating the Role loses none."""
    bound: Sets = {}
    for binding in bindings:
        if not names.MANAGED_BY.items() <= labels_of(binding).items() and not binding["metadata"].get("deletionTimestamp"):
            namespace = binding["metadata"]["namespace"]
            bound[namespace] = bound.get(namespace, frozenset()) | {binding["metadata"]["name"]}
    former = {namespace: sets - bound.get(namespace, frozenset()) for namespace, sets in _union(known(before), remembered).items()}
    return _annotations(bound, names.ANNOTATION_BOUND) | _annotations(former, names.ANNOTATION_GONE)


def known(annotations: Mapping[str, str]) -> Sets:
    """The sets in the list by namespace, whether still bound or not."""
    found: Sets = {}
    for key, text in annotations.items():
        namespace = key.rpartition("/")[2]
        found[namespace] = found.get(namespace, frozenset()) | frozenset(name for name in text.split(",") if name)
    return found


def _union(one: Sets, other: Sets) -> Sets:
    return {namespace: one.get(namespace, frozenset()) | other.get(namespace, frozenset()) for namespace in one | other}


def _annotations(sets: Sets, prefix: str) -> dict[str, str]:
    return {f"{prefix}{namespace}": ",".join(sorted(each)) for namespace, each in sorted(sets.items()) if each}
