"""Inside a SuperNode: it looks for work every 3 s; here soon after it had some, and ever less often up to those 3 s.

So a node in the middle of a run answers at once, and thousands that wait for one do not ask the hub more often than Flower wants.
"""

from __future__ import annotations

import os
import time
from functools import wraps
from types import ModuleType, SimpleNamespace
from typing import Any

FIRST, GROWTH = 0.2, 1.25  # seconds, and how much longer each look that found nothing makes the next wait


def patch(module: ModuleType) -> None:
    """`module` is flwr.supernode.start_client_internal: its loop sleeps when it got no message, and pushes replies when it did."""
    if os.environ.get("PANAL_ACCELERATION", "").lower() == "off":
        return
    push = module._push_messages
    pace = Pace()

    @wraps(push)
    def push_messages(*args: Any, **kwargs: Any) -> Any:
        pace.reset()
        return push(*args, **kwargs)

    module._push_messages = push_messages  # type: ignore[attr-defined]
    module.time = SimpleNamespace(**{name: getattr(time, name) for name in dir(time)} | {"sleep": pace.sleep})  # type: ignore[attr-defined]


class Pace:
    def __init__(self) -> None:
        self.next = FIRST

    def reset(self) -> None:
        self.next = FIRST

    def sleep(self, seconds: float) -> None:
        """Flower's other sleeps, which are shorter than a second, stay as they are."""
        if seconds < 1:
            time.sleep(seconds)
            return
        time.sleep(min(self.next, seconds))
        self.next = min(self.next * GROWTH, seconds)
