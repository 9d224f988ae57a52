"""How long a SuperNode waits for answers, with a client like Flower's."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from panal.pod.tools.flower import slow_links


class Client:
    def _send(self, context: Any) -> Any:
        return context.request.extensions


def sent(extensions: dict[str, Any]) -> Any:
    module: Any = SimpleNamespace(ProtobufClient=type("ProtobufClient", (Client,), {}))
    slow_links.patch(module)
    return module.ProtobufClient()._send(SimpleNamespace(request=SimpleNamespace(extensions=extensions)))


def timeouts(seconds: float | None) -> dict[str, Any]:
    return {"timeout": dict.fromkeys(("connect", "read", "write", "pool"), seconds)}


def test_a_large_request_has_the_time_that_the_gateway_grants() -> None:
    assert sent(timeouts(30.0)) == {"timeout": {"connect": 30.0, "read": 600.0, "write": 600.0, "pool": 30.0}}


@pytest.mark.parametrize("extensions", [timeouts(5.0), timeouts(None), {}])
def test_other_timeouts_stay(extensions: dict[str, Any]) -> None:
    assert sent(dict(extensions)) == extensions
