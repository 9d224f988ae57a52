"""Inside the ClientApp process at a site: tells in each reply how long it took, has missing keys of the configs named, and its end seen.

Replies get a ConfigRecord `panal`, which the hub's hook takes out before the app sees it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from types import ModuleType
from typing import Any

from .context import naming_missing_keys
from .deaths import reporting

RECORD = "panal"


def patch(module: ModuleType) -> None:
    """`module` is flwr.supernode.runtime.run_clientapp: every reply passes its `push_message`, errors as well."""
    reporting(module, "run_clientapp")
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
