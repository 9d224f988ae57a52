"""A SuperNode that waits for a reply, with fakes of Flower's state and object store."""

from __future__ import annotations

from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from panal.pod.tools.flower import unanswered


class Message(SimpleNamespace):
    """A message, or an error if `content` is one."""

    def __init__(self, content: Any, reply_to: Any = None) -> None:
        super().__init__(content=content, metadata=SimpleNamespace(message_id=f"m{id(self)}", reply_to_message_id=""))
        self.metadata.reply_to_message_id = reply_to.metadata.message_id if reply_to else ""


class State:
    """One task, and the stored replies."""

    def __init__(self) -> None:
        self.task = SimpleNamespace(status=SimpleNamespace(status="running", details=""))
        self.stored: list[Message] = []

    def create_task(self, **_: Any) -> int:
        return 7

    def get_tasks(self, *, task_ids: list[int]) -> list[Any]:
        assert task_ids == [7]
        return [self.task]

    def store_message(self, message: Message) -> None:
        self.stored.append(message)

    def get_messages_legacy(self, *, is_reply: bool) -> list[Message]:
        found = [m for m in self.stored if bool(m.metadata.reply_to_message_id) == is_reply]
        self.stored = [m for m in self.stored if m not in found]
        return found

    def end(self, details: str) -> None:
        self.task.status = SimpleNamespace(status="finished", details=details)


class Store:
    def __init__(self, **contents: bytes) -> None:
        self.contents = contents

    def get(self, name: str) -> bytes:
        return self.contents[name]

    def delete(self, name: str) -> None:
        self.contents.pop(name, None)


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A fake of flwr.supernode.start_client_internal: fetches `asked`, waits, and sends the replies with the object `o`."""
    errors = SimpleNamespace(Error=lambda code, reason: (code, reason))
    monkeypatch.setattr(unanswered.importlib, "import_module", lambda name: {"flwr.app.error": errors}[name])
    found = ModuleType("module")
    found.waited, found.sent = [], []  # type: ignore[attr-defined]

    def pull(*, state: Any) -> None:
        state.create_task(task_type="client")
        state.store_message(found.asked)  # type: ignore[attr-defined]

    def push(*, state: Any, object_store: Any) -> None:
        while not (replies := state.get_messages_legacy(is_reply=True)):
            found.waited.pop(0)()  # type: ignore[attr-defined]
        for reply in replies:
            try:
                object_store.get("o")
            except unanswered.IncompleteReplyError:
                return
            found.sent.append((reply.content, reply.metadata.reply_to_message_id))  # type: ignore[attr-defined]

    found.asked = Message("train")  # type: ignore[attr-defined]
    found._pull_and_store_message, found._push_messages = pull, push  # type: ignore[attr-defined]
    found._insert_message = lambda message, state, store: (state.store_message(message), store.contents.update(o=b"x"))  # type: ignore[attr-defined]
    unanswered.install(found)
    return found


def sent(module: Any, state: State, store: Store, *meanwhile: Any) -> list[Any]:
    module.waited[:] = meanwhile
    module._pull_and_store_message(state=state)
    module._push_messages(state=state, object_store=store)
    assert {to for _, to in module.sent} == {module.asked.metadata.message_id}
    return [content for content, _ in module.sent]


def test_a_reply_is_sent_although_its_task_failed(module: Any) -> None:
    state = State()

    def reply_and_end() -> None:
        state.store_message(Message("reply", reply_to=module.asked))
        state.end("exception=Other")

    assert sent(module, state, Store(o=b"x"), lambda: None, reply_and_end) == ["reply"]


def test_a_task_without_a_reply_is_answered_with_an_error(module: Any) -> None:
    state = State()
    store = Store(**{module.asked.metadata.message_id: b"instruction", "o": b"x"})
    found = sent(module, state, store, lambda: None, lambda: state.end("exception=KilledBySIGKILL"))
    assert found == [(8, "exception=KilledBySIGKILL")]
    assert module.asked.metadata.message_id not in store.contents  # it holds no memory


def test_a_partial_reply_of_a_dead_app_is_replaced_by_an_error(module: Any) -> None:
    state = State()

    def half_a_reply() -> None:
        state.store_message(Message("reply", reply_to=module.asked))
        state.end("exception=KilledBySIGSEGV")

    assert sent(module, state, Store(o=b""), half_a_reply) == [(8, "exception=KilledBySIGSEGV")]
