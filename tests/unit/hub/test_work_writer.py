"""Which works are written when: only what differs, in slices of time, and nothing more during an outage."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from panal.api import names
from panal.hub import work_writer
from panal.hub.work_writer import WorkWriter
from panal.hub.works import trim
from panal.kube import kinds
from panal.kube.errors import AlreadyExists, ApiError, Conflict, Forbidden, KubeError, LeadershipLost, TooManyRequests, Unavailable
from panal.kube.kinds import Kind
from panal.kube.objects import Object
from panal.lifecycle.collaborators import Works
from panal.lifecycle.decide import decide
from panal.lifecycle.world import PlacementView
from worlds import NOW, cluster, clusters, fresh, job, names_of, pod, progress, service, sites

GONE = Unavailable(0, "ConnectError", "All connection attempts failed")


class Clock:
    now = 0.0

    def monotonic(self) -> float:
        return self.now


class Hub:
    """Client and watch cache in one. `seen` is what the cache has. A write takes `seconds` of the clock."""

    def __init__(self, clock: Clock, seconds: float = 0.0) -> None:
        self.clock = clock
        self.seconds = seconds
        self.seen: dict[str, Object] = {}
        self.errors: dict[str, KubeError] = {}
        self.written: list[tuple[str, str]] = []
        self.stored: dict[str, Object] = {}

    def get(self, kind: Kind, namespace: str, name: str) -> Object | None:
        assert kind == kinds.MANIFEST_WORK
        return self.seen.get(namespace)

    async def create(self, obj: Object, *, brief: bool) -> Object:
        return self.store("create", obj)

    async def apply(self, obj: Object, force: bool) -> Object:
        return self.store("force" if force else "apply", obj)

    def store(self, how: str, obj: Object) -> Object:
        cluster = obj["metadata"]["namespace"]
        self.clock.now += self.seconds
        if cluster in self.errors:
            raise self.errors[cluster]
        self.written.append((how, cluster))
        known = {"uid": f"u-{cluster}", "generation": len(self.written), "creationTimestamp": "2026-01-01T00:00:00Z"}
        self.stored[cluster] = obj | {"metadata": obj["metadata"] | known}
        return self.stored[cluster]

    def see(self, obj: Object) -> None:
        self.seen[obj["metadata"]["namespace"]] = trim(obj)


def desired(count: int = 3, **changes: Any) -> Works:
    many = range(1, count + 1)
    world = fresh(
        exposed=(service(),),
        job=job(pod()),
        progress=progress(connected=0, started=False),
        placement=PlacementView(selected=names_of(*many)),
        clusters=clusters(*(cluster(n) for n in many)),
        sites=sites(*many),
    )
    works = decide(replace(world, **changes), NOW).works
    assert works
    return works


def writer(seconds: float = 0.0) -> tuple[WorkWriter, Hub, Clock]:
    clock = Clock()
    hub = Hub(clock, seconds)
    both: Any = hub
    return WorkWriter(both, both, clock), hub, clock  # type: ignore[arg-type]


@pytest.fixture
def renders(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The clusters whose works have been rendered."""
    found: list[str] = []
    render: Callable[..., Object] = Works.render

    def counted(self: Works, site: Any, existing: Any = ()) -> Object:
        found.append(site.cluster)
        return render(self, site, existing)

    monkeypatch.setattr(Works, "render", counted)
    return found


async def test_each_work_is_created_once_although_the_cache_does_not_have_it_yet(renders: list[str]) -> None:
    works, (one, hub, clock) = desired(), writer()
    assert (await one.write(works)).added == ("cluster1", "cluster2", "cluster3")
    assert await one.write(desired()) == work_writer.Applied(look_again=work_writer.LAG)
    assert [how for how, _ in hub.written] == ["create"] * 3
    assert renders == ["cluster1", "cluster2", "cluster3"]
    clock.now += work_writer.LAG  # a write that the cache does not have after that time is tried again
    assert len((await one.write(works)).added) == 3


async def test_a_run_is_not_looked_at_for_writes_that_the_cache_has() -> None:
    works, (one, hub, _) = desired(2), writer()
    for site in works.sites:
        assert (await one.write(works)).look_again == work_writer.LAG
        hub.see(hub.stored[site.cluster])
    assert await one.write(works) == work_writer.Applied()


async def test_nothing_is_rendered_after_a_comparison_that_found_no_difference(renders: list[str]) -> None:
    works, (one, hub, clock) = desired(), writer()
    for site in works.sites:
        hub.see(hub.store("create", work_writer.stamped(works.render(site))))
    hub.written.clear()
    renders.clear()
    for _ in range(3):
        assert await one.write(desired()) == work_writer.Applied()
        clock.now += 1000
    assert (hub.written, len(renders)) == ([], 3)


async def test_a_spec_that_somebody_changed_is_restored() -> None:
    works, (one, hub, _) = desired(1), writer()
    await one.write(works)
    stored = hub.store("create", work_writer.stamped(works.render(works.sites[0])))
    stored["spec"]["workload"]["manifests"].pop(0)
    hub.see(stored)
    hub.written.clear()
    await one.write(works)
    assert hub.written == [("force", "cluster1")]


async def test_a_work_that_is_nested_deeply_is_restored() -> None:
    """A cluster's agent may update the works in its namespace, and manifests are free objects. Each depth that the decoder permits."""
    for levels in range(sys.getrecursionlimit(), sys.getrecursionlimit() - 100, -1):
        works, (one, hub, _) = desired(2), writer()
        stored = hub.store("create", work_writer.stamped(works.render(works.sites[0])))
        deep: Object = {}
        for _ in range(levels):
            deep = {"a": deep}
        next(m for m in stored["spec"]["workload"]["manifests"] if m["kind"] == "StatefulSet")["deep"] = deep
        hub.see(stored)
        hub.written.clear()
        assert (await one.write(works)).refused == ()
        assert sorted(hub.written) == [("create", "cluster2"), ("force", "cluster1")]


