"""Follows a run until it ends: prints one line for each change, and on a terminal a table of the clusters below the lines."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import aclosing, nullcontext
from datetime import datetime

from rich.live import Live
from rich.table import Table

from panal.cli import freshness, output
from panal.client import controller_lease, following, story
from panal.client.problem import Code, Problem
from panal.client.tasks import together
from panal.kube.client import Client
from panal.kube.objects import Object


class Show:
    """`to` prints a line; `live` is the table below the lines, on a terminal."""

    def __init__(self, several: bool, to: Callable[[str], None], live: Live | None = None) -> None:
        self._several = several
        self._to = to
        self._live = live
        self._began = time.monotonic()
        self._newest: dict[str, Object] = {}
        self._silent_since: datetime | None = None

    def changed(self, before: Object | None, now: Object) -> None:
        name = now["metadata"]["name"]
        for text in story.lines((before or {}).get("status") or {}, now.get("status") or {}):
            self.say(name, text)
        self._newest[name] = now
        self._show()

    def controller(self, silent_since: datetime | None) -> None:
        """The controller is unavailable since then, or available again."""
        self._silent_since = silent_since
        text = freshness.warning(silent_since) if silent_since else "the controller is available again: statuses are up to date"
        self._tell(text)
        self._show()

    def _show(self) -> None:
        if self._live:
            self._live.update(clusters(list(self._newest.values()), self._silent_since), refresh=True)

    def say(self, name: str, text: str) -> None:
        self._tell(f"{name}  {text}" if self._several else text)

    def _tell(self, text: str) -> None:
        self._to(f"{time.monotonic() - self._began:6.1f} s  {text}")


def clusters(runs: list[Object], silent_since: datetime | None = None) -> Table:
    """The state of each collaborator, as of the last status that the controller wrote."""
    rows = []
    for run in runs:
        for each in (run.get("status") or {}).get("collaborators") or ():
            metrics = story.numbers(each)
            rows.append((run["metadata"]["name"], each["cluster"], each.get("state", ""), str(each.get("round") or ""), metrics))
    found = output.table(("RUN", "CLUSTER", "STATE", "ROUND", "REPORTED"), rows)
    found.caption = f"as of {silent_since:%Y-%m-%d %H:%M:%S}Z" if silent_since else None
    return found


async def follow(client: Client, runs: list[Object], within: float | None, lines_to_stderr: bool = False) -> list[Object]:
    """Returns the runs when all have ended. Raises Problem if one is deleted, or after `within` seconds."""
    console = output.err if lines_to_stderr else output.out
    live = Live(console=console, auto_refresh=False, transient=True) if console.is_terminal else None
    show = Show(len(runs) > 1, lambda text: output.line(text, console), live)
    telling = asyncio.create_task(controller_lease.tell(client, show.controller))
    try:
        async with asyncio.timeout(within):
            with live or nullcontext():
                return await together(*(_follow(client, run, show) for run in runs))
    except TimeoutError as error:
        raise Problem(
            Code.TIMEOUT, f"the run has not ended within {within:g} s; it continues", "Follow it again with `panal get NAME -w`."
        ) from error
    finally:
        telling.cancel()
        await asyncio.gather(telling, return_exceptions=True)


async def _follow(client: Client, run: Object, show: Show) -> Object:
    metadata = run["metadata"]
    before: Object | None = None
    unavailable = ""
    async with aclosing(following.follow(client, metadata["namespace"], metadata["name"], metadata["uid"])) as changes:
        async for seen in changes:
            if bool(seen.unavailable) != bool(unavailable):
                unavailable = seen.unavailable
                text = f"the API server does not answer ({unavailable}); trying again" if unavailable else "the API server answers again"
                show.say(metadata["name"], text)
            if seen.run:
                show.changed(before, seen.run)
                before = seen.run
    assert before
    return before
