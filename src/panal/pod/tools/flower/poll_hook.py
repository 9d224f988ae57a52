"""Hook in the SuperNode: shortens the intervals in which it polls for messages and for the client app's reply.

Flower polls for messages every 3 s. Here the interval is short after a message and grows to 3 s, so that a node replies quickly during a
run, and idle nodes do not poll more often than Flower's. It stays short if the hub holds the requests (`holding`). The poll for the client
app's reply, every 0.5 s in Flower, comes after a share of the time that the app has worked.
"""

from __future__ import annotations

import time
from functools import wraps
from types import ModuleType, SimpleNamespace
from typing import Any

from .environment import accelerated

FIRST, GROWTH = 0.2, 1.25  # the first interval in seconds, and the factor for the next ones
HELD = 1.0  # seconds of a request that the hub has held
OWN, SHARE = 0.02, 0.05  # the interval for the app's reply: the minimum in seconds, and the share of the time that the app has worked


def patch(module: ModuleType) -> None:
    """`module` is flwr.supernode.start_client_internal. Its loop calls `_push_messages` after a message, and sleeps otherwise."""
    if not accelerated():
        return
    push, pull = module._push_messages, module._pull_and_store_message
    pace = Pace()

    @wraps(push)
    def push_messages(*args: Any, **kwargs: Any) -> Any:
        pace.reset()
        return push(*args, **kwargs)

    @wraps(pull)
    def pull_and_store_message(*args: Any, **kwargs: Any) -> Any:
        began = time.monotonic()
        found = pull(*args, **kwargs)
        if time.monotonic() - began >= HELD:
            pace.reset()
        return found

    module._push_messages = push_messages  # type: ignore[attr-defined]
    module._pull_and_store_message = pull_and_store_message  # type: ignore[attr-defined]
    module.time = SimpleNamespace(**{name: getattr(time, name) for name in dir(time)} | {"sleep": pace.sleep})  # type: ignore[attr-defined]


class Pace:
    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """A message arrived, or the hub held the request for one."""
        self.next, self.since = FIRST, time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Replaces `time.sleep`. Flower sleeps less than a second only while it waits for the app's reply."""
        if seconds < 1:
            time.sleep(min(seconds, max(OWN, SHARE * (time.monotonic() - self.since))))
            return
        time.sleep(min(self.next, seconds))
        self.next = min(self.next * GROWTH, seconds)
