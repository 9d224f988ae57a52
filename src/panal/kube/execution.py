"""The output of a program that runs in a container: the subresource `exec` of a Pod, over a WebSocket.

Each message begins with the number of its channel (https://kubernetes.io/docs/reference/access-authn-authz/, `v4.channel.k8s.io`): 1 is
the output, 2 the errors, 3 the Status object at the end.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp

from panal.kube.errors import Unavailable

PROTOCOL = "v4.channel.k8s.io"
OUTPUT, ERRORS, STATUS = 1, 2, 3
MAX_ERRORS = 4000  # bytes that are kept


class ProgramFailed(Exception):  # noqa: N818  the program failed, not this one
    """The program ended with another code than 0, which is `code`, or 0 if it did not begin. The message is what it wrote to its errors, or
    the API server's."""

    def __init__(self, message: str, code: int = 0) -> None:
        super().__init__(message)
        self.code = code


async def output(socket: aiohttp.ClientWebSocketResponse) -> AsyncIterator[bytes]:
    """What the program writes. Raises ProgramFailed, and Unavailable if the connection ends before the program."""
    said = b""
    async for message in socket:
        if message.type is not aiohttp.WSMsgType.BINARY or not message.data:
            continue
        channel, content = message.data[0], message.data[1:]
        if channel == OUTPUT and content:
            yield content
        elif channel == ERRORS:
            said = (said + content)[:MAX_ERRORS]
        elif channel == STATUS:
            _check(json.loads(content), said)
            return
    raise Unavailable(0, "Disconnected", "the connection to the container was lost")


def _check(status: dict[str, Any], said: bytes) -> None:
    if status.get("status") != "Success":
        raise ProgramFailed(said.decode(errors="replace").strip() or str(status.get("message") or status), _code(status))


def _code(status: dict[str, Any]) -> int:
    causes = (status.get("details") or {}).get("causes") or ()
    found = next((str(each.get("message")) for each in causes if each.get("reason") == "ExitCode"), "")
    return int(found) if found.isdigit() else 0
