"""Inside the ClientApp process at a site: names the cluster in each reply, and keeps what an exception says at the site.

Flower sends an exception's text to the hub. The traceback goes to this container's log as before; the hub learns the class alone,
as `cluster=NAME exception=CLASS`. Replies get a ConfigRecord `panal`, which the hub's hook takes out before the app sees it.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable
from types import ModuleType
from typing import Any

RECORD = "panal"
_CLASS = re.compile(r"^<class '([^']{1,300})'>")


def patch(module: ModuleType) -> None:
    """`module` is flwr.supernode.runtime.run_clientapp: every reply passes its `push_message`, errors as well."""
    pull: Callable[..., Any] = module.pull_task_input
    push: Callable[..., Any] = module.push_message
    since = [time.monotonic()]

    def pull_task_input(*args: Any, **kwargs: Any) -> Any:
        task = pull(*args, **kwargs)
        since[0] = time.monotonic()
        return task

    def push_message(client: Any, message: Any, context: Any) -> Any:
        seconds = time.monotonic() - since[0]
        sign(message, os.environ.get("PANAL_CLUSTER", ""), seconds)
        return push(client, message, context)

    module.pull_task_input = pull_task_input  # type: ignore[attr-defined]
    module.push_message = push_message  # type: ignore[attr-defined]


def sign(message: Any, cluster: str, seconds: float) -> None:
    """Adds our record to a reply, or takes the free text out of an error."""
    from flwr.app import ConfigRecord
    from flwr.app.error import Error

    if message.has_error():
        code, reason = message.error.code, message.error.reason
        message.error = Error(code=code, reason=f"cluster={cluster} exception={exception_class(reason, code)}")
    else:
        message.content[RECORD] = ConfigRecord({"cluster": cluster, "seconds": round(seconds, 3)})


def exception_class(reason: str | None, code: int) -> str:
    """The exception's class name, without its module; what Flower's error code says if there is none."""
    found = _CLASS.match(reason or "")
    if found is None:
        return "LoadClientAppError" if code == 1 else "ClientAppError"
    return re.sub(r"\W", "", found[1].rpartition(".")[2])[:64] or "Exception"
