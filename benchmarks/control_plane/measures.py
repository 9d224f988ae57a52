"""How fast a checkout creates works, and how soon the status shows what agents, reporter and Job do.

Each function returns figures by the keys of `table.ROWS`. `costs` measures the rest.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.control_plane import sites
from benchmarks.control_plane.api import WORKS, Api, Object
from benchmarks.control_plane.controller import Controller
from benchmarks.control_plane.hub import Hub
from benchmarks.control_plane.runs import Run
from benchmarks.control_plane.table import latency

from panal.api import names

Figures = dict[str, float]
PATIENCE = 900  # seconds for what a controller does for all clusters
PAUSE = 1.0  # seconds between two samples


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
