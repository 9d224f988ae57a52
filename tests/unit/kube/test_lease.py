"""Leader election over time, with outages of the API server. tests/real has the tests with a real server."""

import asyncio

import pytest

from panal.kube.client import Client
from panal.kube.errors import LeadershipLost
from panal.kube.kinds import CONFIG_MAP, LEASE
from panal.kube.lease import LeaderLease, LeaseTiming

TIMING = LeaseTiming(duration=30, every=4, margin=4, attempt=8)


class Candidate:
    """A controller that acquires the lease, holds it, and records why it lost it."""

    def __init__(self, api, clock, identity):
        self.lease = LeaderLease(api, "panal", "controller", identity, TIMING, clock=clock, jitter=lambda: 0.5)
        self.lost = ""
        self.task = asyncio.create_task(self._run())

    async def _run(self):
        await self.lease.acquire()
        try:
            await self.lease.hold()
        except LeadershipLost as error:
            self.lost = str(error)

    async def die(self):
        """As by SIGKILL, without a release."""
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


@pytest.fixture
async def start(clock):
    started = []

    def begin(api, identity):
        started.append(Candidate(api, clock, identity))
        return started[-1]

    yield begin
    for candidate in started:
        await candidate.die()


def spec(api):
    return api.objects[LEASE, "panal", "controller"]["spec"]


async def test_one_of_two_stays_the_leader(api, clock, start):
    a, b = start(api, "a"), start(api, "b")
    for _ in range(60):
        await clock.advance(5)
        assert (a.lease.leading(), b.lease.leading()) == (True, False)
    assert spec(api)["holderIdentity"] == "a"
    assert spec(api)["leaseTransitions"] == 0


async def test_another_candidate_takes_over_when_the_leader_dies(api, clock, start):
    a, b = start(api, "a"), start(api, "b")
    await clock.advance(10)
    await a.die()
    await clock.advance(TIMING.duration - TIMING.every - 2)
    assert not b.lease.leading()
    await clock.advance(3 * TIMING.every)
    assert b.lease.leading()
    assert spec(api)["leaseTransitions"] == 1


async def test_an_outage_shorter_than_the_lease_has_no_effect(api, clock, start):
    a, b = start(api, "a"), start(api, "b")
    await clock.advance(10)
    api.unreachable = True
    await clock.advance(20)
    assert a.lease.leading()
    api.unreachable = False
    await clock.advance(60)
    assert (a.lease.leading(), b.lease.leading(), a.lost) == (True, False, "")


async def test_a_disconnected_leader_stops_before_another_can_lead(api, clock, start):
    class CutOff:
        """The same store behind a network that fails."""

        unreachable = False

        def __getattr__(self, name):
            return getattr(api if not self.unreachable else broken, name)

    broken = type(api)()
    broken.unreachable = True
    view = CutOff()
    a = start(view, "a")
    await clock.advance(1)
    b = start(api, "b")
    await clock.advance(10)
    view.unreachable = True
    leaders = []
    for _ in range(400):
        await clock.advance(0.1)
        assert not (a.lease.leading() and b.lease.leading())
        leaders.append("a" if a.lease.leading() else "b" if b.lease.leading() else "-")
    assert "".join(leaders).strip("a").strip("b").strip("-") == ""
    assert (leaders[0], leaders[-1]) == ("a", "b")
    assert "could not be renewed in time" in a.lost


async def test_a_leader_that_was_stopped_notices_another_leader(api, clock, start):
    a = start(api, "a")
    await clock.advance(1)
    frozen = api.objects[LEASE, "panal", "controller"]
    frozen["spec"]["holderIdentity"] = "b"
    await clock.advance(TIMING.every)
    assert "held by another" in a.lost
    assert not a.lease.leading()


async def test_after_a_release_the_next_attempt_succeeds(api, clock, start):
    a, b = start(api, "a"), start(api, "b")
    await clock.advance(10)
    await a.die()
    await a.lease.release()
    assert not a.lease.leading()
    await clock.advance(TIMING.every + 1)
    assert b.lease.leading()


async def test_release_does_not_change_the_lease_of_another(api, clock, start):
    start(api, "a")
    await clock.advance(1)
    await LeaderLease(api, "panal", "controller", "b", TIMING, clock=clock).release()
    assert spec(api)["holderIdentity"] == "a"


async def test_a_restarted_container_leads_immediately(api, clock, start):
    a = start(api, "a")
    await clock.advance(10)
    await a.die()
    again = start(api, "a")
    await clock.advance(0.1)
    assert again.lease.leading()
    assert spec(api)["leaseTransitions"] == 0


async def test_a_candidate_survives_an_outage(api, clock, start):
    api.unreachable = True
    a = start(api, "a")
    await clock.advance(100)
    assert not a.lease.leading()
    api.unreachable = False
    await clock.advance(TIMING.every + 1)
    assert a.lease.leading()


async def test_a_process_that_was_stopped_is_no_longer_the_leader(api, clock, start):
    a = start(api, "a")
    await clock.advance(1)
    clock.time += TIMING.duration  # the process was stopped; no task has run since
    assert not a.lease.leading()


class Wire:
    """A connection that records requests."""

    def __init__(self):
        self.sent = []

    async def send(self, request):
        self.sent.append(request.verb)
        return {"metadata": {"name": "c", "namespace": "ns", "resourceVersion": "1", "uid": "u"}}


async def test_a_paused_leader_writes_nothing_after_it_wakes(api, clock):
    """It was stopped for longer than its lease lasts, between two writes."""
    lease, wire = LeaderLease(api, "panal", "controller", "a", TIMING, clock=clock), Wire()
    await lease.acquire()
    client = Client(wire).while_leading(lease.leading)
    obj = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"namespace": "ns", "name": "c"}}
    await client.apply(obj)
    clock.time += TIMING.duration
    for write in (
        client.apply(obj),
        client.apply_status(obj | {"status": {}}),
        client.create(obj),
        client.delete(CONFIG_MAP, "ns", "c"),
        client.managing("other").merge_patch(CONFIG_MAP, "ns", "c", {}),
        client.add_finalizer(CONFIG_MAP, "ns", "c", "f"),
    ):
        with pytest.raises(LeadershipLost, match="no longer the leader"):
            await write
    assert wire.sent == ["apply", "get"]  # reading is allowed
    await Client(wire).delete(CONFIG_MAP, "ns", "c")
    assert wire.sent[-1] == "delete"
