"""Inside a SuperNode: it looks for work every 3 s; here soon after it had some, and ever less often up to those 3 s.

So a node in the middle of a run answers at once, and thousands that wait for one do not ask the hub more often than Flower wants. Whether
its own app has replied, for which it looks in its memory every 0.5 s, it sees sooner as well: after a twentieth of the time it has waited.
"""

from __future__ import annotations

import os
import time
from functools import wraps
from types import ModuleType, SimpleNamespace
from typing import Any

FIRST, GROWTH = 0.2, 1.25  # seconds, and how much longer each look that found nothing makes the next wait
OWN, SHARE = 0.02, 0.05  # seconds between looks for the own app's reply: at least so many, and so much of the time that it has worked


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
        self.reset()

    def reset(self) -> None:
        """There is work."""
        self.next, self.since = FIRST, time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Flower's sleeps that are shorter than a second are for the app's reply."""
        if seconds < 1:
            time.sleep(min(seconds, max(OWN, SHARE * (time.monotonic() - self.since))))
            return
        time.sleep(min(self.next, seconds))
        self.next = min(self.next * GROWTH, seconds)
