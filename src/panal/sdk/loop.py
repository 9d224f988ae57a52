"""One event loop in a thread of its own, so that plain functions work where another loop runs already, as in a notebook's cell.

Every error that leaves it is a Problem, whose remedy is in the traceback, and whose text is escaped: others have written parts of it.
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import AsyncGenerator, Coroutine, Iterator
from contextlib import suppress
from typing import Any, TypeVar

from panal.api.text import block
from panal.client.problem import Code, Problem, explained

T = TypeVar("T")

CLOSE_WITHIN = 5.0  # seconds
REMEDY = "Only take the text in `say`, and call panal after the function that `say` was given to has returned."

_lock = threading.Lock()
_running: tuple[int, asyncio.AbstractEventLoop] | None = None  # the process and its loop: a fork has the variable without the thread


def call(work: Coroutine[Any, Any, T], where: str = "") -> T:
    """Returns the result of `work`. `where` names the API server in errors. Ctrl-C, or the notebook's stop button, cancels `work`. Raises
    Problem in the loop's own thread, where a function like `say` is called: `work` would never begin."""
    loop = _loop()
    if _runs_here(loop):
        work.close()
        raise Problem(Code.USAGE, "this function is called by another one of panal, which waits for it", REMEDY)
    future = asyncio.run_coroutine_threadsafe(_explained(work, where), loop)
    try:
        return future.result()
    except Problem as problem:
        problem.args = (block(str(problem)),)
        raise problem from None
    except BaseException:
        future.cancel()
        raise


def iterate(items: AsyncGenerator[T, None], where: str = "", timeout: float | None = None, overdue: str = "") -> Iterator[T]:
    """Yields what `items` yields. Raises Problem with `overdue` after `timeout` seconds."""
    until = time.monotonic() + timeout if timeout is not None else None
    steps: set[asyncio.Task[Any]] = set()
    try:
        while True:
            left = until - time.monotonic() if until is not None else None
            yield call(_next(items, steps, left, overdue), where)
    except StopAsyncIteration:
        return
    finally:
        call(_close(items, steps), where)


async def _next(items: AsyncGenerator[T, None], steps: set[asyncio.Task[Any]], within: float | None, overdue: str) -> T:
    if task := asyncio.current_task():
        steps.add(task)
        task.add_done_callback(steps.discard)
    try:
        return await asyncio.wait_for(anext(items), within)
    except TimeoutError as error:
        raise Problem(Code.TIMEOUT, overdue, "It continues on the hub: watch it again, or wait longer.") from error


async def _close(items: AsyncGenerator[Any, None], steps: set[asyncio.Task[Any]]) -> None:
    """When the step that Ctrl-C has interrupted is over; a generator cannot be closed before. If that takes too long, it is left alone."""
    for step in steps:
        if not step.cancelling():  # Ctrl-C came before its caller waited for it
            step.cancel()
    with suppress(TimeoutError):
        async with asyncio.timeout(CLOSE_WITHIN):
            if steps:
                await asyncio.wait(steps)
            await items.aclose()


async def _explained(work: Coroutine[Any, Any, T], where: str) -> T:
    with explained(where):
        return await work


def _runs_here(loop: asyncio.AbstractEventLoop) -> bool:
    try:
        return asyncio.get_running_loop() is loop
    except RuntimeError:
        return False


def _loop() -> asyncio.AbstractEventLoop:
    global _running
    with _lock:
        if _running is None or _running[0] != os.getpid():
            loop = asyncio.new_event_loop()
            threading.Thread(target=loop.run_forever, name="panal", daemon=True).start()
            _running = os.getpid(), loop
        return _running[1]
