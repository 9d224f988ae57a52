"""Cluster sets that others than the controller have bound in a namespace: naming one in a run there needs no right to bind it.

The admission policy cannot look for bindings, so the controller keeps a list of them in a ConfigMap that the policy is given: for each
namespace its sets, and under `gone.NAMESPACE` those that were bound and are no more. Of neither does the controller ever make a binding
itself: a run may have been let in because of one that its owner has taken away since.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Mapping

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
GONE = "gone."  # no namespace has a dot
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
                self.ready.set()
            except ApiError as error:
                log.warning("the list of bound cluster sets could not be written: %s (again in %.0f s)", error, AGAIN)
                await asyncio.sleep(AGAIN)
                continue
            await self._changed.wait()
            await asyncio.sleep(SETTLE)

    def _on_change(self, kind: Kind, _old: Object | None, _new: Object | None) -> None:
        if kind == kinds.MANAGED_CLUSTER_SET_BINDING:
            self._changed.set()

    async def _publish(self) -> None:
        """Nothing where the list is not there: then there is no policy that reads it."""
        try:
            found = await self._client.get(kinds.CONFIG_MAP, self._namespace, names.BOUND_SETS)
        except NotFound:
            return
        before: dict[str, str] = found.get("data") or {}
        wanted = listed(before, self._cache.list(kinds.MANAGED_CLUSTER_SET_BINDING))
        self._known = known(wanted)  # before anybody can be let in because of it
        if wanted != before:
            data = dict.fromkeys(before) | wanted
            patch = {"metadata": {"resourceVersion": version_of(found)}, "data": data}
            await self._client.merge_patch(kinds.CONFIG_MAP, self._namespace, names.BOUND_SETS, patch)


def listed(before: Mapping[str, str], bindings: Iterable[Object]) -> dict[str, str]:
    """The data of the ConfigMap, of which `before` is what it was."""
    bound: dict[str, set[str]] = {}
    for binding in bindings:
        if not names.MANAGED_BY.items() <= labels_of(binding).items() and not binding["metadata"].get("deletionTimestamp"):
            bound.setdefault(binding["metadata"]["namespace"], set()).add(binding["metadata"]["name"])
    gone = {namespace: sets - bound.get(namespace, set()) for namespace, sets in known(before).items()}
    return _data(bound, "") | _data(gone, GONE)


def known(data: Mapping[str, str]) -> Sets:
    """Bound or gone, by namespace."""
    found: Sets = {}
    for key, text in data.items():
        namespace = key.removeprefix(GONE)
        found[namespace] = found.get(namespace, frozenset()) | frozenset(name for name in text.split(",") if name)
    return found


def _data(sets: Mapping[str, set[str] | frozenset[str]], prefix: str) -> dict[str, str]:
    return {f"{prefix}{namespace}": ",".join(sorted(each)) for namespace, each in sorted(sets.items()) if each}
