"""Follows one run: its changes, until it has ended, over failures of the API server and of the connection to it."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator
from contextlib import suppress
from dataclasses import dataclass

from panal.client.problem import Code, Problem
from panal.client.story import ended
from panal.kube.cache import Cache, Watched
from panal.kube.client import Client
from panal.kube.kinds import FEDERATED_LEARNING
from panal.kube.objects import Object

CHECK_AFTER = 3.0  # seconds without a change after which the API server is checked
UNAVAILABLE_LIMIT = 120.0  # seconds without an API server after which following ends


@dataclass(frozen=True, slots=True)
class Seen:
    """The run as the API server returned it last; None if it has not answered yet. `unavailable`: why it does not answer now."""

    run: Object | None
    unavailable: str = ""


async def follow(
    client: Client, namespace: str, name: str, uid: str = "", woken: asyncio.Event | None = None
) -> AsyncGenerator[Seen, None]:
    """Yields the run now, after each change, when the API server stops answering and when it answers again, and when `woken` is set. Ends
    after yielding a run that has ended. What changes while the caller is busy is one change. Close it (`contextlib.aclosing`).

    Raises Problem if the run does not exist, is deleted or is not the one with `uid`, if the API server does not answer for
    UNAVAILABLE_LIMIT, and if the user may not watch runs.
    """
    logging.getLogger("panal.kube").addHandler(logging.NullHandler())  # its errors are in what is yielded and raised
    cache = Cache(client, [Watched(FEDERATED_LEARNING, namespace=namespace, field_selector=f"metadata.name={name}")])
    changed = woken or asyncio.Event()
    cache.subscribe(lambda *_: changed.set())
    watching = asyncio.create_task(cache.run())
    now: Object | None = None
    why, since = "", 0.0
    try:
        while True:
            woke = await _within(CHECK_AFTER, changed)
            changed.clear()
            before, why = why, _unavailable(cache, why, woke)
            if why and not before:
                since = time.monotonic()
            elif why and time.monotonic() - since > UNAVAILABLE_LIMIT:
                raise _unreachable()
            if cache.synced():
                now = same(cache.get(FEDERATED_LEARNING, namespace, name), name, uid)
                uid = now["metadata"]["uid"]
            elif cache.forbidden(FEDERATED_LEARNING):
                raise Problem(Code.REFUSED, f"you may not watch runs in {namespace}: {why}", "Ask the platform engineer for permission.")
            if (woke and now) or bool(why) != bool(before):
                yield Seen(now, why)
                if ended(now):
                    return
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)


async def _within(seconds: float, changed: asyncio.Event) -> bool:
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await changed.wait()
    return changed.is_set()


def _unavailable(cache: Cache, before: str, woke: bool) -> str:
    """Why the API server does not answer. An interruption counts once nothing has changed for CHECK_AFTER."""
    found = next(iter(cache.problems().values()), "")
    return found if before or not woke else ""


def same(run: Object | None, name: str, uid: str) -> Object:
    """The run. Raises Problem if there is none, or it is not the one with `uid`, where that is given."""
    if run is None:
        raise Problem(Code.NOT_FOUND, f"the run {name} {'was deleted' if uid else 'does not exist'}", "Apply it again.")
    if uid and run["metadata"]["uid"] != uid:
        raise Problem(Code.NOT_FOUND, f"the run {name} was deleted, and another one has its name now", "Follow that one by its name.")
    return run


def _unreachable() -> Problem:
    remedy = "The run continues. Check the local platform with `panal status`, then follow again with `panal get NAME -w`."
    return Problem(Code.UNREACHABLE, f"the API server has not answered for {UNAVAILABLE_LIMIT:g} s", remedy)
