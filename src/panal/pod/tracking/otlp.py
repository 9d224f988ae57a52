"""Sends the trace of the run to an OTLP endpoint, by HTTP. Part of the reporter.

Each span is sent once: the file `.traced` beside the model has the last round that was, for a reporter that was killed. The span of the
whole run is the last one.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from urllib.parse import unquote

from panal.api.text import shown
from panal.pod.history import Row
from panal.pod.tools.files import replace
from panal.pod.tracking.follower import Follower
from panal.pod.tracking.server import ServerError
from panal.pod.tracking.settings import Telemetry
from panal.pod.tracking.trace import Span, Trace
from panal.pod.tracking.unsent import mark, unlogged

log = logging.getLogger("panal.reporter")

SPANS = 500  # in a request
WHERE = "spec.tracking.openTelemetry"
MARK = ".traced"


@dataclass(slots=True)
class Tracer(Follower):
    """`folder` is that of the run's model. `times` returns when the app was announced and when the training began, as far as they are
    known: seconds since 1970."""

    telemetry: Telemetry = field(kw_only=True)
    run: Mapping[str, str] = field(kw_only=True)
    attempt_uid: str = field(kw_only=True)
    folder: Path = field(kw_only=True)
    rows: Callable[[], Sequence[Row]] = field(kw_only=True)
    times: Callable[[], tuple[float | None, float | None]] = field(kw_only=True)
    _sent: str | None = None  # the mark of the last row; None: not known yet
    _begun: bool = False
    _one: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def send(self) -> None:
        async with self._one:
            if self._sent is None:
                self._restore(await asyncio.to_thread(_read, self.folder / MARK))
            announced, started = self.times()
            if not self._begun and announced is not None and started is not None:
                await self._post(self._trace.beginning(self.telemetry.created, announced, started, self.attempt_uid))
                self._begun = True
                await self._remember()
            for row in unlogged(self.rows(), self._sent or ""):
                await self._post(self._trace.round(row))
                self._sent = mark(row)
                await self._remember()
            self.say("")

    async def end(self, result: str, history: Path) -> None:
        await self.attempt(self._end(result))

    async def _end(self, result: str) -> None:
        """The last rounds, and the whole run if it has its result."""
        await self.send()
        if result:
            await self._post([self._trace.whole(self.telemetry.created, time.time(), len(self.rows()))])

    @property
    def _trace(self) -> Trace:
        return Trace(self.run)

    def _restore(self, text: str) -> None:
        """A line of the attempt whose beginning was sent, and the mark of the last row."""
        attempt, _, self._sent = text.partition("\n")
        self._begun = attempt == self.attempt_uid

    async def _remember(self) -> None:
        text = f"{self.attempt_uid if self._begun else ''}\n{self._sent or ''}"
        try:
            await asyncio.to_thread(_write, self.folder, text)
        except OSError as error:
            log.warning("what was sent of the trace is not stored: %s", error)

    async def _post(self, spans: list[Span]) -> None:
        for start in range(0, len(spans), SPANS):
            await self._request(self._trace.request(spans[start : start + SPANS], version("panal")))

    async def _request(self, body: dict[str, object]) -> None:
        status, text = await self.request("POST", "v1/traces", json=body)
        said = f"{status}: {shown(text.strip(), 200)}"
        if status in (401, 403):
            raise ServerError(f"{WHERE}.secretName: the endpoint refuses the headers with {said}")
        if status == 400:
            self.tell(f"{WHERE}.endpoint: {self.address} does not take some spans, and answers {said}")  # nor will it later
        elif status != 200:
            raise ServerError(f"{WHERE}.endpoint: {self.address} answers {said}")


def headers_of(text: str) -> dict[str, str]:
    """Headers in the form of the variable that OpenTelemetry's exporters read: `name=value,name=value`, percent-encoded."""
    pairs = (each.partition("=") for each in text.split(",") if "=" in each)
    return {name.strip(): unquote(value.strip()) for name, _, value in pairs}


def _read(file: Path) -> str:
    try:
        return file.read_text()
    except (OSError, ValueError):
        return ""


def _write(folder: Path, text: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    replace(folder / MARK, text)
