"""The work queue, under a clock that the test controls."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from panal.kube.backoff import Backoff
from panal.kube.queue import WorkQueue

NO_JITTER = Backoff(first=1, cap=45, jitter=lambda: 0.0)


@pytest.fixture
async def queue(clock):
    queue = WorkQueue[str](clock, NO_JITTER)
    yield queue
    queue.close()
    await asyncio.sleep(0)


async def take(queue):
    return await asyncio.wait_for(queue.get(), 1)


async def test_a_key_is_queued_once(queue):
    for key in ("a", "b", "a", "a"):
        queue.add(key)
    assert [await take(queue), await take(queue)] == ["a", "b"]
    assert len(queue) == 0


async def test_a_key_added_while_a_worker_has_it_waits_for_done(queue):
    queue.add("a")
    await take(queue)
    queue.add("a")
    queue.add("a")
    assert len(queue) == 0
    queue.done("a")
    assert await take(queue) == "a"
    queue.done("a")
    assert len(queue) == 0


async def test_the_earliest_of_several_delays_counts(queue, clock):
    queue.add_after("a", 30)
    queue.add_after("a", 10)
    queue.add_after("a", 20)
    await clock.advance(9.9)
    assert len(queue) == 0
    await clock.advance(0.2)
    assert len(queue) == 1
    await take(queue)
    queue.done("a")
    await clock.advance(60)
    assert len(queue) == 0


async def test_a_delay_of_zero_adds_immediately(queue):
    queue.add_after("a", 0)
    assert len(queue) == 1


async def test_retry_delays_double_up_to_the_cap_until_forget(queue):
    assert [queue.retry("a") for _ in range(8)] == [1, 2, 4, 8, 16, 32, 45, 45]
    assert queue.failures("a") == 8
    queue.forget("a")
    assert queue.retry("a") == 1
    assert queue.retry("b") == 1


async def test_a_retried_key_is_added_after_its_delay(queue, clock):
    queue.add("a")
    await take(queue)
    queue.retry("a")
    queue.done("a")
    await clock.advance(0.9)
    assert len(queue) == 0
    await clock.advance(0.2)
    assert await take(queue) == "a"


async def test_close_drops_delayed_keys(queue, clock):
    queue.add_after("a", 5)
    queue.close()
    await clock.advance(10)
    assert len(queue) == 0


def test_jitter_removes_at_most_half():
    assert Backoff(2, 100, jitter=lambda: 1.0).delay(3) == 4
    assert Backoff(2, 100, jitter=lambda: 0.0).delay(3) == 8
    assert Backoff(2, 100, jitter=lambda: 0.0).delay(10_000) == 100


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(["add", "get", "done"])), max_size=60))
def test_no_key_has_two_workers_and_no_key_is_lost(steps):
    async def play():
        queue, active, wanted = WorkQueue[str](), set(), set()
        for key, step in steps:
            if step == "add":
                queue.add(key)
                wanted.add(key)
            elif step == "get" and len(queue):
                got = await queue.get()
                assert got not in active
                assert got in wanted
                wanted.discard(got)
                active.add(got)
            elif step == "done" and key in active:
                active.discard(key)
                queue.done(key)
        for key in active:
            queue.done(key)
        assert {await queue.get() for _ in range(len(queue))} == wanted

    asyncio.run(play())


async def test_the_oldest_key_says_how_long_keys_wait(queue, clock):
    assert queue.waiting() == (0, 0)
    queue.add_after("later", 10)
    queue.add("a")
    await clock.advance(3)
    queue.add("b")
    await clock.advance(2)
    assert queue.waiting() == (2, 5)
    await take(queue)
    assert queue.waiting() == (1, 2)
    queue.add("a")  # while its worker has it
    await clock.advance(1)
    assert queue.waiting() == (2, 3)
    await take(queue)
    assert queue.waiting() == (1, 1)
