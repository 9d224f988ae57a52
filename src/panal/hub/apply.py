"""Carrying out a Plan: finalizer, objects, deletions, one status, then the Events. Stops at the first failure; the queue tries again."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from itertools import groupby
from typing import Any, TypeVar

from panal.api import names
from panal.api.types import Status
from panal.hub.difference import needs_apply, stamped
from panal.kube import kinds
from panal.kube.cache import Cache
from panal.kube.client import Client
from panal.kube.events import EventRecorder
from panal.kube.kinds import kind_named, kind_of
from panal.kube.objects import Object, key_of
from panal.lifecycle.plan import Plan, Ref

log = logging.getLogger(__name__)

T = TypeVar("T")
AT_ONCE = 16  # writes under way: works of many clusters are independent of each other


class Applier:
    def __init__(self, client: Client, cache: Cache, recorder: EventRecorder) -> None:
        self._client = client
        self._cache = cache
        self._recorder = recorder

    async def carry_out(self, plan: Plan, resource: Object) -> Object:
        """Returns the resource as it is afterwards. Raises KubeError."""
        if plan.add_finalizer:
            await self._finalizer(resource)
        await self._apply(plan.apply)
        await _all(self._delete, plan.delete)
        if plan.status is not None:
            resource = await self._client.apply_status(_with_status(resource, plan.status))
        for event in plan.events:
            await self._recorder.record(resource, event.type, event.reason, event.message)
        if plan.remove_finalizer:
            await self._client.remove_finalizers(kinds.FEDERATED_LEARNING, *key_of(resource), [names.FINALIZER])
        return resource

    async def _finalizer(self, resource: Object) -> None:
        await self._client.add_finalizer(kinds.FEDERATED_LEARNING, *key_of(resource), names.FINALIZER)

    async def _apply(self, desired: Iterable[Object]) -> None:
        """In the order given, but works of different clusters side by side."""
        wanted = [w for w in map(stamped, desired) if needs_apply(w, self._cache.get(kind_of(w), *key_of(w)))]
        for _, group in groupby(wanted, key=lambda o: str(o["kind"])):
            await _all(self._client.apply, group)

    async def _delete(self, ref: Ref) -> None:
        kind = kind_named(ref.api_version, ref.kind)
        if ref.strip_finalizers:
            await self._client.remove_finalizers(kind, ref.namespace, ref.name, uid=ref.uid)
        else:
            await self._client.delete(kind, ref.namespace, ref.name, ref.uid)


def _with_status(resource: Object, status: Status) -> Object:
    body = without_empty(status.model_dump(mode="json", by_alias=True))
    identity = {key: resource["metadata"][key] for key in ("name", "namespace")}
    return {"apiVersion": names.API_VERSION, "kind": names.KIND, "metadata": identity, "status": body}


def without_empty(value: Any) -> Any:
    """Without null, {} and []: server-side apply makes null of a map or list that becomes empty, which the schema then refuses."""
    if isinstance(value, dict):
        return {k: kept for k, v in value.items() if (kept := without_empty(v)) not in (None, {}, [])}
    if isinstance(value, list):
        return [without_empty(v) for v in value]
    return value


async def _all(action: Callable[[T], Awaitable[object]], items: Iterable[T]) -> None:
    """All of them, a few at a time; the first failure is raised after the others under way are done."""
    slots = asyncio.Semaphore(AT_ONCE)

    async def one(item: T) -> None:
        async with slots:
            await action(item)

    results = await asyncio.gather(*(one(i) for i in items), return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result
