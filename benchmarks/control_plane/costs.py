"""What a checkout costs: CPU, blocking of the event loop, memory of a further run and of a resync, registration; and plain writes.

Each function returns figures by the keys of `table.ROWS`.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack

from benchmarks.control_plane import sites
from benchmarks.control_plane.api import APPLY, CONNECTIONS, WORKS, Api, Object, each
from benchmarks.control_plane.controller import Controller
from benchmarks.control_plane.hub import Hub
from benchmarks.control_plane.measures import PATIENCE, Bench, Figures, all_ready, all_works
from benchmarks.control_plane.probe import probing
from benchmarks.control_plane.runs import Run
from benchmarks.control_plane.table import blocked

SECONDS = "panal_reconcile_seconds"
EVENTS = 6  # that change nothing
FEW = 100  # clusters of each of the five small runs
REGISTERED = 30  # clusters that register


async def events(run: Run, controller: Controller) -> Figures:
    """Writes that the status does not depend on, one after the other: first the CPU, then how long they block the event loop."""
    idle, began = controller.cpu(), time.monotonic()
    await asyncio.sleep(5)
    idle_share = (controller.cpu() - idle) / (time.monotonic() - began)
    before, cpu, began = await controller.metrics(), controller.cpu(), time.monotonic()
    await _write_events(run)
    spent = controller.cpu() - cpu - idle_share * (time.monotonic() - began)
    after = await controller.metrics()
    looks, seconds = (after.total(name) - before.total(name) for name in (f"{SECONDS}_count", f"{SECONDS}_sum"))
    async with probing(controller.port) as rest:
        await asyncio.sleep(5)
    async with probing(controller.port) as at_work:
        await _write_events(run)
    figures = {"event_cpu_ms": max(0.0, spent) / EVENTS * 1000, "event_reconcile_ms": seconds / looks * 1000 if looks else 0.0}
    return figures | blocked("rest", rest) | blocked("event", at_work)


async def _write_events(run: Run) -> None:
    """Each long after the controller has reconciled the one before."""
    for _ in range(EVENTS):
        await run.write_traffic(time.monotonic_ns())
        await asyncio.sleep(2 + len(run.clusters) / 700)


async def peak_of_resync(controller: Controller) -> Figures:
    """Over the next complete list of every kind."""
    before = (await controller.metrics()).by("panal_kube_lists_total", "kind")
    controller.forget_peak()
    async with probing(controller.port) as found:
        await controller.until(lambda m: _all_listed(before, m.by("panal_kube_lists_total", "kind")), "a list of every kind", PATIENCE)
        await asyncio.sleep(5)  # for the reconciles that follow
    return {"peak_resync_mib": controller.peak()} | blocked("resync", found)


def _all_listed(before: dict[str, float], after: dict[str, float]) -> bool:
    return all(after[kind] > count for kind, count in before.items())


async def registration(bench: Bench, controller: Controller) -> Figures:
    """The add-on comes to some clusters more, which request certificates. They are removed at the end."""
    clusters = [f"{bench.prefix}-new{n}" for n in range(min(REGISTERED, len(bench.clusters)))]
    await each(clusters, lambda c: sites.join(bench.api, c))
    await controller.until_quiet(PATIENCE)
    before, cpu = await controller.metrics(), controller.cpu()
    await sites.register(bench.api, clusters)
    await controller.until_quiet(PATIENCE)
    after, spent = await controller.metrics(), controller.cpu() - cpu
    await each(clusters, lambda c: sites.leave(bench.api, c))
    return {
        "registration_requests": (after.requests - before.requests) / len(clusters),
        "registration_cpu_ms": spent / len(clusters) * 1000,
    }


async def further_run(bench: Bench, controller: Controller) -> Figures:
    """A second run over all clusters. It is deleted at the end."""
    before = controller.rss()
    async with bench.run("two") as run:
        await run.begin()
        async with probing(controller.port) as found:
            await all_works(run)
        await all_ready(run)
        await controller.until_quiet(PATIENCE)
        figures = {"rss_further_run_mib": controller.rss() - before} | blocked("burst", found)
        await run.delete()
    return figures


async def restart(bench: Bench, run: Run, resync: int) -> Figures:
    """A new process finds the run as it is, and lists all kinds again after `resync` seconds."""
    before = _versions(run)
    async with bench.controller(resync) as controller:
        written = sum(version != before.get(key) for key, version in _versions(run).items())
        return {"restart_writes": written, "rss_restarted_mib": controller.rss()} | await peak_of_resync(controller)


def _versions(run: Run) -> dict[str, str]:
    return {key: work["metadata"]["resourceVersion"] for key, work in run.works.objects.items()}


# --- comparison ---------------------------------------------------------------------------------------------------------------
async def plain_writes(hub: Hub, work: Object, clusters: Sequence[str]) -> Figures:
    """The same work in every cluster's namespace, written by a client that does nothing else, with the controller's permissions: by plain
    creates, and by server-side applies, over as many connections as a controller uses."""
    bare = {key: work[key] for key in ("apiVersion", "kind", "spec")}
    figures = {}
    async with Api.open(hub, hub.token()) as api:
        await each(range(CONNECTIONS), lambda _: api.get("/version"))  # opens the connections
        for key, method, content_type in (("creates_per_s", "POST", "application/json"), ("applies_per_s", "PATCH", APPLY)):
            metadata = {"name": "plain", "labels": {"plain": "yes"}, "annotations": work["metadata"].get("annotations") or {}}
            body = json.dumps(bare | {"metadata": metadata}).encode()

            async def write(cluster: str) -> None:
                path = f"{WORKS}/namespaces/{cluster}/manifestworks"
                path += "/plain?fieldManager=plain&force=false" if method == "PATCH" else "?fieldManager=plain"  # noqa: B023
                await api.send(method, path, body, {"Content-Type": content_type})  # noqa: B023

            began = time.monotonic()
            await each(clusters, write)
            figures[key] = len(clusters) / (time.monotonic() - began)
            await each(clusters, lambda c: api.delete(f"{WORKS}/namespaces/{c}/manifestworks/plain"))
    return figures


async def five_runs(bench: Bench) -> Figures:
    """From the moment when all five have announced their apps until all of their works exist."""
    async with AsyncExitStack() as stack:
        found = [await stack.enter_async_context(bench.run(f"small{n}", bench.clusters[:FEW])) for n in range(5)]
        await asyncio.gather(*(run.begin() for run in found))
        seconds = max(await asyncio.gather(*map(all_works, found)))
        await asyncio.gather(*(run.delete() for run in found))
    return {"five_runs_s": seconds}
