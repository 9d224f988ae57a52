"""The connection to one API server: address, credentials, and requests with a deadline.

lightkube reads kubeconfig files and service accounts: it gives the TLS context and the credentials (client certificate, rotating token
file, exec plugin). aiohttp sends the requests, in a third of the computing time of lightkube's HTTP library. This is the only module that
uses lightkube and its HTTP library.
"""

from __future__ import annotations

import asyncio
import base64
import os
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from ssl import SSLContext
from typing import Any
from urllib.parse import urlencode
from urllib.request import getproxies, proxy_bypass

import aiohttp
import httpx2
import msgspec
import yaml
from aiohttp.connector import NEEDS_CLEANUP_CLOSED
from lightkube import ConfigError as LightkubeConfigError
from lightkube import KubeConfig, SingleConfig
from lightkube.config.client_adapter import user_auth, verify_cluster
from lightkube.config.models import User
from yarl import URL

from panal.kube import metrics
from panal.kube.decoding import decode
from panal.kube.errors import ApiError, ConfigError, Unauthorized, Unavailable, from_status

JSON = "application/json"
MERGE_PATCH = "application/merge-patch+json"
APPLY_PATCH = "application/apply-patch+yaml"  # JSON is YAML

# Where Kubernetes mounts the token. A node without mount namespaces (docs/design/local-node.md) sets the variable.
SERVICE_ACCOUNT = Path(os.environ.get("PANAL_SERVICEACCOUNT_DIR") or "/var/run/secrets/kubernetes.io/serviceaccount")
_ANY = httpx2.URL("http://api")  # of a request that is not sent
EXEC_GROUP = "client.authentication.k8s.io"  # credential plugins
HOME_KUBECONFIG = Path("~/.kube/config")
# What lightkube raises for a kubeconfig that does not exist, is not YAML, or is incomplete.
_UNUSABLE = (LightkubeConfigError, OSError, yaml.YAMLError, LookupError, TypeError, AttributeError, ValueError, AssertionError)
LONGEST = 32 << 20  # bytes of a line with an object, of which an API server stores 3 MiB at most
LONGEST_TEXT = 64 << 10  # bytes of a line of a log, whose author may never end it
_CONNECTIONS = 200
_IDLE = 30.0  # seconds after which an unused connection is closed


@dataclass(frozen=True, slots=True)
class Request:
    """`verb` is the RBAC verb, for the metrics. `body` is sent as JSON."""

    verb: str
    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    body: Any = None
    content_type: str = JSON
    accept: str = JSON


@dataclass(frozen=True, slots=True)
class Reply:
    """`headers`: with names in lower case. `content`: at most LONGEST bytes."""

    status: int
    headers: Mapping[str, str]
    content: bytes


@dataclass(frozen=True)
class Proxy:
    """`url` has no credentials, because it is in the texts of errors. `headers` have them."""

    url: URL
    headers: Mapping[str, str] = field(repr=False)


@dataclass(frozen=True)
class Target:
    """`server` is the URL of the API server, `namespace` that of the service account or of the kubeconfig's context. `proxy`: the HTTP
    proxy to the server, if any. `socket`: a Unix socket to use instead."""

    server: str
    tls: SSLContext
    auth: httpx2.Auth | None
    namespace: str
    proxy: Proxy | None = None
    socket: Path | None = None
    anonymous: Callable[[], SSLContext] | None = (
        None  # makes a context that verifies the server as `tls` does, without a client certificate
    )


