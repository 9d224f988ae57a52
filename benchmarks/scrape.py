"""What a scrape of the controller's metrics costs on a large hub: its size, its time, and for how long the event loop is blocked.

    .venv/bin/python benchmarks/scrape.py                       # 3,500 clusters and 1,000 runs that train on 50 clusters each

The series are derived from statuses and add-ons of realistic size, which lie in memory as in the controller's watch cache. A task on the
same event loop sleeps for a millisecond in a loop; what it oversleeps is how long it was blocked, with a scrape and without.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import resource
import time
from datetime import timedelta
from typing import Any

from panal.addon import issued
from panal.addon.authority import Times
from panal.addon.issued import Issued
from panal.api import names
from panal.hub.scrape.exposition import Exposition
from panal.hub.scrape.snapshot import Snapshots
from panal.kube import kinds
from panal.kube.kinds import Kind
from panal.kube.objects import Key, Object
from panal.kube.queue import Waiting
from panal.kube.store import Store
from panal.kube.times import now_utc, to_time

TICK = 0.001


class Objects:
    """The part of the watch cache that a snapshot is taken from."""

    def __init__(self) -> None:
        self._stores: dict[Kind, Store] = {}

    def put(self, kind: Kind, obj: Object) -> None:
        self._stores.setdefault(kind, Store({})).put(obj)

    def get(self, kind: Kind, namespace: str, name: str) -> Object | None:
        return self._stores[kind].get(Key(namespace, name)) if kind in self._stores else None

    def list(self, kind: Kind) -> list[Object]:
        return self._stores[kind].all() if kind in self._stores else []

    def synced(self, *_: Kind) -> bool:
        return True

    def subscribe(self, _: object) -> None: ...


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clusters", type=int, default=3500)
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--scrapes", type=int, default=5)
    options = parser.parse_args()
    print(json.dumps(asyncio.run(measured(filled(options.clusters, options.runs), options.scrapes)), indent=2))


async def measured(cache: Objects, scrapes: int) -> dict[str, float]:
    snapshots = Snapshots(cache, "panal-system", Times(), now_utc)  # type: ignore[arg-type]
    snapshots.lead({"runs": Waiting})
    gc.collect()
    gc.freeze()  # as the controller does
    before, calm = memory(), await blocked(asyncio.sleep(2))
    took, snapshot, late, size, lines = [], [], [], 0, 0
    for _ in range(scrapes):
        exposition = Exposition(snapshots.take)
        began = time.monotonic()
        snapshots.take()
        snapshot.append(time.monotonic() - began)
        began = time.monotonic()
        late += await blocked(text := asyncio.create_task(exposition.text("")))
        took.append(time.monotonic() - began)
        size, lines = len(text.result().body), text.result().body.count(b"\n")
    late.sort()
    return {
        "lines": lines,
        "megabytes": round(size / 1e6, 1),
        "seconds": round(min(took), 2),
        "snapshot_ms": round(1000 * min(snapshot), 1),
        "blocked_p50_ms": round(1000 * late[len(late) // 2], 1),
        "blocked_p99_ms": round(1000 * late[int(0.99 * len(late))], 1),
        "blocked_max_ms": round(1000 * late[-1], 1),
        "blocked_max_without_ms": round(1000 * max(calm), 1),
        "memory_mib": round(memory() - before),
    }


async def blocked(work: Any) -> list[float]:
    """By how much each short sleep was late until `work` was done."""
    running, late = asyncio.ensure_future(work), []
    while not running.done():
        began = time.monotonic()
        await asyncio.sleep(TICK)
        late.append(time.monotonic() - began - TICK)
    return late


def memory() -> float:
    """The largest resident memory so far, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def filled(clusters: int, runs: int) -> Objects:
    found, now = Objects(), now_utc()
    for number in range(clusters):
        cluster = f"cluster{number}"
        found.put(kinds.MANAGED_CLUSTER, {"metadata": {"name": cluster}})
        certificates = [Issued(1 << 100, now - timedelta(hours=h), now + timedelta(hours=24 - h), f"uid-{h}") for h in (1, 20)]
        annotations = {names.ANNOTATION_CERTIFICATES: issued.text(certificates, now)}
        found.put(kinds.MANAGED_CLUSTER_ADDON, {"metadata": {"namespace": cluster, "name": names.ADDON, "annotations": annotations}})
    for number in range(runs):
        metadata = {"namespace": f"team{number % 20}", "name": f"run{number}", "uid": f"uid{number}", "creationTimestamp": to_time(now)}
        mine = [f"cluster{(number + n) % clusters}" for n in range(50)]
        found.put(kinds.FEDERATED_LEARNING, {"metadata": metadata, "status": status(mine)})
        data = {names.KEY_TRAFFIC: json.dumps({cluster: [1000, 0, 1 << 30, 1 << 31] for cluster in mine})}
        progress = {
            "namespace": metadata["namespace"],
            "name": names.progress(metadata["name"]),
            "labels": {names.LABEL_RUN_UID: metadata["uid"]},
        }
        found.put(kinds.CONFIG_MAP, {"metadata": progress, "data": data})
    return found


def status(clusters: list[str]) -> Object:
    metrics = {"accuracy": 0.9, "loss": 0.1}
    collaborators = [{"cluster": c, "state": "Training", "round": 3, "seconds": 12.5, "metrics": metrics} for c in clusters]
    return {
        "phase": "Running",
        "conditions": [{"type": "Progressing", "status": "True", "reason": "Training"}],
        "rounds": {"completed": 3, "total": 10, "replies": 50, "failures": 0, "seconds": 14.5},
        "clients": {"selected": 50, "ready": 50, "failed": 0},
        "metrics": metrics,
        "collaborators": collaborators,
    }


if __name__ == "__main__":
    main()
