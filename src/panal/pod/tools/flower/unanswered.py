"""Part of the guard in the SuperNode: replies with an error as soon as a ClientApp has ended without a complete reply.

A SuperNode processes one message at a time: it creates a task and waits for the reply. Flower adds an error reply if the app raises, or a
minute after the last heartbeat of a process that had fetched the message. In all other cases, and for the rest of an incomplete reply, it
waits forever. Here it waits until the task has ended (`deaths` ends the task of a process that died).
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from ..files import log_line

CRASHED = 8  # of Flower's error codes
FINISHED = "finished"  # of its task states


class IncompleteReplyError(Exception):
    """The ClientApp ended before it delivered all of its reply."""


@dataclass
class Work:
    """The SuperNode's current task and message."""

    task: int | None = None
    message: Any = None


def install(module: ModuleType) -> None:
    """`module` is flwr.supernode.start_client_internal."""
    pull: Callable[..., Any] = module._pull_and_store_message
    push: Callable[..., Any] = module._push_messages
    work = Work()

    def pull_and_store_message(*, state: Any, **rest: Any) -> Any:
        work.task = work.message = None
        return pull(state=Beginning(state, work), **rest)

    def push_messages(*, state: Any, object_store: Any, **rest: Any) -> Any:
        waiting = Waiting(module, state, object_store, work)
        push(state=waiting, object_store=waiting.objects, **rest)
        if waiting.objects.cut_off:
            waiting.give_up()
            push(state=state, object_store=object_store, **rest)

    module._pull_and_store_message = pull_and_store_message  # type: ignore[attr-defined]
    module._push_messages = push_messages  # type: ignore[attr-defined]


class Beginning:
    """Wraps the SuperNode's state while it fetches a message, to note the task and the message."""

    def __init__(self, state: Any, work: Work) -> None:
        self._state, self._work = state, work

    def __getattr__(self, name: str) -> Any:
        return getattr(self._state, name)

    def create_task(self, **task: Any) -> Any:
        self._work.task = self._state.create_task(**task)
        return self._work.task

    def store_message(self, message: Any) -> Any:
        if not message.metadata.reply_to_message_id:
            self._work.message = message
        return self._state.store_message(message)


class Waiting:
    """Wraps the SuperNode's state while it waits for a reply and sends it."""

    def __init__(self, module: ModuleType, state: Any, store: Any, work: Work) -> None:
        self._module, self._state, self._store, self._work = module, state, store, work
        self.objects = Objects(store, self.over)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._state, name)

    def over(self) -> str | None:
        """How the task ended; None if it is running."""
        if self._work.task is None:
            return None
        tasks = self._state.get_tasks(task_ids=[self._work.task])
        if tasks and tasks[0].status.status != FINISHED:
            return None
        return str(tasks[0].status.details) if tasks else ""

    def get_messages_legacy(self, **wanted: Any) -> Sequence[Any]:
        return self._replies(self._state.get_messages_legacy, wanted)

    def get_messages(self, **wanted: Any) -> Sequence[Any]:
        """Its name in Flower 1.40."""
        return self._replies(self._state.get_messages, wanted)

    def _replies(self, find: Callable[..., Sequence[Any]], wanted: dict[str, Any]) -> Sequence[Any]:
        over = self.over()  # before the lookup: an app stores its reply, then ends its task
        found = find(**wanted)
        if found or over is None or self._work.message is None:
            return found
        self.give_up(over)
        return find(**wanted)

    def give_up(self, why: str | None = None) -> None:
        """Stores an error reply, and deletes the message's objects."""
        message, why = self._work.message, why or self.over() or ""
        log_line("the ClientApp ended without a reply; sending an error")
        error: Any = importlib.import_module("flwr.app.error").Error
        self._store.delete(message.metadata.message_id)
        self._module._insert_message(type(message)(error(CRASHED, why), reply_to=message), self._state, self._store)


class Objects:
    """Wraps the SuperNode's object store: raises instead of waiting for the rest of a reply whose sender has ended."""

    def __init__(self, store: Any, over: Callable[[], str | None]) -> None:
        self._store, self._over = store, over
        self.cut_off = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def get(self, name: str) -> Any:
        found = self._store.get(name)
        if found != b"" or self._over() is None:
            return found
        found = self._store.get(name)  # it may have arrived just before the end
        if found == b"":
            self.cut_off = True
            raise IncompleteReplyError("the ClientApp ended before it had handed over all of its reply")
        return found