async def test_labels_that_somebody_changed_are_restored() -> None:
    """Labels do not change the generation."""
    works, (one, hub, _) = desired(1), writer()
    stored = hub.store("create", work_writer.stamped(works.render(works.sites[0])))
    hub.see(stored)
    assert await one.write(works) == work_writer.Applied()
    stored["metadata"]["labels"].pop(names.LABEL_RUN)
    hub.see(stored)
    hub.written.clear()
    await one.write(works)
    assert hub.written == [("force", "cluster1")]


async def test_a_work_that_somebody_deleted_is_created_again() -> None:
    works, (one, _, _) = desired(2), writer()
    await one.write(works)
    stored = works.render(works.sites[1])
    one.forget(stored | {"metadata": stored["metadata"] | {"uid": "u-cluster2"}})
    assert (await one.write(works)).added == ("cluster2",)


async def test_a_changed_address_changes_each_work_and_keeps_its_stateful_set() -> None:
    works, (one, hub, _) = desired(2), writer()
    for site in works.sites:
        hub.see(hub.store("create", work_writer.stamped(works.render(site))))
    moved = desired(2, node_addresses=("192.0.2.99",))
    await one.write(moved)
    assert hub.written[2:] == [("force", "cluster1"), ("force", "cluster2")]


async def test_writing_ends_after_a_slice_of_time_and_goes_on_at_the_next_call() -> None:
    works, (one, hub, _) = desired(40), writer(seconds=work_writer.SLICE / 10)
    first = await one.write(works)
    assert (first.more, 10 <= len(first.added) < 40) == (True, True)
    while (await one.write(works)).more:
        pass
    assert sorted(hub.written) == sorted(("create", site.cluster) for site in works.sites)


async def test_slow_comparisons_do_not_keep_a_run_from_its_works(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each comparison takes longer than a slice: every call still writes."""
    works, (one, hub, clock) = desired(40), writer()
    stamped = work_writer.stamped

    def slow(obj: Object) -> Object:
        clock.now += 2 * work_writer.SLICE
        return stamped(obj)

    monkeypatch.setattr(work_writer, "stamped", slow)
    for _ in range(40):
        if not (await one.write(works)).more:
            break
    assert len(hub.written) == 40


async def test_refused_works_are_reported_and_tried_after_the_others() -> None:
    works, (one, hub, _) = desired(40), writer(seconds=work_writer.SLICE / 10)
    hub.errors["cluster1"] = Forbidden(403, "Forbidden", "quota")
    first = await one.write(works)
    assert [r.namespace for r in first.refused] == ["cluster1"]
    found = first
    while found.more:
        found = await one.write(works, found.refused)
        assert [r.namespace for r in found.refused] == ["cluster1"]
    assert len(hub.written) == 39


async def test_each_refused_work_is_tried_again_although_a_slice_is_too_short_for_all() -> None:
    works, (one, hub, _) = desired(60), writer(seconds=work_writer.SLICE / 10)
    hub.errors = {site.cluster: Forbidden(403, "Forbidden", "quota") for site in works.sites}
    found = await one.write(works)
    while found.more:
        found = await one.write(works, found.refused)
    last = works.sites[-1].cluster
    hub.errors.pop(last)
    for _ in range(6):
        found = await one.write(works, found.refused)
    assert hub.written == [("create", last)]
    assert len(found.refused) == 59


@pytest.mark.parametrize("error", [GONE, LeadershipLost("another process leads")])
async def test_an_outage_ends_the_writes_and_refuses_nothing(error: KubeError) -> None:
    works, (one, hub, _) = desired(100), writer()
    hub.errors = {site.cluster: error for site in works.sites}
    with pytest.raises(type(error)):
        await one.write(works)
    assert hub.written == []
    hub.errors.clear()
    assert len((await one.write(works)).added) == 100


@pytest.mark.parametrize(
    ("error", "outage"),
    [
        (GONE, True),
        (Unavailable(500, "InternalError", "etcdserver: leader changed"), True),
        (Unavailable(500, "InternalError", "failed calling webhook"), False),
        (Unavailable(503, "ServiceUnavailable", ""), True),
        (ApiError(429, "TooManyRequests", ""), True),
        (Forbidden(403, "Forbidden", "quota"), False),
    ],
)
def test_only_what_concerns_the_object_is_a_refusal(error: ApiError, outage: bool) -> None:
    assert work_writer.is_outage(error) is outage


async def test_a_work_of_somebody_else_is_not_overwritten() -> None:
    works, (one, hub, _) = desired(1), writer()

    async def exists(obj: Object, *, brief: bool) -> Object:
        raise AlreadyExists(409, "AlreadyExists", "exists")

    async def conflict(obj: Object, force: bool) -> Object:
        assert not force
        raise Conflict(409, "Conflict", "another manager")

    hub.create, hub.apply = exists, conflict  # type: ignore[method-assign]
    assert [r.message for r in (await one.write(works)).refused] == ["another manager"]


async def test_a_call_that_was_interrupted_after_some_writes_goes_on_soon() -> None:
    works, (one, hub, _) = desired(3), writer()
    hub.errors["cluster2"] = TooManyRequests(429, "TooManyRequests", "later", retry_after=7)
    first = await one.write(works)
    assert (first.added, first.refused, first.more, first.look_again) == (("cluster1", "cluster3"), (), True, 7)
    with pytest.raises(TooManyRequests):
        await one.write(works)
