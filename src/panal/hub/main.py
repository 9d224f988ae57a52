"""The controller process: settings, watch cache, leader Lease, health endpoints, and the loop. `panal-controller` starts it.

Every replica keeps its cache up to date and responds to probes; only the leader reconciles. A process that loses its Lease, or whose cache
or loop ends, exits, and Kubernetes restarts it: all its state is on the hub.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import sys
from collections.abc import Awaitable, Callable
from typing import TypeVar

from panal.api.names import CONTROLLER_LEASE
from panal.hub import metrics
from panal.hub.addon import versions
from panal.hub.addon.authorities import Authorities
from panal.hub.addon.controller import AddOnController
from panal.hub.addon.scores import Scores
from panal.hub.apply import Applier
from panal.hub.bound_sets import BoundSets
from panal.hub.controller import Controller, utc_now
from panal.hub.observe import Observer
from panal.hub.records import Records
from panal.hub.resolve import Resolver
from panal.hub.scrape.exposition import Exposition
from panal.hub.scrape.readers import Readers
from panal.hub.scrape.snapshot import Snapshots
from panal.hub.second import SecondController, refuse_second
from panal.hub.server import Protected, served
from panal.hub.settings import METRICS_TLS, Settings, SettingsError, load
from panal.hub.supply import Supplier
from panal.hub.watched import ADDON_KINDS, OWN_KINDS, watched
from panal.kube import kinds
from panal.kube.cache import Cache, Timing
from panal.kube.client import Client
from panal.kube.errors import ApiError, ConfigError, LeadershipLost
from panal.kube.events import EventRecorder
from panal.kube.kinds import Kind
from panal.kube.lease import LeaderLease
from panal.kube.logs import log_to_stdout
from panal.kube.process import first_error, until_terminated
from panal.kube.serving import Certificate, CertificateError, self_signed

log = logging.getLogger("panal")
T = TypeVar("T")

OPEN_SHIFT_GROUP = "security.openshift.io"
RETRY_EVERY = 2.0  # seconds between attempts to reach the API server at startup


def main() -> None:
    """Runs until SIGTERM. Exits with 1 and one line if the process must be restarted."""
    try:
        settings = load()
    except SettingsError as error:
        sys.exit(f"panal-controller: {error}")
    log_to_stdout(settings.log_level)
    try:
        asyncio.run(until_terminated(run(settings)))
    except* (CertificateError, ConfigError, LeadershipLost, SecondController) as errors:
        sys.exit(f"panal-controller: {first_error(errors)}")


async def run(settings: Settings, kubeconfig: str | None = None) -> None:
    """Runs the controller until cancelled. Raises LeadershipLost in an exception group."""
    async with Client.from_kubeconfig(kubeconfig) as client:
        cache = Cache(client, watched(settings.grpc_server), Timing(resync=settings.resync.total_seconds()))
        snapshots = Snapshots(cache, settings.namespace, settings.times, utc_now)
        lease = LeaderLease(client, settings.namespace, CONTROLLER_LEASE, settings.identity)
        writing = client.while_leading(lease.leading)
        authorities = Authorities(writing, cache, settings.namespace, settings.times, utc_now)
        records = Records(writing, settings.namespace)
        certificate = Certificate(settings.metrics.tls, METRICS_TLS) if settings.metrics and settings.metrics.tls else None
        protected = _protected(settings, client, certificate)
        endpoints = served(settings.port, lambda: _problems(cache, authorities, records), Exposition(snapshots.take), protected)
        async with endpoints, asyncio.TaskGroup() as tasks:
            if certificate:
                tasks.create_task(certificate.keep())
            tasks.create_task(_watch(client, cache))
            tasks.create_task(_freeze(cache))
            tasks.create_task(_lead(writing, cache, lease, settings, authorities, records, snapshots))


def _protected(settings: Settings, client: Client, certificate: Certificate | None) -> Protected | None:
    if settings.metrics is None:
        return None
    tls = certificate.context if certificate else self_signed(f"panal-metrics.{settings.namespace}.svc", utc_now())
    return Protected(settings.metrics.port, tls, Readers(client))


async def _watch(client: Client, cache: Cache) -> None:
    client.speak(await _until_answered(lambda: versions.forms(client)))
    await cache.run()


async def _freeze(cache: Cache) -> None:
    """Excludes the objects of the first lists from garbage collection, which would otherwise visit each of them many times an hour."""
    await cache.wait_synced(*OWN_KINDS, kinds.MANAGED_CLUSTER)
    gc.collect()
    gc.freeze()


async def _lead(
    client: Client,
    cache: Cache,
    lease: LeaderLease,
    settings: Settings,
    authorities: Authorities,
    records: Records,
    snapshots: Snapshots,
) -> None:
    recorder = EventRecorder(client, instance=settings.identity)
    open_shift = OPEN_SHIFT_GROUP in await _until_answered(client.groups)
    missing = await _missing(client)
    await _until_answered(lambda: refuse_second(client, settings.namespace))
    await lease.acquire()
    metrics.LEADER.set(1)
    addon = AddOnController(client, cache, recorder, authorities, settings.times, utc_now, settings.grpc_server)
    resolver = Resolver(lambda _: controller.reconcile_all())
    bound_sets = BoundSets(client, cache, settings.namespace)
    observer = Observer(cache, settings, open_shift, bound_sets, records)
    controller = Controller(cache, observer, Supplier(authorities, resolver), Applier(client, cache, recorder, records), without=missing)
    authorities.subscribe(controller.reconcile_all)
    snapshots.lead({"runs": controller.waiting, "addon": addon.waiting})
    try:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(lease.hold())
            tasks.create_task(authorities.run())
            tasks.create_task(resolver.run())
            tasks.create_task(bound_sets.run())
            tasks.create_task(records.run(controller.look_at_ended))
            await bound_sets.ready.wait()
            await authorities.ready.wait()  # a run needs a server certificate and the trust bundles
            tasks.create_task(addon.run())
            tasks.create_task(Scores(client, cache, utc_now).run())
            tasks.create_task(controller.run())
    finally:
        metrics.LEADER.set(0)
        snapshots.lead(None)
        await asyncio.shield(lease.release())


async def _missing(client: Client) -> frozenset[Kind]:
    """The kinds of the add-on that the hub does not have. Runs continue without them, but no cluster gets a certificate."""

    async def find() -> frozenset[Kind]:
        return frozenset([kind for kind in ADDON_KINDS if not await versions.has(client, kind)])

    missing = await _until_answered(find)
    if missing:
        log.warning("the hub does not have %s: install OCM's add-on manager", ", ".join(sorted(map(str, missing))))
    return missing


async def _until_answered(request: Callable[[], Awaitable[T]]) -> T:
    """The result of `request`, which is retried until the API server answers."""
    while True:
        try:
            return await request()
        except ApiError as error:
            log.warning("the hub's API server is unavailable: %s", error)
            await asyncio.sleep(RETRY_EVERY)


def _problems(cache: Cache, authorities: Authorities, records: Records) -> list[str]:
    found = [f"cannot watch {kind}: {why}" for kind, why in cache.problems().items()]
    found += [each for each in (authorities.problem, records.problem) if each]
    return found if found or cache.synced() else ["the watch cache is not synced yet"]