class Connection:
    """`timeout` is in seconds, for each request."""

    def __init__(self, target: Target, timeout: float) -> None:
        self._target = target
        self._timeout = timeout
        self._http: aiohttp.ClientSession | None = None  # needs a running event loop, so it is made for the first request

    @classmethod
    def open(cls, kubeconfig: Path | None, timeout: float, context: str | None = None, socket: Path | None = None) -> Connection:
        """The arguments are those of `Client.from_kubeconfig`. Requests to an API server on a loopback address do not use a proxy."""
        try:
            return cls(_target(_config(kubeconfig, context), socket), timeout)
        except _UNUSABLE as error:
            raise ConfigError(f"no usable access to a Kubernetes API server: {error}") from error

    def with_token(self, token: str) -> Connection:
        """To the same API server, with the token as the only credentials."""
        target = self._target
        assert target.anonymous, "a target that was not made from a configuration"
        return Connection(replace(target, tls=target.anonymous(), auth=user_auth(User(token=token))), self._timeout)

    @property
    def namespace(self) -> str:
        return self._target.namespace

    async def close(self) -> None:
        if self._http:
            await self._http.close()
            await asyncio.sleep(0)  # aborted TLS connections close their sockets in the next turn of the event loop

    def _session(self) -> aiohttp.ClientSession:
        if self._http:
            return self._http
        connector: aiohttp.BaseConnector
        if self._target.socket:
            connector = aiohttp.UnixConnector(str(self._target.socket), limit=_CONNECTIONS, keepalive_timeout=_IDLE)
        else:
            connector = aiohttp.TCPConnector(
                ssl=self._target.tls, limit=_CONNECTIONS, keepalive_timeout=_IDLE, enable_cleanup_closed=NEEDS_CLEANUP_CLOSED
            )
        self._http = aiohttp.ClientSession(connector=connector, headers={"User-Agent": "panal"})
        self._http._retry_connection = False  # otherwise it sends a DELETE a second time when a connection is lost
        return self._http

    async def send(self, request: Request) -> Any:
        """Returns the JSON of the response. The timeout is for request and response together."""
        with _counted(request.verb) as outcome, _translated():
            async with asyncio.timeout(self._timeout), await self._ask(request, self._timeout) as response:
                content = await response.read()
            outcome.code = response.status
            if response.status >= 400:
                raise _error(response, content)
            return decode(content)

    async def call(self, request: Request) -> Reply:
        """The response of a program behind the API server, whatever its status. Raises the API server's own refusals."""
        with _counted(request.verb) as outcome, _translated():
            async with asyncio.timeout(self._timeout), await self._ask(request, self._timeout) as response:
                content = bytearray()
                async for piece in response.content.iter_any():
                    content += piece
                    if len(content) > LONGEST:
                        raise Unavailable(0, "TooLong", f"the response has more than {LONGEST >> 20} MiB")
            outcome.code = response.status
            if response.status in (401, 403) and _status(response, content).get("kind") == "Status":
                raise _error(response, content)
            return Reply(response.status, {name.lower(): value for name, value in response.headers.items()}, bytes(content))

    @asynccontextmanager
    async def stream(self, request: Request, silence: float, text: bool = False) -> AsyncIterator[AsyncIterator[bytes]]:
        """The lines of the response as they arrive, without empty ones. With `text`, they are cut after LONGEST_TEXT bytes, and a last one
        without a line break is one of them. Raises Unavailable if nothing is received for `silence` seconds, or a line is too long."""
        with _counted(request.verb) as outcome, _translated():
            async with asyncio.timeout(self._timeout):
                response = await self._ask(request, silence)
            try:
                outcome.code = response.status
                if response.status >= 400:
                    async with asyncio.timeout(self._timeout):
                        raise _error(response, await response.read())
                yield _lines(response, text)
            finally:
                response.close()

    @asynccontextmanager
    async def socket(self, path: str, query: Sequence[tuple[str, str]], protocol: str) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
        """A WebSocket. Raises an ApiError if the server does not open it."""
        target, headers = self._target, {}
        with _translated():
            if target.auth is not None:
                carrier = httpx2.Request("GET", _ANY)
                async with aclosing(target.auth.async_auth_flow(carrier)) as credentials:
                    await anext(credentials)
                headers["Authorization"] = carrier.headers["Authorization"]
            proxy, tls = target.proxy, target.server.startswith("https:")
            options: dict[str, Any] = {
                "headers": headers | (dict(proxy.headers) if proxy and not tls else {}),
                "proxy": proxy.url if proxy else None,
                "proxy_headers": proxy.headers if proxy and tls else None,
                "timeout": aiohttp.ClientWSTimeout(ws_close=5),
            }
            url = URL(f"{target.server}{path}?{urlencode(query)}", encoded=True)
            try:
                with _counted("create") as outcome:
                    async with self._session().ws_connect(url, protocols=(protocol,), max_msg_size=0, **options) as opened:
                        outcome.code = 101
                        yield opened
            except aiohttp.WSServerHandshakeError as error:
                raise from_status(error.status, {"message": f"{path}: {error.message}"}) from error

    async def _ask(self, request: Request, silence: float) -> aiohttp.ClientResponse:
        """Sends the request, again if the credentials were refused and there are newer ones."""
        if self._target.auth is None:
            return await self._send(request, silence, {})
        carrier = httpx2.Request("GET", _ANY)  # the credentials write to its headers
        async with aclosing(self._target.auth.async_auth_flow(carrier)) as credentials:
            await anext(credentials)
            while True:
                response = await self._send(request, silence, {"Authorization": carrier.headers["Authorization"]})
                if response.status != 401:
                    return response
                try:
                    await credentials.asend(httpx2.Response(401))
                except StopAsyncIteration:
                    return response
                response.close()

    async def _send(self, request: Request, silence: float, headers: Mapping[str, str]) -> aiohttp.ClientResponse:
        query = f"?{urlencode(request.query)}" if request.query else ""
        sent = {"Accept": request.accept, **headers} | ({} if request.body is None else {"Content-Type": request.content_type})
        proxy, tls = self._target.proxy, self._target.server.startswith("https:")
        if proxy and not tls:
            sent |= proxy.headers
        try:
            return await self._session().request(
                request.method,
                URL(f"{self._target.server}{request.path}{query}", encoded=True),
                data=None if request.body is None else msgspec.json.encode(request.body),
                headers=sent,
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=self._timeout / 3, sock_read=silence),
                allow_redirects=False,
                proxy=proxy.url if proxy else None,
                proxy_headers=proxy.headers if proxy and tls else None,
            )
        except ValueError as error:  # its text may have the token
            raise Unauthorized(0, "NotSendable", "the credentials, or the address of the API server, cannot be sent in HTTP") from error


