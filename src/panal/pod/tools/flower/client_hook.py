"""Hook in the ClientApp process: adds the duration to each reply, names missing config keys, and makes early exits visible (`deaths`).

The duration is in the ConfigRecord `panal`, which the hook in the ServerApp process removes before the server app sees the reply.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from types import ModuleType
from typing import Any

from .context import naming_missing_keys
from .deaths import mark_exit

RECORD = "panal"


def patch(module: ModuleType) -> None:
    """`module` is flwr.supernode.runtime.run_clientapp. Every reply passes its `push_message`, including errors."""
    mark_exit(module, "run_clientapp")
    pull: Callable[..., Any] = module.pull_task_input
    push: Callable[..., Any] = module.push_message
    since = [time.monotonic()]

    def pull_task_input(*args: Any, **kwargs: Any) -> Any:
        message, context, *rest = pull(*args, **kwargs)
        since[0] = time.monotonic()
        return message, naming_missing_keys(context), *rest

    def push_message(client: Any, message: Any, context: Any) -> Any:
        from flwr.app import ConfigRecord

        if message.has_content():
            message.content[RECORD] = ConfigRecord({"seconds": round(time.monotonic() - since[0], 3)})
        return push(client, message, context)

    module.pull_task_input = pull_task_input  # type: ignore[attr-defined]
    module.push_message = push_message  # type: ignore[attr-defined]
