"""Sends the trace of the run to an OTLP endpoint, by HTTP. Part of the reporter.

Each span is sent once: the file `.traced` beside the model has the last round that was, for a reporter that was killed. The span of the
whole run is the last one. Nothing here ends a run: what fails is tried again, and `say` reports it.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import aiohttp

from panal.api.text import shown
from panal.pod.history import Row
from panal.pod.server import ServerError, tls
from panal.pod.tools.files import replace
from panal.pod.tracing import Span, Trace
from panal.pod.tracking import Telemetry, mark, unlogged

log = logging.getLogger("panal.reporter")

LOOK, LONGEST_PAUSE, ANSWER = 0.5, 30.0, 10.0  # seconds
SPANS = 500  # in a request
KEY = "OTEL_EXPORTER_OTLP_HEADERS"
WHERE = "spec.tracking.openTelemetry"
MARK = ".traced"


@dataclass(slots=True)
class Tracer:
    """`folder` is that of the run's model. `times` returns when the app was announced and when the training began, as far as they are
    known: seconds since 1970."""

    telemetry: Telemetry
    run: Mapping[str, str]
    attempt: str
    folder: Path
    rows: Callable[[], Sequence[Row]]
    times: Callable[[], tuple[float | None, float | None]]
    say: Callable[[str], None]
    headers: str = ""
    _http: aiohttp.ClientSession | None = None
    _sent: str | None = None  # the mark of the last row; None: not known yet
    _begun: bool = False
    _one: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def follow(self, stop: asyncio.Event) -> None:
        """Sends rounds as they are complete, until `stop` is set."""
        pause = LOOK
        while not stop.is_set():
            try:
                await self.send()
                pause = LOOK
            except ServerError as error:
                self._tell(error)
                pause = min(2 * pause, LONGEST_PAUSE)
            try:
                async with asyncio.timeout(pause):
                    await stop.wait()
            except TimeoutError:
                continue

    async def send(self) -> None:
        """Raises ServerError."""
        async with self._one:
            if self._sent is None:
                self._restore(await asyncio.to_thread(_read, self.folder / MARK))
            announced, started = self.times()
            if not self._begun and announced is not None and started is not None:
                await self._post(self._trace.beginning(self.telemetry.created, announced, started, self.attempt))
                self._begun = True
                await self._remember()
            for row in unlogged(self.rows(), self._sent or ""):
                await self._post(self._trace.round(row))
                self._sent = mark(row)
                await self._remember()
            self.say("")

    async def model(self, *_: Any) -> None:
        return

    async def end(self, result: str, _: Path) -> None:
        """The last rounds, and the whole run if it has its result: otherwise another aggregator may go on."""
        try:
            await self.send()
            if result:
                await self._post([self._trace.whole(self.telemetry.created, time.time(), "", len(self.rows()))])
        except ServerError as error:
            self._tell(error)

    async def close(self) -> None:
        if self._http:
            await self._http.close()

    @property
    def _trace(self) -> Trace:
        return Trace(self.run)

    def _restore(self, text: str) -> None:
        """A line of the attempt whose beginning was sent, and the mark of the last row."""
        attempt, _, self._sent = text.partition("\n")
        self._begun = attempt == self.attempt

    async def _remember(self) -> None:
        text = f"{self.attempt if self._begun else ''}\n{self._sent or ''}"
        try:
            await asyncio.to_thread(_write, self.folder, text)
        except OSError as error:
            log.warning("what was sent of the trace is not stored: %s", error)

    def _tell(self, error: ServerError) -> None:
        log.warning("OpenTelemetry: %s", error)
        self.say(shown(str(error), 400))

    async def _post(self, spans: list[Span]) -> None:
        for start in range(0, len(spans), SPANS):
            await self._request(self._trace.request(spans[start : start + SPANS], version("panal")))

    async def _request(self, body: dict[str, Any]) -> None:
        endpoint = self.telemetry.endpoint.rstrip("/")
        try:
            async with self._session().post(f"{endpoint}/v1/traces", json=body, allow_redirects=False) as response:
                text = await response.text(errors="replace")
                if response.status in (401, 403):
                    raise ServerError(
                        f"{WHERE}.secretName: the endpoint refuses the headers ({response.status}): {shown(text.strip(), 200)}"
                    )
                if response.status != 200:
                    raise ServerError(f"{WHERE}.endpoint: {endpoint} answers {response.status}: {shown(text.strip(), 200)}")
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise ServerError(f"{WHERE}.endpoint: {endpoint} cannot be used: {str(error) or type(error).__name__}") from error

    def _session(self) -> aiohttp.ClientSession:
        if self._http is None:
            timeout = aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=ANSWER)
            connector = aiohttp.TCPConnector(ssl=tls(WHERE, self.telemetry.authorities, self.telemetry.bundle))
            self._http = aiohttp.ClientSession(timeout=timeout, headers=headers_of(self.headers), connector=connector)
        return self._http


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
