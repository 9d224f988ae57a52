"""A real Prometheus scrapes the controller's endpoint, evaluates the chart's alerts and answers the queries of its dashboard."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from federation import CLUSTERS, TRAFFIC, failed, filled, traffic, training
from memory_hub import Hub
from panal.addon.authority import Times
from panal.hub import metrics
from panal.hub.controller import utc_now
from panal.hub.scrape.exposition import Exposition
from panal.hub.scrape.snapshot import Snapshots
from panal.hub.server import served
from panal.hub.watched import watched
from panal.kube import metrics as kube_metrics
from panal.kube.cache import Cache
from panal.kube.queue import Waiting
from processes import free_port
from prometheus import DASHBOARD, PANELS, QUERIES, Prometheus, Target, running

SETTLED = 4  # scrapes
OF_SCRAPE = {"job": "panal", "namespace": "panal-system"}


async def test_every_query_of_the_dashboard_has_data_and_a_healthy_hub_has_no_alert(tmp_path: Path) -> None:
    hub = filled()
    async with asyncio.timeout(120):
        found = await _watched(tmp_path, hub, _asked)
    empty = [query for query, result in found["queries"].items() if not result]
    assert empty == []
    assert len(found["queries"]) == len(QUERIES)
    assert {rule["name"]: rule["health"] for rule in found["rules"]} == {rule["name"]: "ok" for rule in found["rules"]}
    assert found["alerts"] == []
    received = next(result for (title, _), result in found["queries"].items() if title == "Received from clusters")
    assert {each["metric"]["managed_cluster"] for each in received} == set(CLUSTERS)
    assert all(float(each["value"][1]) > 0 for each in received)


async def test_a_run_that_failed_is_an_alert(tmp_path: Path) -> None:
    async def ask(server: Prometheus, _: Hub) -> dict[str, Any]:
        await _until(lambda: _firing(server), 1)
        return {"alerts": [alert for alert in await asyncio.to_thread(server.alerts) if alert["state"] == "firing"]}

    async with asyncio.timeout(120):
        (alert,) = (await _watched(tmp_path, Hub(failed()), ask))["alerts"]
    of_run = {"run_namespace": "ns", "run": "digits", "phase": "Failed", "reason": "QuorumLost"}
    assert alert["labels"] == of_run | OF_SCRAPE | {"alertname": "PanalRunFailed", "severity": "warning"}
    assert alert["annotations"]["summary"] == "Run ns/digits has failed: QuorumLost"


async def _firing(server: Prometheus) -> int:
    return sum(alert["state"] == "firing" for alert in await asyncio.to_thread(server.alerts))


async def _asked(server: Prometheus, hub: Hub) -> dict[str, Any]:
    """While the gateway counts, a new aggregator begins at 0, and the run goes on."""
    for number in range(1, SETTLED + 1):
        counted = number if number < SETTLED else 1  # a new aggregator
        hub.put(traffic({cluster: [100 * counted, 0, 5_000_000 * counted, 9_000_000 * counted] for cluster in TRAFFIC}))
        hub.put(training(seconds=20.0 + number))
        before = await _scrapes(server)
        await _until(lambda before=before: _scrapes(server), before + 1)
    queries = await asyncio.to_thread(server.dashboard)
    await _until(lambda: _evaluated(server), 15)
    return {"queries": queries, "rules": await asyncio.to_thread(server.rules), "alerts": await asyncio.to_thread(server.alerts)}


async def _scrapes(server: Prometheus) -> float:
    result = await asyncio.to_thread(server.query, "count_over_time(panal_run_status[1h])")
    return float(result[0]["value"][1]) if result else 0


async def _evaluated(server: Prometheus) -> int:
    return sum(rule["health"] != "unknown" for rule in await asyncio.to_thread(server.rules))


async def _until(question: Callable[[], Any], least: float) -> None:
    while await question() < least:
        await asyncio.sleep(0.2)


async def _watched(folder: Path, hub: Hub, ask: Callable[[Prometheus, Hub], Any]) -> dict[str, Any]:
    cache = Cache(hub, watched())  # type: ignore[arg-type]
    snapshots = Snapshots(cache, "panal-system", Times(), utc_now)
    snapshots.lead({"runs": Waiting, "addon": Waiting})
    kube_metrics.REQUESTS.labels("get", "200").inc()
    metrics.LEADER.set(1)
    watching = asyncio.create_task(cache.run())
    try:
        await cache.wait_synced()
        port = free_port()
        async with served(port, list, Exposition(snapshots.take), None):
            with running(folder, Target(port)) as server:
                return dict(await ask(server, hub))
    finally:
        watching.cancel()
        metrics.LEADER.set(0)


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel["title"])
def test_panels_name_the_data_source_by_its_variable(panel: dict[str, Any]) -> None:
    assert panel["datasource"]["uid"] == "${datasource}"
    assert all(target["datasource"] == panel["datasource"] for target in panel["targets"])


def test_panels_do_not_overlap() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        at = panel["gridPos"]
        cells = {(at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])}
        assert not cells & taken
        taken |= cells
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])


def test_labels_of_legends_are_those_of_the_metrics() -> None:
    labels = {label for panel in PANELS for target in panel["targets"] for label in re.findall(r"\{\{(\w+)\}\}", target["legendFormat"])}
    assert labels <= {"phase", "run", "run_namespace", "managed_cluster", "metric", "state", "result", "queue", "code", "pod"}
