"""A server that the Pods tell of the run or its model, over HTTP.

Servers are not trusted: their answers are bounded, and whatever they contain is an error at most.
"""

from __future__ import annotations

import json
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from panal.api.text import shown

ANSWER = 30.0  # seconds for a request, but for that of a large file
LARGEST = 1 << 20  # bytes of an answer
FINAL = (400, 404, 405, 409, 422)  # statuses of answers that another attempt does not change
OF_ANOTHER = (62, 64)  # OpenSSL: the certificate is not that of the host name, or of the IP address
REDIRECTS = (301, 302, 303, 307, 308)  # they are not followed: a proxy sends those without credentials to its page for signing in


class ServerError(Exception):
    """The server cannot be reached, or refuses a request. The message names the field of the run."""

    def __init__(self, message: str, code: str = "", *, final: bool = False) -> None:
        """`code` is the server's own. `final`: another attempt does not help."""
        super().__init__(message)
        self.code, self.final = code, final


@dataclass(slots=True)
class Server:
    """`where` is the field of the run, and `address` the server's."""

    where: str
    address: str
    authorities: str
    bundle: str
    headers: Mapping[str, str] = field(repr=False)
    _http: aiohttp.ClientSession | None = field(default=None, init=False)

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
        except aiohttp.ClientConnectorCertificateError as error:
            raise self._untrusted(error) from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise ServerError(f"{self.where}: {address} cannot be used: {str(error) or type(error).__name__}") from error

    def _session(self) -> aiohttp.ClientSession:
        if self._http is None:
            connector = aiohttp.TCPConnector(ssl=self._tls())
            self._http = aiohttp.ClientSession(headers=self.headers, connector=connector)
        return self._http

    def _tls(self) -> ssl.SSLContext:
        """Checks certificates against the file `authorities`, or against the public ones."""
        field_, file = self._bundle_field(), self.authorities
        if file and not Path(file).is_file():
            raise ServerError(f"{field_}: there is no {self.bundle}")
        try:
            return ssl.create_default_context(cafile=file or None)
        except ssl.SSLError as error:
            raise ServerError(f"{field_}: {self.bundle} is not a certificate in PEM form") from error

    def _bundle_field(self) -> str:
        return f"{self.where.rpartition('.')[0]}.caBundle"

    def _untrusted(self, error: aiohttp.ClientConnectorCertificateError) -> ServerError:
        cause = error.certificate_error
        why = f"the certificate of {self.address} is not accepted: {shown(getattr(cause, 'verify_message', '') or str(cause), 200)}"
        if getattr(cause, "verify_code", 0) in OF_ANOTHER:
            return ServerError(f"{self.where}: {why}; give the name that is in the certificate", final=True)
        return ServerError(f"{self._bundle_field()}: {why}; name the authority that issued it", final=True)


async def _text(response: aiohttp.ClientResponse) -> str:
    """At most LARGEST bytes."""
    found = b""
    async for piece in response.content.iter_chunked(1 << 16):
        found += piece
        if len(found) > LARGEST:
            break
    return found[:LARGEST].decode(errors="replace")


def refusal(where: str, secret: str, status: int, code: str, why: str) -> ServerError:
    """What an answer means that is no success. `where` is the field of the run with `uri` and `secretName`, `secret` the name of the
    Secret, or empty; `code` and `why` are the server's."""
    said = shown(why, 200)
    if status in (401, 403):
        named = f"the Secret {secret}" if secret else "no Secret is named"
        return ServerError(f"{where}.secretName: the server refuses the credentials ({named}): {said}", code, final=True)
    if status in REDIRECTS:
        return ServerError(
            f"{where}.uri: the server answers {status}, a redirect; give the URL of its API, and credentials", code, final=True
        )
    return ServerError(f"{where}.uri: the server answers {status}: {said}", code, final=status in FINAL)


def parsed(text: str) -> Any:
    """The JSON in an answer; None if it is none."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
