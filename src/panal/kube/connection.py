"""The connection to one API server: address, credentials, and requests with a deadline.

lightkube reads kubeconfig files and service accounts, and creates an HTTP client with the CA and the credentials (client certificate,
rotating token file, exec plugin). panal builds the requests itself, because those of lightkube have no bookmarks, no server-side timeout
and no raw JSON. This is the only module that uses lightkube and its HTTP library.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2
import msgspec
import yaml
from lightkube import ConfigError as LightkubeConfigError
from lightkube import KubeConfig, SingleConfig
from lightkube.config.client_adapter import ConnectionParams

from panal.kube import metrics
from panal.kube.decoding import decode
from panal.kube.errors import ApiError, ConfigError, Unauthorized, Unavailable, from_status

JSON = "application/json"
MERGE_PATCH = "application/merge-patch+json"
APPLY_PATCH = "application/apply-patch+yaml"  # JSON is YAML

# Where Kubernetes mounts the token. A node without mount namespaces (docs/design/local-node.md) sets the variable.
SERVICE_ACCOUNT = Path(os.environ.get("PANAL_SERVICEACCOUNT_DIR") or "/var/run/secrets/kubernetes.io/serviceaccount")
EXEC_GROUP = "client.authentication.k8s.io"  # credential plugins
HOME_KUBECONFIG = Path("~/.kube/config")
# What lightkube raises for a kubeconfig that does not exist, is not YAML, or is incomplete.
_UNUSABLE = (LightkubeConfigError, OSError, yaml.YAMLError, LookupError, TypeError, AttributeError, ValueError, AssertionError)
_LIMITS = httpx2.Limits(max_connections=200, max_keepalive_connections=20, keepalive_expiry=30)


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


class Connection:
    """`namespace` is that of the service account or of the kubeconfig's context."""

    def __init__(self, http: httpx2.AsyncClient, namespace: str, timeout: float) -> None:
        self._http = http
        self._timeout = timeout
        self.namespace = namespace

    @classmethod
    def open(cls, kubeconfig: Path | None, timeout: float, context: str | None = None, socket: Path | None = None) -> Connection:
        """The arguments are those of `Client.from_kubeconfig`. Requests to an API server on a loopback address do not use a proxy."""
        try:
            config = _config(kubeconfig, context)
            params = ConnectionParams(
                timeout=httpx2.Timeout(timeout, connect=timeout / 3), trust_env=not _on_loopback(config.cluster.server)
            )
            settings = params.httpx_params(config)
            if socket:
                settings |= {"base_url": "http://localhost", "transport": httpx2.AsyncHTTPTransport(uds=str(socket), limits=_LIMITS)}
            http = httpx2.AsyncClient(**settings, limits=_LIMITS)
        except _UNUSABLE as error:
            raise ConfigError(f"no usable access to a Kubernetes API server: {error}") from error
        return cls(http, config.namespace, timeout)

    async def close(self) -> None:
        await self._http.aclose()

    async def send(self, request: Request) -> Any:
        """Returns the JSON of the response. The timeout is for request and response together."""
        with _counted(request.verb) as outcome, _translated():
            async with asyncio.timeout(self._timeout):
                response = await self._http.send(self._build(request))
            outcome.code = response.status_code
            if response.is_error:
                raise _error(response)
            return decode(response.content)

    @asynccontextmanager
    async def stream(self, request: Request, silence: float, partial: bool = False) -> AsyncIterator[AsyncIterator[bytes]]:
        """The lines of the response as they arrive; with `partial`, also a last one without a line break. Raises Unavailable if nothing is
        received for `silence` seconds."""
        timeout = httpx2.Timeout(self._timeout, connect=self._timeout / 3, read=silence)
        with _counted(request.verb) as outcome, _translated():
            async with asyncio.timeout(self._timeout):
                response = await self._http.send(self._build(request, timeout), stream=True)
            try:
                outcome.code = response.status_code
                if response.is_error:
                    async with asyncio.timeout(self._timeout):
                        await response.aread()
                    raise _error(response)
                yield _lines(response, partial)
            finally:
                await response.aclose()

    def _build(self, request: Request, timeout: httpx2.Timeout | None = None) -> httpx2.Request:
        return self._http.build_request(
            request.method,
            request.path,
            params=dict(request.query),
            content=None if request.body is None else msgspec.json.encode(request.body),
            headers={"Accept": request.accept} | ({"Content-Type": request.content_type} if request.body is not None else {}),
            timeout=timeout or httpx2.USE_CLIENT_DEFAULT,
        )


def _on_loopback(server: str) -> bool:
    host = urlsplit(server).hostname or ""
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


async def _lines(response: httpx2.Response, partial: bool) -> AsyncIterator[bytes]:
    rest = b""
    async for chunk in response.aiter_bytes():
        *complete, rest = (rest + chunk).split(b"\n")
        for line in complete:
            if line:
                yield line
    if rest and partial:
        yield rest


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
    except (TimeoutError, httpx2.TimeoutException) as error:
        raise Unavailable(0, "Timeout", "the API server did not answer in time") from error
    except (httpx2.HTTPError, OSError) as error:
        raise Unavailable(0, type(error).__name__, str(error) or "the connection to the API server was lost") from error
    except LightkubeConfigError as error:
        raise Unauthorized(0, "NoCredentials", str(error)) from error


def _error(response: httpx2.Response) -> ApiError:
    return from_status(response.status_code, _status(response), _seconds(response.headers.get("Retry-After", "")))


def _status(response: httpx2.Response) -> dict[str, Any]:
    """The Status object of the response, or a substitute with the text of a proxy, or for a path that is not served."""
    try:
        body = msgspec.json.decode(response.content)
    except msgspec.DecodeError:
        body = None
    if isinstance(body, dict):
        return body
    if response.status_code == 404:
        message = f"{response.url.path} is not served; is the CustomResourceDefinition installed, in this version?"
        return {"reason": "NotServed", "message": message}
    return {"message": response.text[:300].strip()}


def _seconds(header: str) -> float | None:
    return float(header) if header.isdigit() else None
