"""Where a task that takes a while reports what it does: a terminal, or lines of text."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Tell:
    """`note` gets a line. `steps(text)` is a context for a task; it yields a function that gets what the task does at the moment."""

    note: Say
    steps: Callable[[str], AbstractContextManager[Say]]


def by_lines(say: Say) -> Tell:
    """Everything in lines, of which a task that has many steps gets a few."""

    @contextmanager
    def steps(text: str) -> Iterator[Say]:
        yield FewLines(text, say)

    return Tell(say, steps)


class FewLines:
    """Says the text and the first step, then at most one step every EVERY seconds, and the last step, which is the installation."""

    EVERY = 10.0
    LAST = "installing"

    def __init__(self, text: str, say: Callable[[str], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._text, self._say, self._clock = text, say, clock
        self._said: float | None = None

    def __call__(self, step: str) -> None:
        now = self._clock()
        if self._said is None:
            self._say(self._text)
        elif now - self._said < self.EVERY and not step.startswith(self.LAST):
            return
        self._said = now
        self._say(f"  {step}")