def _target(config: SingleConfig, socket: Path | None) -> Target:
    cluster, user = config.cluster, config.user
    assert user, "missing user"
    url = URL("http://localhost" if socket else cluster.server)
    server = str(url.with_user(None)).rstrip("/")
    proxy = None if socket or _on_loopback(server) else _proxy(url)
    tls = verify_cluster(cluster, user, config.abs_file, trust_env=not _on_loopback(server))
    anonymous = partial(verify_cluster, cluster, User(), config.abs_file, trust_env=not _on_loopback(server))
    return Target(server, tls, user_auth(user), config.namespace, proxy, socket, anonymous)


def _proxy(server: URL) -> Proxy | None:
    """The proxy that the environment names for the server. Raises ValueError, without the proxy's credentials."""
    host, proxies = server.host or "", getproxies()
    named = proxies.get(server.scheme) or proxies.get("all")
    if not named or proxy_bypass(host) or proxy_bypass(f"{host}:{server.port}"):
        return None
    try:
        url = URL(named if "://" in named else f"http://{named}")
    except ValueError:
        url = URL()
    if url.scheme not in ("http", "https") or not url.host:
        raise ValueError(f"the proxy that the environment names for {server.scheme}://{host} is not the URL of an HTTP proxy")
    credentials = base64.b64encode(f"{url.user or ''}:{url.password or ''}".encode()).decode()
    return Proxy(url.with_user(None), {"Proxy-Authorization": f"Basic {credentials}"} if url.user or url.password else {})


def _on_loopback(server: str) -> bool:
    host = URL(server).host or ""
    return host == "localhost" or host.startswith("127.")


def _config(kubeconfig: Path | None, context: str | None) -> SingleConfig:
    path = kubeconfig or _path_from_environment()
    config = (KubeConfig.from_file(path) if path else KubeConfig.from_service_account(SERVICE_ACCOUNT)).get(context)
    if config is None:
        raise LightkubeConfigError(f"{path} has no current-context")
    plugin = config.user.exec if config.user else None
    if plugin and plugin.apiVersion == f"{EXEC_GROUP}/v1":
        plugin.apiVersion = f"{EXEC_GROUP}/v1beta1"  # lightkube supports only v1beta1; both have the token in the same field
    return config


def _path_from_environment() -> Path | None:
    if named := os.environ.get("KUBECONFIG"):
        return Path(named)
    return None if (SERVICE_ACCOUNT / "token").exists() else HOME_KUBECONFIG


async def _lines(response: aiohttp.ClientResponse, text: bool) -> AsyncIterator[bytes]:
    longest = LONGEST_TEXT if text else LONGEST
    line, room = bytearray(), longest
    async for chunk in response.content.iter_any():
        for number, piece in enumerate(chunk.split(b"\n")):
            if number:  # the line before has ended
                if line:
                    yield bytes(line)
                line, room = bytearray(), longest
            if len(piece) > room and not text:
                raise Unavailable(0, "TooLong", f"the API server sent a line of more than {longest >> 20} MiB")
            kept = piece[:room]
            line += kept
            room -= len(kept)
            if line and not room and text:
                yield bytes(line)
                line = bytearray()
    if line and text:
        yield bytes(line)


@dataclass(slots=True)
class _Outcome:
    code: int = 0


@contextmanager
def _counted(verb: str) -> Iterator[_Outcome]:
    """Counts one request, with the status code that the body of the context sets."""
    outcome = _Outcome()
    try:
        yield outcome
    finally:
        metrics.REQUESTS.labels(verb, str(outcome.code)).inc()


@contextmanager
def _translated() -> Iterator[None]:
    """Converts exceptions of the libraries to those of `panal.kube.errors`, with the original as the cause."""
    try:
        yield
    except TimeoutError as error:
        raise Unavailable(0, "Timeout", "the API server did not answer in time") from error
    except (aiohttp.ClientError, OSError) as error:
        raise Unavailable(0, type(error).__name__, str(error) or "the connection to the API server was lost") from error
    except LightkubeConfigError as error:
        raise Unauthorized(0, "NoCredentials", str(error)) from error


def _error(response: aiohttp.ClientResponse, content: bytes | bytearray) -> ApiError:
    return from_status(response.status, _status(response, content), _seconds(response.headers.get("Retry-After", "")))


def _status(response: aiohttp.ClientResponse, content: bytes | bytearray) -> dict[str, Any]:
    """The Status object of the response, or a substitute with the text of a proxy, or for a path that is not served."""
    try:
        body = msgspec.json.decode(content)
    except msgspec.DecodeError:
        body = None
    if isinstance(body, dict):
        return body
    if response.status == 404:
        message = f"{response.url.path} is not served; is the CustomResourceDefinition installed, in this version?"
        return {"reason": "NotServed", "message": message}
    return {"message": content.decode(errors="replace")[:300].strip()}


def _seconds(header: str) -> float | None:
    return float(header) if header.isdigit() else None
