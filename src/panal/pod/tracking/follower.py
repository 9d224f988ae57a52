"""What those have in common that tell a server of the run: MLflow and an OTLP endpoint.

Nothing here ends a run or holds it up for long: what fails is tried again, `say` reports it, and each wait has an end. Servers are not
trusted: their answers are bounded, and whatever they contain is an error at most.
"""

from __future__ import annotations

import asyncio
import json
import logging
import ssl
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from panal.api.text import shown

log = logging.getLogger("panal.reporter")

LOOK, LONGEST_PAUSE = 0.5, 30.0  # seconds between two attempts
ANSWER = 30.0  # seconds for a request, but for that of a large file
LARGEST = 1 << 20  # bytes of an answer


class ServerError(Exception):
    """The server cannot be reached, or refuses a request. The message names the field of the run."""

    def __init__(self, message: str, code: str = "") -> None:
        super().__init__(message)
        self.code = code


@dataclass(slots=True)
class Follower(ABC):
    """`say` gets what is wrong; an empty text when it is over. `where` is the field of the run, and `address` the server's."""

    where: str
    address: str
    authorities: str
    bundle: str
    say: Callable[[str], None]
    headers: Mapping[str, str] = field(repr=False)
    _http: aiohttp.ClientSession | None = field(default=None, init=False)

    @abstractmethod
    async def send(self) -> None:
        """What has not been sent yet. Raises ServerError. May be cancelled at any moment."""

    @abstractmethod
    async def end(self, result: str, history: Path) -> None:
        """The run has ended. `result` is empty if another aggregator may go on."""

    async def model(self, folder: Path, names: Sequence[str], tags: Mapping[str, str], touch: Callable[[], None]) -> None:  # noqa: B027
        """These files of `folder` are a model."""

    async def follow(self) -> None:
        """Sends what is new, until it is cancelled."""
        pause = LOOK
        while True:
            pause = LOOK if await self.attempt(self.send()) else min(2 * pause, LONGEST_PAUSE)
            await asyncio.sleep(pause)

    async def attempt(self, work: Awaitable[None]) -> bool:
        """Whether it succeeded."""
        try:
            await work
        except ServerError as error:
            self.tell(str(error))
        except Exception as error:
            log.exception("a defect of panal")
            self.tell(f"{self.where}: panal cannot send this: {error!r}")
        else:
            return True
        return False

    def tell(self, what: str) -> None:
        log.warning("%s", shown(what, 400))
        self.say(shown(what, 400))

    async def close(self) -> None:
        if self._http:
            await self._http.close()

    async def request(self, method: str, path: str, large: bool = False, **what: Any) -> tuple[int, str]:
        """Status and text of the answer. Raises ServerError."""
        address = self.address.rstrip("/")
        try:
            timeout = aiohttp.ClientTimeout(total=None if large else ANSWER, sock_connect=10, sock_read=ANSWER)
            async with self._session().request(method, f"{address}/{path}", allow_redirects=False, timeout=timeout, **what) as response:
                return response.status, await _text(response)
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise ServerError(f"{self.where}: {address} cannot be used: {str(error) or type(error).__name__}") from error

    def _session(self) -> aiohttp.ClientSession:
        if self._http is None:
            connector = aiohttp.TCPConnector(ssl=self._tls())
            self._http = aiohttp.ClientSession(headers=self.headers, connector=connector)
        return self._http

    def _tls(self) -> ssl.SSLContext:
        """Checks certificates against the file `authorities`, or against the public ones."""
        field_, file = f"{self.where.rpartition('.')[0]}.caBundle", self.authorities
        if file and not Path(file).is_file():
            raise ServerError(f"{field_}: there is no {self.bundle}")
        try:
            return ssl.create_default_context(cafile=file or None)
        except ssl.SSLError as error:
            raise ServerError(f"{field_}: {self.bundle} is not a certificate in PEM form") from error


async def _text(response: aiohttp.ClientResponse) -> str:
    """At most LARGEST bytes."""
    found = b""
    async for piece in response.content.iter_chunked(1 << 16):
        found += piece
        if len(found) > LARGEST:
            break
    return found[:LARGEST].decode(errors="replace")


def parsed(text: str) -> Any:
    """The JSON in an answer; None if it is none."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
