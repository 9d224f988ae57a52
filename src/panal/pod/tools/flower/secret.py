"""Adds the Pod's secret (`pod_secret`) to Flower's clients and requires it in its servers, whose Control and Runtime APIs run code."""

from __future__ import annotations

import hmac
from collections.abc import Callable
from types import ModuleType
from typing import Any
from urllib.parse import urlsplit

from ..files import loopback
from ..pod_secret import HEADER, secret


class Locked:
    """The outermost ASGI middleware: forwards requests with the secret, and removes it; answers others with 401 before reading a body."""

    def __init__(self, app: Callable[..., Any]) -> None:
        self.app = app
        self._name, self._value = HEADER.encode(), secret().encode()

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        sent = [value for name, value in scope["headers"] if name == self._name]
        if scope["type"] != "http" or len(sent) != 1 or not hmac.compare_digest(sent[0], self._value):
            await unauthorized(send)
            return
        headers = [pair for pair in scope["headers"] if pair[0] != self._name]
        await self.app({**scope, "headers": headers}, receive, send)


async def unauthorized(send: Any) -> None:
    await rejected(send, 401, "Not authenticated")


async def rejected(send: Any, status: int, detail: str) -> None:
    body = b'{"detail": "%s"}' % detail.encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode()), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def lock(module: ModuleType, *inner: type) -> None:
    """Adds Locked, and within it the middlewares `inner` (the outermost last), to the apps that `module.create_app` creates."""
    create: Callable[..., Any] = module.create_app

    def create_app(*args: Any, **kwargs: Any) -> Any:
        app = create(*args, **kwargs)
        for middleware in (*inner, Locked):
            app.add_middleware(middleware)
        return app

    module.create_app = create_app  # type: ignore[attr-defined]


def patch(module: ModuleType) -> None:
    """`module` is flwr.supercore.protobuf.client. Adds the secret to requests to the Pod's loopback address."""
    client: Any = module.ProtobufClient
    if getattr(client, "panal_secret", False):
        return
    send, value = client._send, secret()
    own = {loopback(), "127.0.0.1"}

    def _send(self: Any, context: Any, **kwargs: Any) -> Any:
        if urlsplit(str(context.request.url)).hostname in own:
            context.request.headers[HEADER] = value
        return send(self, context, **kwargs)

    client._send, client.panal_secret = _send, True
