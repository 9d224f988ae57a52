"""What becomes of a key that a worker has, under a clock that the test moves."""

import asyncio
import logging

import pytest

from panal.kube.backoff import Backoff
from panal.kube.errors import Unavailable
from panal.kube.loop import work
from panal.kube.queue import WorkQueue

AWAY = Unavailable(0, "NoAnswer", "the hub is away")


@pytest.fixture
async def working(clock):
    """Answers of `reconcile`, in their order; what was asked; how each look ended."""
    queue = WorkQueue[tuple[str, str]](clock, Backoff(first=1, cap=45, jitter=lambda: 0.0))
    answers, asked, results = [], [], []

    async def reconcile(key):
        asked.append(key)
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    task = asyncio.create_task(work(queue, reconcile, "run", soonest=0.2, count=results.append))
    yield queue, answers, asked, results
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    queue.close()
    await asyncio.sleep(0)


async def test_a_key_is_looked_at_again_when_it_says_so_but_not_at_once(working, clock):
    queue, answers, asked, results = working
    answers[:] = [0.0, 5.0, None]
    queue.add(("ns", "a"))
    for seconds, looks in ((0.1, 1), (0.2, 2), (4.8, 2), (0.3, 3), (100, 3)):
        await clock.advance(seconds)
        assert len(asked) == looks
    assert results == ["ok"] * 3


async def test_what_fails_is_tried_again_and_counted_and_no_defect_ends_the_worker(working, clock, caplog):
    queue, answers, asked, results = working
    answers[:] = [AWAY, ZeroDivisionError("ours"), None, AWAY, None]
    queue.add(("ns", "a"))
    for seconds, looks in ((0.5, 1), (1, 2), (1, 2), (1.5, 3)):
        await clock.advance(seconds)
        assert len(asked) == looks
    queue.add(("ns", "a"))
    for seconds, looks in ((0.5, 4), (1, 5)):  # the wait is short again
        await clock.advance(seconds)
        assert len(asked) == looks
    assert results == ["error", "defect", "ok", "error", "ok"]
    told = [(r.levelno, r.getMessage()) for r in caplog.records]
    assert told[0] == (logging.WARNING, "run ns/a: no answer NoAnswer: the hub is away (again in 1.0 s)")
    assert told[1] == (logging.ERROR, "run ns/a: defect (again in 2.0 s)")
