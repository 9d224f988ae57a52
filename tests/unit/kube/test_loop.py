"""How a worker treats keys, under a clock that the test controls."""

import asyncio
import logging

import pytest

from panal.kube.backoff import Backoff
from panal.kube.errors import Interrupted, TooManyRequests, Unavailable
from panal.kube.loop import PAUSE, work
from panal.kube.queue import WorkQueue

UNAVAILABLE = Unavailable(0, "NoAnswer", "the hub is unavailable")


@pytest.fixture
async def working(clock):
    """A queue with one worker; the return values of `reconcile`, in order; the reconciled keys; the results."""
    queue = WorkQueue[tuple[str, str]](clock, Backoff(first=1, cap=45, jitter=lambda: 0.0))
    returns, reconciled, results = [], [], []

    async def reconcile(key):
        reconciled.append(key)
        value = returns.pop(0)
        if isinstance(value, Exception):
            raise value
        return value

    task = asyncio.create_task(work(queue, reconcile, "run", min_delay=0.2, count=results.append))
    yield queue, returns, reconciled, results
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    queue.close()
    await asyncio.sleep(0)


async def test_a_key_is_reconciled_again_after_the_returned_delay(working, clock):
    queue, returns, reconciled, results = working
    returns[:] = [0.0, 5.0, None]
    queue.add(("ns", "a"))
    for seconds, count in ((0.1, 1), (0.2, 2), (4.8, 2), (0.3, 3), (100, 3)):
        await clock.advance(seconds)
        assert len(reconciled) == count
    assert results == ["ok"] * 3


async def test_failures_are_retried_and_counted_and_do_not_end_the_worker(working, clock, caplog):
    queue, returns, reconciled, results = working
    returns[:] = [UNAVAILABLE, ZeroDivisionError("defect"), None, UNAVAILABLE, None]
    queue.add(("ns", "a"))
    for seconds, count in ((0.5, 1), (1, 2), (1, 2), (1.5, 3)):
        await clock.advance(seconds)
        assert len(reconciled) == count
    queue.add(("ns", "a"))
    for seconds, count in ((0.5, 4), (1, 5)):  # the delay is short again
        await clock.advance(seconds)
        assert len(reconciled) == count
    assert results == ["error", "defect", "ok", "error", "ok"]
    logged = [(r.levelno, r.getMessage()) for r in caplog.records]
    assert logged[0] == (logging.WARNING, "run ns/a: no response NoAnswer: the hub is unavailable (retry in 1.0 s)")
    assert logged[1] == (logging.ERROR, "run ns/a: defect (retry in 2.0 s)")


async def test_a_server_that_asks_for_a_delay_gets_it(working, clock):
    queue, returns, reconciled, _ = working
    returns[:] = [TooManyRequests(429, "TooManyRequests", "later", retry_after=7.0), None]
    queue.add(("ns", "a"))
    for seconds, count in ((0.5, 1), (6.0, 1), (1.0, 2)):
        await clock.advance(seconds)
        assert len(reconciled) == count


async def test_writes_that_were_interrupted_go_on_soon_however_often(working, clock):
    queue, returns, reconciled, results = working
    returns[:] = [Interrupted("3 of 10 are done"), Interrupted("6 of 10 are done"), Interrupted("9 of 10 are done"), None]
    queue.add(("ns", "a"))
    for seconds, count in ((0.1, 1), (PAUSE, 2), (PAUSE, 3), (PAUSE, 4)):
        await clock.advance(seconds)
        assert len(reconciled) == count
    assert results == ["error"] * 3 + ["ok"]
