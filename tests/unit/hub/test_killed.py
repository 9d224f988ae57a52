"""The controller is killed at each of its writes, before and after it reaches the API server. The next one leads to the same objects."""

from __future__ import annotations

import asyncio

from memory_hub import Hub, controlled, ready, started
from panal.kube import kinds
from panal.kube.objects import Object

CLUSTERS = ("cluster1", "cluster2", "cluster3")


def without_versions(hub: Hub) -> dict[object, object]:
    """The objects without what differs between two runs: versions, uids and times."""
    return {key: _spec(obj) for key, obj in hub.objects.items()}


def _spec(obj: Object) -> object:
    status = obj.get("status") or {}
    labels = {k: v for k, v in obj["metadata"].items() if k in ("labels", "finalizers")}
    return {k: v for k, v in obj.items() if k not in ("metadata", "status")} | labels | {"phase": status.get("phase")}


class Killer:
    """Stops the process at write `number`, at `moment` of it."""

    def __init__(self, number: int, moment: str) -> None:
        self.left = number
        self.moment = moment
        self.reached = False

    async def __call__(self, moment: str) -> None:
        if self.reached:
            await asyncio.Event().wait()
        if moment != self.moment:
            return
        if self.left == 0:
            self.reached = True
            await asyncio.Event().wait()
        self.left -= 1


async def test_a_controller_that_is_killed_at_any_write_leads_to_the_same_objects() -> None:
    complete = ready(*started(*CLUSTERS))
    writes = Killer(-1, "before")
    complete.around = writes
    await controlled(complete, lambda: complete.statuses)
    count = -1 - writes.left
    assert count > 10
    for number in range(count):
        for moment in ("before", "after"):
            hub = ready(*started(*CLUSTERS))
            killer = Killer(number, moment)
            hub.around = killer
            await controlled(hub, lambda killer=killer: killer.reached)  # type: ignore[misc]
            uids = {key: obj["metadata"]["uid"] for key, obj in hub.objects.items()}
            hub.around = None
            await controlled(hub, lambda hub=hub: hub.statuses and hub.objects.keys() == complete.objects.keys())  # type: ignore[misc]
            assert without_versions(hub) == without_versions(complete), (number, moment)
            assert {key: hub.objects[key]["metadata"]["uid"] for key in uids} == uids  # nothing was created twice
            assert hub.deleted == []
            assert sum(kind == kinds.MANIFEST_WORK for kind, _, _ in hub.objects) == len(CLUSTERS)
