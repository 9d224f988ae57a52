"""Hook in the ClientApp process: adds the duration to each reply, keeps the client's state (`client_state`), names missing config keys, and
makes early exits visible (`deaths`). A reply about too few examples is withheld (`cohort`), and in a private run the update of a reply is
clipped and gets noise (`private`), and masked (`masking`). The messages of secure aggregation are answered without the app.

What it adds is in the ConfigRecord `panal`, which the hook in the ServerApp process removes before the server app sees the reply. Messages
of the server have such a record too, which is removed here.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

from ..codes import Withheld
from ..files import log_line
from .client_state import Mark, States, folder, kept, restored, take_mark
from .cohort import withheld
from .context import naming_missing_keys
from .deaths import mark_exit
from .errors import WITHHELD, written
from .masking import Masking, is_step, taken
from .private import Arrays, NotProtectedError, Protection
from .private import kept as kept_arrays

RECORD = "panal"


def patch(module: ModuleType) -> None:
    """`module` is flwr.supernode.runtime.run_clientapp. Every reply passes its `push_message`, including errors."""
    mark_exit(module, "run_clientapp")
    pull: Callable[..., Any] = module.pull_task_input
    push: Callable[..., Any] = module.push_message
    states = States(folder())
    protection, masking = Protection.of(os.environ, folder()), Masking.of(os.environ, folder())
    current = Current()

    def pull_task_input(*args: Any, **kwargs: Any) -> Any:
        message, context, *rest = pull(*args, **kwargs)
        current.since, current.message = time.monotonic(), message
        current.mark = take_mark(message, RECORD)
        if current.mark is not None:
            current.before = restored(states, current.mark, context)
        current.kind, current.arrays = str(message.metadata.message_type), kept_arrays(message) if protection or masking else {}
        current.secure = taken(message) if masking and not is_step(current.kind) else None
        return message, naming_missing_keys(context), *rest

    def push_message(client: Any, message: Any, context: Any) -> Any:
        from flwr.app import ConfigRecord, Error

        report: dict[str, Any] = {"seconds": round(time.monotonic() - current.since, 3)}
        if current.mark is not None and (after := kept(states, current.mark, context)) is not None:
            report |= {"before": current.before, "after": after}
        if message.has_content():
            content, why = leaving(protection, masking, current, message.content)
            answer = Error(WITHHELD, written(why)) if why else content
            message = type(message)(answer, reply_to=current.message) if answer is not message.content else message
        if message.has_content():
            message.content[RECORD] = ConfigRecord(report)
        return push(client, message, context)

    if masking is not None:
        load: Callable[..., Any] = module.get_load_client_app_fn
        module.get_load_client_app_fn = lambda *args, **kwargs: (  # type: ignore[attr-defined]
            (lambda *_: lambda message, context: masking.answer(message)) if is_step(current.kind) else load(*args, **kwargs)
        )
    module.pull_task_input = pull_task_input  # type: ignore[attr-defined]
    module.push_message = push_message  # type: ignore[attr-defined]


@dataclass
class Current:
    """The message that this process handles: since when, its mark, and the digest of the state before it."""

    since: float = 0.0
    message: Any = None
    kind: str = ""
    mark: Mark | None = None
    before: str = ""
    arrays: Arrays = field(default_factory=dict)  # that it brought, if updates are protected or masked
    secure: Any = None  # its record of secure aggregation


def leaving(protection: Protection | None, masking: Masking | None, current: Current, content: Any) -> tuple[Any, Withheld | None]:
    """What of a reply's content leaves the site, or why nothing does."""
    if masking is not None and is_step(current.kind):
        return content, None
    if why := withheld(current.kind, content.metric_records.values()):
        return None, why
    try:
        if protection is not None:
            content = protection.protected(current.kind, current.arrays, content)
        if masking is not None:
            content = masking.masked(current.kind, current.secure, current.arrays, content)
        return content, None
    except NotProtectedError as error:
        log_line(f"a reply is withheld: {error}")
        return None, error.code
