"""Applies a Plan: first the finalizer and the objects (`apply`), then deletions, the status and the Events (`finish`).

An outage of the API server ends the reconcile, and the queue retries it. A refused object is reported in the run's status: a refused work
affects only its cluster, any other refused object the whole run.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from itertools import groupby
from typing import Any, TypeVar

from panal.api import names
from panal.api.types import Status
from panal.hub.difference import needs_apply, stamped
from panal.kube import kinds
from panal.kube.cache import Cache
from panal.kube.client import Client
from panal.kube.errors import ApiError, Conflict, Forbidden, Invalid, KubeError, NotFound
from panal.kube.events import EventRecorder
from panal.kube.kinds import kind_named, kind_of
from panal.kube.objects import Object, key_of, uid_of
from panal.lifecycle.plan import Plan, Ref
from panal.lifecycle.world import Refusal

T = TypeVar("T")
AT_ONCE = 16  # concurrent writes; works of different clusters are independent
REFUSED = (Invalid, Forbidden, NotFound, Conflict)  # the server has refused the object
OUTAGE = (0, 401, 429, 502, 503, 504)  # status codes (0: no response) that do not concern the object


class NotApplied(KubeError):  # noqa: N818
    """Some objects were refused; everything else is applied."""

    def __init__(self, refused: Sequence[Refusal]) -> None:
        first = refused[0]
        more = f" and {len(refused) - 1} more" if len(refused) > 1 else ""
        super().__init__(f"refused: {first.kind} {first.namespace}/{first.name}: {first.message}{more}")


class Applier:
    def __init__(self, client: Client, cache: Cache, recorder: EventRecorder) -> None:
        self._client = client
        self._cache = cache
        self._recorder = recorder

    async def apply(self, plan: Plan, resource: Object) -> tuple[Refusal, ...]:
        """Adds the finalizer and applies the objects, kind by kind in the Plan's order, objects of one kind concurrently.

        Returns the refusals of the first kind that has any; later kinds are not applied. Raises KubeError for other failures. For works,
        every failure but an outage counts as a refusal.
        """
        if plan.add_finalizer:
            await self._client.add_finalizer(kinds.FEDERATED_LEARNING, *key_of(resource), names.FINALIZER)
        wanted = [w for w in map(stamped, plan.apply) if needs_apply(w, self._live(w))]
        for kind, group in groupby(wanted, key=lambda o: str(o["kind"])):
            refused = await _all(self._apply, list(group), _work_is_refused if kind == kinds.MANIFEST_WORK.kind else _is_refused)
            if refused:
                return tuple(_refusal(obj, error) for obj, error in refused)
        return ()

    async def finish(self, plan: Plan, resource: Object) -> Object:
        """Deletes objects and writes the status and Events. Returns the updated resource. Raises KubeError."""
        failed = await _all(self._delete, plan.delete)
        if plan.status is not None:
            resource = await self._client.apply_status(_with_status(resource, plan.status))
        for event in plan.events:
            await self._recorder.record(resource, event.type, event.reason, event.message)
        if failed:
            raise failed[0][1]
        if plan.remove_finalizer:
            await self._client.remove_finalizers(
                kinds.FEDERATED_LEARNING, *key_of(resource), finalizers=[names.FINALIZER], uid=uid_of(resource)
            )
        return resource

    async def delete(self, refs: Iterable[Ref]) -> None:
        for _, error in await _all(self._delete, list(refs)):
            raise error

    def _live(self, wanted: Object) -> Object | None:
        return self._cache.get(kind_of(wanted), *key_of(wanted))

    async def _apply(self, wanted: Object) -> None:
        """Forces conflicts only for objects in the cache. Another object of that name may be the user's."""
        await self._client.apply(wanted, force=self._live(wanted) is not None)

    async def _delete(self, ref: Ref) -> None:
        kind = kind_named(ref.api_version, ref.kind)
        if ref.strip_finalizers:
            await self._client.remove_finalizers(kind, ref.namespace, ref.name, uid=ref.uid)
        else:
            await self._client.delete(kind, ref.namespace, ref.name, ref.uid)


def _is_refused(error: ApiError) -> bool:
    return isinstance(error, REFUSED)


def _work_is_refused(error: ApiError) -> bool:
    """Whether a work is refused. A failed webhook (500) counts, so that it does not prevent the write of the run's status."""
    return error.status not in OUTAGE


def _refusal(obj: Object, error: ApiError) -> Refusal:
    namespace, name = key_of(obj)
    return Refusal(obj["kind"], namespace, name, error.message, invalid=isinstance(error, Invalid))


def _with_status(resource: Object, status: Status) -> Object:
    body = without_empty(status.model_dump(mode="json", by_alias=True))
    identity = {key: resource["metadata"][key] for key in ("name", "namespace", "uid")}
    return {"apiVersion": names.API_VERSION, "kind": names.KIND, "metadata": identity, "status": body}


def without_empty(value: Any) -> Any:
    """Removes null, {} and []: server-side apply turns a map or list that becomes empty into null, which the schema refuses."""
    if isinstance(value, dict):
        return {k: kept for k, v in value.items() if (kept := without_empty(v)) not in (None, {}, [])}
    if isinstance(value, list):
        return [without_empty(v) for v in value]
    return value


async def _all(
    action: Callable[[T], Awaitable[object]], items: Sequence[T], kept: Callable[[ApiError], bool] = lambda _: True
) -> list[tuple[T, ApiError]]:
    """Runs the action for all items, at most AT_ONCE concurrently. Returns the items whose errors satisfy `kept`, with the errors. Raises
    any other error after all have ended."""
    slots = asyncio.Semaphore(AT_ONCE)

    async def one(item: T) -> None:
        async with slots:
            await action(item)

    results = await asyncio.gather(*(one(i) for i in items), return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException) and not (isinstance(result, ApiError) and kept(result)):
            raise result
    return [(item, result) for item, result in zip(items, results, strict=True) if isinstance(result, ApiError)]
