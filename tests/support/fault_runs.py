"""Runs behind an API server that refuses, throttles, fails, is slow or whose watches fall silent. All but the controller is played."""

from __future__ import annotations

import asyncio
import json
import ssl

from benchmarks.control_plane import ROOT, measures, sites
from benchmarks.control_plane.api import Api, Object, each
from benchmarks.control_plane.controller import Controller
from benchmarks.control_plane.hub import Hub
from benchmarks.control_plane.runs import ROUNDS, Run

from faulty_api import CONFLICT, Fault, FaultyApi
from rights import CREATED, USER, entries

CLUSTERS = [f"c{number:02}" for number in range(30)]


def join(hub: Hub) -> None:
    """The clusters join the hub and take part."""

    async def joined() -> None:
        async with Api.open(hub) as api:
            await each(CLUSTERS, lambda c: sites.join(api, c))
            await each(CLUSTERS, lambda c: sites.take_part(api, c))

    asyncio.run(joined())


def completes_with_each_work_created_once(hub: Hub, fault: Fault) -> None:
    status, proxy = asyncio.run(_whole_run(hub, fault))
    assert (status["phase"], status["model"]["round"]) == ("Completed", ROUNDS), status
    if fault.code:
        assert sum("/manifestworks" in path for path in proxy.refused) > len(CLUSTERS) // 2, proxy.refused
    assert bool(proxy.silenced) == fault.silent
    created = [e["objectRef"]["namespace"] for e in entries(hub.dir / "log/audit.log") if _is_creation_of_a_work(e, fault.name)]
    assert sorted(created) == CLUSTERS
    if fault is not CONFLICT:  # which concerns an object, and is shown until the write succeeds
        assert _warnings(hub, fault.name) == []
        assert "refuse" not in (hub.dir / "log/controller.log").read_text()


async def _whole_run(hub: Hub, fault: Fault) -> tuple[Object, FaultyApi]:
    """The status of a run that has ended, without works, and the proxy."""
    async with (
        Api.open(hub) as api,
        FaultyApi(hub.url, ssl.create_default_context(cafile=str(hub.pki.folder / "ca.crt")), fault).running() as proxy,
        Controller.of(ROOT, hub, server=proxy.url),
        Run.on(api, fault.name, CLUSTERS) as run,
    ):
        await run.begin()
        await measures.all_works(run)
        await measures.all_ready(run)
        await measures.complete_to_status(run)
        await run.resource.until(lambda _: bool(run.status.get("model")), "the status names the model", 60)
        return run.status, proxy


def _is_creation_of_a_work(entry: Object, run: str) -> bool:
    ref = entry.get("objectRef") or {}
    ours = ref.get("resource") == "manifestworks" and entry["user"]["username"] == USER and ref.get("name", "").startswith(f"fl-{run}-")
    return bool(ours and entry["verb"] == "create" and entry["responseStatus"]["code"] == CREATED)


def _warnings(hub: Hub, run: str) -> list[str]:
    events = json.loads(hub.kubectl("-n", "runs", "get", "events", "-o", "json"))["items"]
    return [e["message"] for e in events if e["type"] == "Warning" and e["involvedObject"]["name"] == run]
