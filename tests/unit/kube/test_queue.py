"""The work queue under a clock that the test moves."""

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


async def test_a_key_is_in_it_once(queue):
    for key in ("a", "b", "a", "a"):
        queue.add(key)
    assert [await take(queue), await take(queue)] == ["a", "b"]
    assert len(queue) == 0


async def test_a_key_added_during_its_work_comes_again_but_only_after_done(queue):
    queue.add("a")
    await take(queue)
    queue.add("a")
    queue.add("a")
    assert len(queue) == 0
    queue.done("a")
    assert await take(queue) == "a"
    queue.done("a")
    assert len(queue) == 0


async def test_of_several_wishes_the_earliest_counts(queue, clock):
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


async def test_no_wait_means_at_once(queue):
    queue.add_after("a", 0)
    assert len(queue) == 1


async def test_retries_double_up_to_the_cap_and_forget_begins_anew(queue):
    assert [queue.retry("a") for _ in range(8)] == [1, 2, 4, 8, 16, 32, 45, 45]
    assert queue.failures("a") == 8
    queue.forget("a")
    assert queue.retry("a") == 1
    assert queue.retry("b") == 1


async def test_a_retried_key_comes_after_its_wait(queue, clock):
    queue.add("a")
    await take(queue)
    queue.retry("a")
    queue.done("a")
    await clock.advance(0.9)
    assert len(queue) == 0
    await clock.advance(0.2)
    assert await take(queue) == "a"


async def test_closing_drops_what_is_to_come(queue, clock):
    queue.add_after("a", 5)
    queue.close()
    await clock.advance(10)
    assert len(queue) == 0


def test_jitter_takes_at_most_half():
    assert Backoff(2, 100, jitter=lambda: 1.0).delay(3) == 4
    assert Backoff(2, 100, jitter=lambda: 0.0).delay(3) == 8
    assert Backoff(2, 100, jitter=lambda: 0.0).delay(10_000) == 100


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(["add", "get", "done"])), max_size=60))
def test_whatever_happens_no_key_has_two_workers_and_no_wish_is_lost(steps):
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
