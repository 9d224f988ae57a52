"""The aggregator's log: the last lines of its app's container, as `panal logs` filters them, and further ones while somebody looks."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import AsyncIterator, Iterable
from types import TracebackType

from panal.api.names import LABEL_COMPONENT
from panal.api.text import block
from panal.cli.log_filter import filtered
from panal.dashboard.bell import Bell
from panal.kube.client import Client
from panal.kube.errors import ApiError
from panal.kube.objects import Object, labels_of
from panal.runtimes import runtime_for
from panal.runtimes.logs import Logs

LINES = 300  # that are shown
READ = 1500  # that are read, before filtering
LONGEST = 2000  # characters of a line
FIRST, QUIET = 1.0, 0.08  # seconds
PATIENCE = 10.0  # seconds for a log that is not followed


def aggregator_pod(pods: Iterable[Object]) -> Object | None:
    """The newest one."""
    found = [pod for pod in pods if labels_of(pod).get(LABEL_COMPONENT) == "aggregator"]
    return max(found, key=lambda pod: str(pod["metadata"].get("creationTimestamp")), default=None)


def rules_of(run: Object) -> Logs:
    """Of the run's framework; an unknown one's output is shown as it is."""
    runtime = runtime_for(str((run.get("spec") or {}).get("framework", "")))
    return runtime.logs if runtime else Logs()


class Tail:
    """Within the context, `lines` has the last lines; with `follow` it goes on, and `bell` rings."""

    def __init__(self, client: Client, pod: Object, container: str, rules: Logs, follow: bool) -> None:
        spec = pod.get("spec") or {}
        self.containers = [str(each["name"]) for each in [*(spec.get("initContainers") or ()), *(spec.get("containers") or ())]]
        app = rules.aggregator if rules.aggregator in self.containers else next(iter(c["name"] for c in spec.get("containers") or ()), "")
        self.container = container if container in self.containers else str(app)
        self.pod = str(pod["metadata"]["name"])
        self.lines: deque[str] = deque(maxlen=LINES)
        self.problem = ""
        self.bell = Bell()
        self._client, self._namespace = client, pod["metadata"]["namespace"]
        self._rules = rules if self.container == app else None
        self._follow = follow
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Tail:
        work = self._read()
        if self._follow:
            self._task = asyncio.create_task(work)
            await self._first()
        else:
            await work
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._task:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def _first(self) -> None:
        """Returns when what is in the log already has been read: when nothing comes for a moment."""
        end, count = time.monotonic() + FIRST, -1
        while time.monotonic() < end and count != len(self.lines):
            count = len(self.lines)
            await asyncio.sleep(QUIET)

    async def _read(self) -> None:
        try:
            async with asyncio.timeout(None if self._follow else PATIENCE):
                raw = self._client.logs(self._namespace, self.pod, self.container, follow=self._follow, tail=READ)
                async for line in self._kept(raw):
                    self.lines.append(block(line.strip(b"\r").decode(errors="backslashreplace"), LONGEST))
                    self.bell.ring()
        except ApiError as error:
            self.problem = error.message
        except TimeoutError:
            self.problem = "the log did not end in time; the lines so far are shown"
        self.bell.ring()

    def _kept(self, raw: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        return filtered(raw, self._rules) if self._rules else raw
