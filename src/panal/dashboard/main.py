"""Starts the dashboard: on a laptop by `panal dashboard`, on a hub by `panal-dashboard` in a Pod."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import socket
import ssl
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from aiohttp import web

from panal.cli.selection_report import Evaluator
from panal.dashboard import assets
from panal.dashboard.app import Dashboard
from panal.dashboard.feed import Feeds
from panal.dashboard.index import Index
from panal.dashboard.rights import OwnRights
from panal.dashboard.settings import TLS, Settings, SettingsError, load
from panal.dashboard.view import Download, Site
from panal.dashboard.viewer import ManyViewers, OneViewer
from panal.dashboard.watched import watched
from panal.hub.addon import versions
from panal.kube.cache import Cache
from panal.kube.client import Client
from panal.kube.errors import ApiError, ConfigError
from panal.kube.logs import log_to_stdout
from panal.kube.serving import Certificate, CertificateError

log = logging.getLogger("panal.dashboard")

LOOPBACK = "127.0.0.1"
RETRY_EVERY = 2.0  # seconds between attempts to reach the API server
FREEZE_WITHIN, MANY = 600.0, 1000  # seconds, objects
FIRST_LISTS = 10.0  # seconds for which a laptop's page waits for the first lists


@dataclass(frozen=True, slots=True)
class Laptop:
    """`port` 0: a free one. `name`: what the pages call the API server. `namespace`: the only one whose runs are listed; or empty.
    `download`: see `Site`."""

    name: str
    port: int = 0
    namespace: str = ""
    download: Download | None = None


@asynccontextmanager
async def on_laptop(client: Client, laptop: Laptop, cel: Evaluator) -> AsyncIterator[str]:
    """Serves on the loopback address until the context ends. Yields the address with the token, when the first lists are there."""
    listening = _bound(LOOPBACK, laptop.port)
    port = listening.getsockname()[1]
    async with _watching(client, laptop.namespace) as (cache, index, feeds):
        site = Site(client, cache, index, feeds, own=True, namespace=laptop.namespace, name=laptop.name, cel=cel, download=laptop.download)
        viewers = OneViewer(client, OwnRights(cache), port)
        app = Dashboard(site, viewers, (f"{LOOPBACK}:{port}", f"localhost:{port}")).app()
        async with _served(app, listening):
            await cache.wait_answered(FIRST_LISTS)
            yield f"http://{LOOPBACK}:{port}/enter?token={viewers.once}"


@asynccontextmanager
async def on_hub(client: Client, settings: Settings) -> AsyncIterator[int]:
    """Serves viewers with tokens of their own until the context ends. Yields the port."""
    certificate = Certificate(settings.tls, TLS) if settings.tls else None
    listening = _bound(settings.address, settings.port)
    async with _watching(client, "") as (cache, index, feeds):
        viewers = ManyViewers(client, feeds.forget)
        site = Site(client, cache, index, feeds, own=False)
        app = Dashboard(site, viewers, settings.hosts, lambda: _not_ready(cache)).app()
        keeping = asyncio.create_task(certificate.keep()) if certificate else None
        try:
            async with _served(app, listening, certificate.context if certificate else None):
                yield listening.getsockname()[1]
        finally:
            if keeping:
                keeping.cancel()
            await viewers.close()


def _not_ready(cache: Cache) -> list[str]:
    """A kind that cannot be listed is named on the pages; the other kinds are shown."""
    return [] if all(cache.synced(kind) or kind in cache.problems() for kind in cache.kinds()) else ["the lists are not complete yet"]


def _bound(address: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((address, port))
    except OSError:
        listening.close()
        raise
    return listening


@asynccontextmanager
async def _watching(client: Client, namespace: str) -> AsyncIterator[tuple[Cache, Index, Feeds]]:
    cache, feeds = Cache(client, watched(namespace)), Feeds()
    index = Index(cache)
    tasks = [asyncio.create_task(each) for each in (_watch(client, cache), feeds.sweep(), _freeze(cache))]
    try:
        yield cache, index, feeds
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await feeds.close()


async def _watch(client: Client, cache: Cache) -> None:
    while True:
        try:
            client.speak(await versions.forms(client))
            break
        except ApiError as error:
            log.warning("the API server is unavailable: %s", error)
            await asyncio.sleep(RETRY_EVERY)
    while True:
        try:
            await cache.run()
        except Exception:  # the lists must not stand still without a word
            log.exception("the watch ended by a defect; it begins again")
            await asyncio.sleep(RETRY_EVERY)


async def _freeze(cache: Cache) -> None:
    """Excludes many objects of the first lists from garbage collection, which takes 100 ms for thousands of them and would delay a page."""
    await cache.wait_answered(FREEZE_WITHIN)
    if sum(len(cache.list(kind)) for kind in cache.kinds()) >= MANY:
        gc.collect()
        gc.freeze()


@asynccontextmanager
async def _served(app: web.Application, listening: socket.socket, tls: ssl.SSLContext | None = None) -> AsyncIterator[None]:
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=1.0)
    await runner.setup()
    try:
        await web.SockSite(runner, listening, ssl_context=tls).start()
        yield
    finally:
        await runner.cleanup()


# --- programs --------------------------------------------------------------------------------------------------------
async def serve_laptop(client: Client, laptop: Laptop, cel: Evaluator, tell: Callable[[str], None]) -> None:
    """Serves until cancelled. `tell` gets the address."""
    async with client, on_laptop(client, laptop, cel) as address:
        tell(address)
        await asyncio.Event().wait()


def main() -> None:
    """`panal-dashboard`, in a Pod on a hub."""
    try:
        settings = load(os.environ)
        log_to_stdout(settings.log_level)
        assets.assets()
        asyncio.run(_until_terminated(settings))
    except (CertificateError, ConfigError, SettingsError, OSError, ModuleNotFoundError) as error:
        sys.exit(f"panal-dashboard: {error}")


async def _until_terminated(settings: Settings) -> None:
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    async with Client.from_kubeconfig(field_manager="panal-dashboard") as client, on_hub(client, settings) as port:
        log.info("serving on port %d", port)
        await ended.wait()
        log.info("terminated")


if __name__ == "__main__":
    main()
