"""What is measured of one checkout on a hub with many clusters. Each function returns figures by the keys of `table.ROWS`."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.control_plane import sites
from benchmarks.control_plane.api import APPLY, WORKS, Api, Object, each
from benchmarks.control_plane.controller import Controller
from benchmarks.control_plane.hub import Hub
from benchmarks.control_plane.probe import probing
from benchmarks.control_plane.runs import Run
from benchmarks.control_plane.table import blocked, latency

from panal.api import names

Figures = dict[str, float]
PATIENCE = 900  # seconds for what a controller does for all clusters
PAUSE = 1.0  # seconds between two samples
SECONDS = "panal_reconcile_seconds"
EVENTS = 6  # that change nothing
FEW = 100  # clusters of each of the five small runs
REGISTERED = 30  # clusters that register


@dataclass
class Bench:
    """`prefix` begins the names of this checkout's runs and of the clusters that register."""

    hub: Hub
    api: Api
    checkout: Path
    prefix: str
    clusters: Sequence[str]
    samples: int

    @asynccontextmanager
    async def controller(self, resync: int = 900) -> AsyncIterator[Controller]:
        """Quiet."""
        async with Controller.of(self.checkout, self.hub, resync) as found:
            await found.until_quiet(PATIENCE)
            yield found

    def run(self, name: str, clusters: Sequence[str] = ()) -> AbstractAsyncContextManager[Run]:
        return Run.on(self.api, f"{self.prefix}-{name}", clusters or self.clusters)


async def all_works(run: Run) -> float:
    """The app is announced, and every cluster gets its work. Returns the seconds."""
    began = time.monotonic()
    await run.write_progress(connected=0)
    wanted = len(run.clusters)
    return await run.works.until(lambda works: len(works) >= wanted, f"{wanted} works of {run.name}", PATIENCE) - began


async def burst(run: Run, controller: Controller) -> Figures:
    """All works of a run: speed, CPU and requests."""
    cpu, before = controller.cpu(), await controller.metrics()
    seconds, count = await all_works(run), len(run.clusters)
    spent = controller.cpu() - cpu
    after = await controller.metrics()
    return {
        "works_per_s": count / seconds,
        "burst_cpu_s": spent,
        "requests_per_work": (after.requests - before.requests) / count,
    }


async def all_ready(run: Run) -> Figures:
    """All agents report their collaborators ready, and the run begins to train."""
    await sites.report_all(run.api, f"{names.LABEL_RUN}={run.name}")
    began = time.monotonic()
    seen = await run.resource.until(lambda _: ready(run) == len(run.clusters), f"all collaborators of {run.name} ready", PATIENCE)
    await run.write_round(1)
    await run.resource.until(lambda _: rounds(run) == 1, f"the first round of {run.name}", PATIENCE)
    return {"all_agents_s": max(0.0, seen - began)}


def ready(run: Run) -> int:
    return int(run.status.get("clients", {}).get("ready") or 0)


def rounds(run: Run) -> int:
    return int(run.status.get("rounds", {}).get("completed") or 0)


async def work_of(run: Run, cluster: str) -> Object:
    (name,) = {each["metadata"]["name"] for each in run.works.objects.values()}
    found: Object = await run.api.get(f"{WORKS}/namespaces/{cluster}/manifestworks/{name}")
    return found


def sizes(work: Object) -> Figures:
    """As the API server stores and sends it, without the agent's status."""
    work = {key: value for key, value in work.items() if key != "status"}
    bare = work | {"metadata": {key: value for key, value in work["metadata"].items() if key != "managedFields"}}
    return {"work_bytes": _length(bare), "work_stored_bytes": _length(work)}


def _length(obj: Object) -> int:
    return len(json.dumps(obj, separators=(",", ":"), ensure_ascii=False).encode())


# --- reactions ----------------------------------------------------------------------------------------------------------------
async def agent_to_status(run: Run, samples: int) -> Figures:
    """One agent after the other reports that its Pod is no longer ready, and the next time that it is."""
    found, count = [], len(run.clusters)
    for number in range(samples):
        well = bool(number % 2)
        work = await work_of(run, run.clusters[number // 2 % count])
        found.append(await _seen(run, lambda: sites.report(run.api, work, ready=well), lambda: ready(run) == count - (not well)))  # noqa: B023
    return latency("agent_to_status", found)


async def progress_to_status(run: Run, samples: int) -> Figures:
    """One round after the other ends."""
    first = rounds(run) + 1
    found = [
        await _seen(run, lambda: run.write_round(number), lambda: rounds(run) == number)  # noqa: B023
        for number in range(first, first + samples)
    ]
    return latency("progress_to_status", found)


async def _seen(run: Run, write: Callable[[], Awaitable[None]], shown: Callable[[], bool]) -> float:
    """Seconds from the write's answer until the status shows it."""
    await asyncio.sleep(PAUSE)
    await write()
    began = time.monotonic()
    return max(0.0, await run.resource.until(lambda _: shown(), f"{run.name}: the status shows a write", PATIENCE) - began)


async def complete_to_status(run: Run) -> Figures:
    complete = await run.end_job()
    completed = lambda _: run.status.get("phase") == "Completed"  # noqa: E731
    seen = await run.resource.until(completed, f"{run.name} is Completed", PATIENCE)
    await run.works.until(lambda works: not works, f"the works of {run.name} are gone", PATIENCE)
    return {"complete_to_status_ms": max(0.0, seen - complete) * 1000}


# --- cost ---------------------------------------------------------------------------------------------------------------------
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
