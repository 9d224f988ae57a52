"""The loop in a thread of its own: Ctrl-C, and calls from within it."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import AsyncGenerator, Iterator

import pytest

from panal.client.problem import Code, Problem
from panal.sdk import loop


@pytest.fixture
def ctrl_c() -> Iterator[None]:
    """Whoever runs the tests may ignore it."""
    former = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, former)


async def interrupted(ended: list[str], slow: float) -> AsyncGenerator[int, None]:
    """Presses Ctrl-C at its second step. It takes `slow` seconds to end."""
    try:
        yield 1
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
        await asyncio.Event().wait()
    finally:
        await asyncio.sleep(slow)
        ended.append("ended")


@pytest.mark.parametrize("slow", [0.0, 0.2])
def test_ctrl_c_ends_what_is_watched(ctrl_c, slow) -> None:
    ended: list[str] = []
    items = loop.iterate(interrupted(ended, slow))
    assert next(items) == 1
    with pytest.raises(KeyboardInterrupt):
        next(items)
    assert ended == ["ended"]


def test_ctrl_c_does_not_wait_for_what_does_not_end(ctrl_c, monkeypatch) -> None:
    monkeypatch.setattr(loop, "CLOSE_WITHIN", 0.1)
    ended: list[str] = []
    items = loop.iterate(interrupted(ended, 5.0))
    next(items)
    with pytest.raises(KeyboardInterrupt):
        next(items)
    assert not ended


def test_a_call_from_within_a_call_is_a_problem_and_not_a_deadlock() -> None:
    async def inner() -> int:
        return 1

    async def outer() -> int:
        return loop.call(inner())

    with pytest.raises(Problem, match="is called by another one of panal") as found:
        loop.call(outer())
    assert (found.value.code, found.value.remedy) == (Code.USAGE, loop.REMEDY)
    assert loop.call(inner()) == 1
