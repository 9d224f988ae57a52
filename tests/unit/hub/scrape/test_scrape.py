"""The endpoint of the controller: what a client gets from a filled watch cache, and what promtool says about it."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta

import aiohttp
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_open_metrics
from prometheus_client.parser import text_string_to_metric_families as parse

from federation import NOW, filled, finished
from memory_hub import Hub
from panal.addon.authority import Times
from panal.hub.scrape import exposition
from panal.hub.scrape.exposition import Exposition
from panal.hub.scrape.reference import names
from panal.hub.scrape.snapshot import Snapshot, Snapshots
from panal.hub.server import served
from panal.hub.watched import watched
from panal.kube import kinds
from panal.kube.cache import Cache
from panal.kube.queue import Waiting
from processes import free_port
from prometheus import promtool


class Time:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now


@asynccontextmanager
async def snapshots(hub: Hub, time: Time | None = None) -> AsyncIterator[Snapshots]:
    cache = Cache(hub, watched())  # type: ignore[arg-type]
    found = Snapshots(cache, "panal-system", Times(), time or Time())
    task = asyncio.create_task(cache.run())
    try:
        await cache.wait_synced()
        yield found
    finally:
        task.cancel()


async def scraped(found: Snapshots, accept: str = "", problems: list[str] | None = None) -> tuple[str, str]:
    port = free_port()
    url, headers = f"http://127.0.0.1:{port}/metrics", {"Accept": accept}
    async with (
        served(port, lambda: problems or [], Exposition(found.take), None),
        aiohttp.ClientSession() as session,
        session.get(url, headers=headers) as answer,
    ):
        assert answer.status == 200
        return await answer.text(), answer.headers["Content-Type"]


def value(text: str, series: str) -> float | None:
    return next((float(line.rpartition(" ")[2]) for line in text.splitlines() if line.startswith(f"{series} ")), None)


RUN = 'run="digits",run_namespace="ns"'


async def test_only_the_leader_has_the_series_of_the_hub() -> None:
    async with snapshots(filled()) as found:
        assert "panal_run" not in (await scraped(found))[0]
        found.lead({"runs": lambda: Waiting(2, 7.5)})
        text, _ = await scraped(found, problems=["one"])
        assert value(text, f"panal_run_rounds_completed{{{RUN}}}") == 1
        assert value(text, f'panal_run_cluster_received_bytes_total{{managed_cluster="cluster1",{RUN}}}') == 5e6
        assert value(text, 'panal_queue_oldest_age_seconds{queue="runs"}') == 7.5
        assert value(text, "panal_problems") == 1
        found.lead(None)
        assert "panal_run" not in (await scraped(found))[0]


async def test_the_series_of_a_run_end_with_it() -> None:
    hub, time = filled(), Time()
    async with snapshots(hub, time) as found:
        found.lead({})
        hub.put(finished())
        await until(lambda: found.take() is not None and found.take().runs[0].ended)  # type: ignore[union-attr]
        text, _ = await scraped(found)
        assert [line for line in text.splitlines() if RUN in line] == [
            f'panal_run_status{{phase="Completed",reason="Completed",{RUN}}} 1.0'
        ]
        time.now += timedelta(hours=1)
        assert RUN not in (await scraped(found))[0]
        await hub.delete(kinds.FEDERATED_LEARNING, "ns", "digits")
        await until(lambda: found.take() is not None and not found.take().phases)  # type: ignore[union-attr]


async def until(true: object) -> None:
    async with asyncio.timeout(10):
        while not true():  # type: ignore[operator]
            await asyncio.sleep(0.01)


async def test_the_time_of_a_round_is_when_its_number_changed() -> None:
    hub, time = filled(), Time()

    def since() -> float | None:
        found = taken.take()
        assert found
        return found.runs[0].round_since

    def change(**rounds: int) -> None:
        run = hub.objects[kinds.FEDERATED_LEARNING, "ns", "digits"]
        hub.put({**run, "status": run["status"] | {"rounds": run["status"]["rounds"] | rounds}})

    async with snapshots(hub, time) as taken:
        taken.lead({})
        began = NOW.timestamp()
        assert since() == began
        time.now += timedelta(seconds=30)
        change(replies=1)
        await until(lambda: taken.take().runs[0].status["rounds"]["replies"] == 1)  # type: ignore[union-attr]
        assert since() == began
        change(completed=2)
        await until(lambda: since() != began)
        assert since() == began + 30


async def test_both_formats_have_the_same_metrics() -> None:
    async with snapshots(filled()) as found:
        found.lead({})
        plain, plain_type = await scraped(found)
        asked = "application/openmetrics-text;version=1.0.0;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,text/plain;q=0.3"
        open_metrics, open_type = await scraped(found, asked)
        odd, _ = await scraped(found, "application/openmetrics-text;version=abc;escaping=x")
    assert plain_type.startswith("text/plain; version=0.0.4")
    assert open_type.startswith("application/openmetrics-text; version=1.0.0")
    assert odd.endswith("# EOF\n")
    both = [{family.name.removesuffix("_total") for family in families} for families in (parse(plain), parse_open_metrics(open_metrics))]
    assert both[0] == both[1] >= {name.removesuffix("_total") for name in names() if name.startswith("panal_run_")}


async def test_promtool_finds_nothing_wrong_and_every_metric_is_on_the_page() -> None:
    async with snapshots(filled()) as found:
        found.lead({"runs": Waiting})
        text, _ = await scraped(found)
    done = subprocess.run([promtool(), "check", "metrics"], input=text, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    ours = {line.split("{")[0].split(" ")[0] for line in text.splitlines() if line.startswith("panal_")}
    assert {name for name in ours if not name.endswith("_bucket")} <= set(names())
    assert set(names()) - ours <= {"panal_certificate_requests_total", "panal_kube_lists_total", "panal_kube_requests_total",
                                   "panal_kube_watch_restarts_total"}  # fmt: skip  # have no series before the first count


async def test_a_text_is_made_again_only_after_a_rest() -> None:
    taken: list[int] = []

    def take() -> Snapshot:
        taken.append(1)
        return Snapshot()

    endless = Exposition(take)
    texts = await asyncio.gather(*(endless.text("") for _ in range(5)))
    assert len(taken) == 1
    assert len({text.body for text in texts}) == 1
    await endless.text(exposition.OPEN_METRICS)
    assert len(taken) == 2  # another format


async def test_a_run_that_took_the_name_of_another_does_not_get_its_traffic() -> None:
    hub = filled()
    progress = hub.objects[kinds.CONFIG_MAP, "ns", "digits-progress"]
    hub.put({**progress, "metadata": progress["metadata"] | {"labels": {"fl.panal/run-uid": "another"}}})
    async with snapshots(hub) as found:
        found.lead({})
        assert json.loads(progress["data"]["traffic"])
        assert "panal_run_cluster_requests_total{" not in (await scraped(found))[0]
