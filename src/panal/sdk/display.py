"""Shows a run that is followed: in a notebook's cell a picture that changes in place, elsewhere a line for each change."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

from panal.api.history import Round
from panal.api.text import shown
from panal.client import story
from panal.sdk.picture import page, why_old
from panal.sdk.progress import Progress


class Show(Protocol):
    def say(self, text: str) -> None:
        """What happens before the run has a status."""

    def change(self, progress: Progress, rounds: Sequence[Round]) -> None:
        """The run has changed."""


def here() -> Show:
    return Cell() if in_notebook() else Lines(_write)


def in_notebook() -> bool:
    """Whether this is a kernel of Jupyter, which shows HTML."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    return hasattr(shell, "kernel")


def _write(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


class Lines:
    """For a script and its log."""

    def __init__(self, write: Callable[[str], None]) -> None:
        self._write = write
        self._before: dict[str, Any] = {}
        self._old = ""

    def say(self, text: str) -> None:
        self._write(shown(text))

    def change(self, progress: Progress, rounds: Sequence[Round]) -> None:
        now = progress.status.model_dump(mode="json", by_alias=True)
        for line in story.lines(self._before, now):
            self.say(line)
        old = "" if progress.current else why_old(progress)
        if old != self._old:
            self.say(f"may be out of date: {old}" if old else "up to date again")
        self._before, self._old = now, old


class Cell:
    """For a notebook: one output, which is replaced."""

    def __init__(self) -> None:
        self._output: Any = None

    def say(self, text: str) -> None:
        self._show(text=shown(text))

    def change(self, progress: Progress, rounds: Sequence[Round]) -> None:
        self._show(text=str(progress), html=page(progress, rounds))

    def _show(self, text: str, html: str = "") -> None:
        from IPython.display import display

        content = {"text/plain": text, **({"text/html": html} if html else {})}
        if self._output is None:
            self._output = display(content, raw=True, display_id=True)
        else:
            self._output.update(content, raw=True)


def follow(show: Show, changes: Iterable[Progress], rounds: Callable[[], Sequence[Round]]) -> Progress:
    """Shows each change. `rounds` reads the history; it is asked when another round is complete, and at the end. Returns the last one."""
    known: Sequence[Round] = ()
    read, last = -1, None
    for last in changes:
        if last.ended or last.round != read:
            known, read = rounds(), last.round
        show.change(last, known)
    assert last, "a run that is followed has a state"
    return last
