"""Lets a SuperNode wait for the answer to a large request.

Flower's client waits 30 s for an answer. The Pod's gateway accepts a request sooner than it can send it on, and Flower repeats it from the
beginning: over a link of 1 Mbit/s, on which a piece of a model needs 50 s, it would never arrive. The gateway answers at once if it loses
the aggregator.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

FLOWERS = 30.0  # seconds; heartbeats have a shorter timeout, and keep it
LONGEST = 600.0  # what the aggregator's gateway grants a request


def patch(module: ModuleType) -> None:
    """`module` is flwr.supercore.protobuf.client."""
    client: Any = module.ProtobufClient
    send = client._send

    def _send(self: Any, context: Any, **kwargs: Any) -> Any:
        timeout = context.request.extensions.get("timeout") or {}
        if timeout.get("read") == FLOWERS:
            context.request.extensions["timeout"] = {**timeout, "read": LONGEST, "write": LONGEST}
        return send(self, context, **kwargs)

    client._send = _send
