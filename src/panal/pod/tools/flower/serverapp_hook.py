"""Hook in the ServerApp process: makes early exits visible (`deaths`), and shortens its end.

Flower uploads the app's output to the SuperLink every 0.2 s. At the end it waits for the upload and for one more second. Here it waits
only for the upload.
"""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

from .deaths import mark_exit


def patch(module: ModuleType) -> None:
    """`module` is flwr.superlink.runtime.run_serverapp."""
    mark_exit(module, "run_serverapp")
    start: Callable[..., Any] = module.start_log_uploader
    stop: Callable[..., Any] = module.stop_log_uploader
    uploaders: list[Any] = []

    def start_log_uploader(*args: Any, **kwargs: Any) -> Any:
        uploaders.append(start(*args, **kwargs))
        return uploaders[-1]

    def flush_logs(log_queue: Any) -> None:
        """Stops the uploaders, which send the rest first."""
        for uploader in uploaders:
            stop(log_queue, uploader)

    module.start_log_uploader = start_log_uploader  # type: ignore[attr-defined]
    module.flush_logs = flush_logs  # type: ignore[attr-defined]
