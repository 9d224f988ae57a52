"""Applies a Plan: first what seals the run's record (`keep_evidence`), then the finalizer, the objects and the works (`apply`), then the
status (`write_status`), then the Events and the deletions (`finish`).

An outage of the API server ends the reconcile, and the queue retries it. A refused object is reported in the run's status: a refused work
affects only its cluster, any other refused object the whole run.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from typing import Any, TypeVar

from panal.api import names
from panal.api.types import Status
from panal.hub.difference import needs_apply, stamped
from panal.hub.records import Identity, Records
from panal.hub.work_writer import OUTAGES, Applied, WorkWriter, is_outage, refusal
from panal.kube import kinds
from panal.kube.cache import Cache
from panal.kube.client import Client
from panal.kube.errors import Conflict, Forbidden, Interrupted, Invalid, KubeError, NotFound
from panal.kube.events import EventRecorder
from panal.kube.kinds import kind_named, kind_of
from panal.kube.objects import Object, key_of, uid_of
from panal.lifecycle.plan import Plan, Ref
from panal.lifecycle.world import Refusal

T = TypeVar("T")
AT_ONCE = 16  # concurrent deletions
REFUSED = (Invalid, Forbidden, NotFound, Conflict)  # the server has refused the object


class NotApplied(KubeError):  # noqa: N818
    """Some objects were refused; everything else is applied."""

    def __init__(self, refused: Sequence[Refusal]) -> None:
        first = refused[0]
        more = f" and {len(refused) - 1} more" if len(refused) > 1 else ""
        super().__init__(f"refused: {first.kind} {first.namespace}/{first.name}: {first.message}{more}")


class Applier:
    def __init__(self, client: Client, cache: Cache, recorder: EventRecorder, records: Records) -> None:
        self._client = client
        self._cache = cache
        self._recorder = recorder
        self._records = records
        self.works = WorkWriter(client, cache)

    async def keep_evidence(self, plan: Plan, resource: Object) -> None:
        """Raises KubeError."""
        namespace, name = key_of(resource)
        for step in plan.evidence:
            await self._records.take(Identity(namespace, name, uid_of(resource)), step)

    async def apply(self, plan: Plan, resource: Object, before: tuple[Refusal, ...] = ()) -> Applied:
        """Adds the finalizer and applies the objects in the Plan's order, then the works. `before`: the refusals of the last reconcile.

        The first refused object ends the call: neither later objects nor works are applied. Raises KubeError for other failures.
        """
        if plan.add_finalizer:
            await self._client.add_finalizer(kinds.FEDERATED_LEARNING, *key_of(resource), names.FINALIZER)
        for wanted in map(stamped, plan.apply):
            if needs_apply(wanted, self._live(wanted)):
                try:
                    await self._apply(wanted)
                except REFUSED as error:
                    return Applied((refusal(wanted, error),))
        if plan.works is None:
            self.works.forget_run(*key_of(resource))
            return Applied()
        return await self.works.write(plan.works, before)

    async def write_status(self, plan: Plan, resource: Object) -> Object:
        """Returns the updated resource. Raises KubeError."""
        return resource if plan.status is None else await self._client.apply_status(_with_status(resource, plan.status))

    async def finish(self, plan: Plan, resource: Object) -> None:
        """Writes the Events, then deletes objects. Raises KubeError."""
        for event in plan.events:
            await self._recorder.record(resource, event.type, event.reason, event.message)
        await self.delete(plan.delete)
        if plan.remove_finalizer:
            await self._client.remove_finalizers(
                kinds.FEDERATED_LEARNING, *key_of(resource), finalizers=[names.FINALIZER], uid=uid_of(resource)
            )

    async def delete(self, refs: Iterable[Ref]) -> None:
        """Tries each deletion, unless the API server is unavailable. Raises the first error, or Interrupted."""
        await _all(self._delete, list(refs))

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


async def _all(action: Callable[[T], Awaitable[object]], items: Sequence[T]) -> None:
    """Runs the action for all items, at most AT_ONCE concurrently, unless the API server is unavailable. Raises the first error after all
    have ended; Interrupted if that is an outage, and some actions were done."""
    errors: list[KubeError] = []
    done = 0
    rest: Iterator[T] = iter(items)

    async def one() -> None:
        nonlocal done
        while sum(map(is_outage, errors)) < OUTAGES:
            try:
                item = next(rest)
            except StopIteration:
                return
            try:
                await action(item)
                done += 1
            except KubeError as error:
                errors.append(error)

    async with asyncio.TaskGroup() as tasks:
        for _ in range(min(AT_ONCE, len(items))):
            tasks.create_task(one())
    if errors and done and is_outage(errors[0]):
        interrupted = Interrupted(f"{done} of {len(items)} are done: {errors[0]}")
        interrupted.retry_after = errors[0].retry_after
        raise interrupted from errors[0]
    if errors:
        raise errors[0]
