"""The process: settings, the ledger, the watch cache, the gate, and the server for gateways. `panal-site-controller` starts it.

All its state is in the ledger, beside it, and in the cluster, so that it may be killed at any moment. While it is away nothing new starts,
and no request leaves the site.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Awaitable, Callable
from importlib.metadata import version
from typing import TypeVar

from panal.api import names
from panal.evidence.sealed import public_pem
from panal.kube import kinds
from panal.kube.cache import Cache, Timing, Watched
from panal.kube.client import Client
from panal.kube.errors import ConfigError, KubeError
from panal.kube.logs import log_to_stdout
from panal.kube.process import first_error, until_terminated
from panal.kube.signing_key import KeyUnusableError, signing_key
from panal.kube.times import now_utc
from panal.site import request
from panal.site_controller.access import KEY_SECRET, LABELS, Access
from panal.site_controller.book import Book
from panal.site_controller.checks import BY_UID, Checks, by_uid, context, health, serving
from panal.site_controller.gate import Gate
from panal.site_controller.records import Records, trimmed
from panal.site_controller.settings import Settings, SettingsError, load
from panal.site_controller.traffic import Traffic

log = logging.getLogger("panal")
T = TypeVar("T")

FIELD_MANAGER = "panal-site"
RETRY_EVERY = 2.0  # seconds between attempts to reach the API server at startup
TIMING = Timing(watch=20, silence=25)  # a dead watch must not hide for long that the owner has stopped everything
WATCHED = (
    Watched(kinds.SITE_POLICY, field_selector=f"metadata.name={names.SITE_POLICY}"),
    Watched(kinds.POD, namespace=names.COLLABORATOR_NAMESPACE, trim=request.trimmed, indexes={BY_UID: by_uid}),
    Watched(kinds.RUN_RECORD, namespace=names.COLLABORATOR_NAMESPACE, trim=trimmed, optional=True),
)


def main() -> None:
    """Runs until SIGTERM. Exits with 1 and one line if the process cannot go on."""
    try:
        settings = load()
    except SettingsError as error:
        sys.exit(f"panal-site-controller: {error}")
    log_to_stdout(settings.log_level)
    try:
        asyncio.run(until_terminated(run(settings)))
    except* (ConfigError, KeyUnusableError) as errors:
        sys.exit(f"panal-site-controller: {first_error(errors)}")


async def run(settings: Settings, kubeconfig: str | None = None) -> None:
    """Runs the site controller until cancelled."""
    async with Client.from_kubeconfig(kubeconfig, field_manager=FIELD_MANAGER) as client:
        problems = ["it is starting"]
        async with health(settings.health_port, lambda: problems):
            key = await _until_answered(lambda: signing_key(client, settings.namespace, KEY_SECRET, LABELS))
            book = Book(settings.ledger, key, now_utc, version("panal"))
            try:
                await _work(settings, client, book, problems)
            finally:
                book.close()


async def _work(settings: Settings, client: Client, book: Book, problems: list[str]) -> None:
    cache, tls = Cache(client, WATCHED, TIMING), context()
    access = Access(client, settings.namespace, public_pem(book.public_key), tls, now_utc)
    gate = Gate(client, cache, book, now_utc)
    gate.traffic = Traffic(book, settings.ledger, gate.look_at)
    checks = Checks(cache, gate, lambda: access.token, lambda: cache.synced())
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(_tell_problems(problems, cache, book, access, gate.traffic))
        tasks.create_task(cache.run())
        tasks.create_task(access.run())
        await book.open()
        await cache.wait_synced()
        tasks.create_task(book.keep(gate.look_at_all))
        tasks.create_task(gate.traffic.keep())
        tasks.create_task(gate.run())
        tasks.create_task(Records(client, cache, book, gate.policy).run())
        await access.ready.wait()
        async with serving(checks, settings.port, tls):
            await asyncio.Event().wait()


async def _tell_problems(problems: list[str], cache: Cache, book: Book, access: Access, traffic: Traffic) -> None:
    """What the probe of readiness says."""
    while True:
        found = [f"cannot watch {kind}: {why}" for kind, why in cache.problems().items()]
        found += [each for each in (book.problem, traffic.problem, access.problem) if each]
        problems[:] = found
        await asyncio.sleep(1)


async def _until_answered(request: Callable[[], Awaitable[T]]) -> T:
    while True:
        try:
            return await request()
        except ConfigError:
            raise
        except KubeError as error:
            log.warning("the API server is unavailable: %s", error)
            await asyncio.sleep(RETRY_EVERY)


if __name__ == "__main__":
    main()
