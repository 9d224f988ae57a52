"""Inside the ServerApp process on the hub: its end is seen, and takes no longer than its last lines of log need.

Flower uploads what the app prints to the SuperLink every 0.2 s, and before it says how the run ended it waits for that, and then for one
second more, whatever there is to upload.
"""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

from .deaths import reporting


def patch(module: ModuleType) -> None:
    """`module` is flwr.superlink.runtime.run_serverapp."""
    reporting(module, "run_serverapp")
    start: Callable[..., Any] = module.start_log_uploader
    stop: Callable[..., Any] = module.stop_log_uploader
    uploaders: list[Any] = []

    def start_log_uploader(*args: Any, **kwargs: Any) -> Any:
        uploaders.append(start(*args, **kwargs))
        return uploaders[-1]

    def flush_logs(log_queue: Any) -> None:
        """An uploader that gets the signal to stop sends the rest and ends."""
        for uploader in uploaders:
            stop(log_queue, uploader)

    module.start_log_uploader = start_log_uploader  # type: ignore[attr-defined]
    module.flush_logs = flush_logs  # type: ignore[attr-defined]
