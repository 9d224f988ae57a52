"""What the watch cache says of kinds that cannot be watched."""

from __future__ import annotations

import asyncio

import pytest

from panal.kube import kinds
from panal.kube.cache import Cache, Watched
from panal.kube.client import Listing
from panal.kube.errors import Forbidden, Unauthorized, Unavailable


class Answers:
    """Lists fail with `error`; without one they are empty. Watches never end."""

    def __init__(self, error):
        self.error = error

    async def pages(self, *_):
        if self.error:
            raise self.error
        yield Listing([], "1")

    def watch(self, *_, **__):
        return Endless()


class Endless:
    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        pass

    def __aiter__(self):
        return self

    async def __anext__(self):
        await asyncio.sleep(60)


@pytest.mark.parametrize(
    ("error", "forbidden"),
    [
        (Forbidden(403, "Forbidden", "no"), True),
        (Unauthorized(401, "Unauthorized", "who?"), True),
        (Unavailable(0, "Timeout", "?"), False),
        (None, False),
    ],
)
async def test_an_answer_is_a_list_or_a_problem(error, forbidden):
    cache = Cache(Answers(error), [Watched(kinds.POD)])
    heard = []
    cache.heed(lambda: heard.append(cache.problems()))
    task = asyncio.create_task(cache.run())
    await cache.wait_answered(5)
    assert cache.forbidden(kinds.POD) is forbidden
    assert len(heard) == (1 if error else 0)
    task.cancel()


async def test_it_is_waited_for_answers_for_so_long_at_most():
    cache = Cache(Answers(None), [Watched(kinds.POD)])
    await cache.wait_answered(0.01)
    assert not cache.synced()
