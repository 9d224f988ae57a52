"""Objects in batches."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from panal.pod.tools.flower import batches, objects
from panal.pod.tools.flower.local_objects import Runtime
from panal.pod.tools.flower.objects import batched_pull, batched_push, grouped, in_parallel
from panal.pod.tools.flower.spool import Spool, whole


class UnavailableError(Exception): ...


class PullError(Exception): ...


class Sender:
    """The other side: the contents that have arrived there, and the requests that it got."""

    def __init__(self, contents: dict[str, bytes], most: int = 1000, *, knows_batches: bool = True) -> None:
        self.contents, self.most, self.knows_batches = contents, most, knows_batches
        self.requests: list[str] = []

    def pull(self, name: str) -> bytes:
        self.requests.append(name)
        if not batches.is_batch(name):
            return self.contents[name]
        if not self.knows_batches:
            raise PullError
        names = batches.names_in(name)
        if names[0] not in self.contents:
            self.contents[names[0]] = b"late"
            raise UnavailableError
        return batches.pack([self.contents[name] for name in names if name in self.contents][: self.most])


@pytest.fixture
def pull(monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, Any]]:
    def pull_objects(names: Sequence[str], pull_object: Callable[[str], bytes], **_limits: Any) -> dict[str, bytes]:
        return {name: pull_object(name) for name in names}

    monkeypatch.setattr(objects, "FIRST", 0.0)
    module = SimpleNamespace(
        pull_objects=pull_objects, PULL_MAX_TIME=60, ObjectUnavailableError=UnavailableError, ObjectPullError=PullError
    )
    return batched_pull(module, batches.unpack, at_a_time=1)


def test_many_objects_arrive_in_few_requests(pull: Callable[..., dict[str, Any]]) -> None:
    sender = Sender({str(n): b"%d" % n for n in range(1000)})
    assert pull(list(sender.contents), sender.pull) == sender.contents
    assert len(sender.requests) == 4


def test_what_an_answer_leaves_out_is_asked_for_again(pull: Callable[..., dict[str, Any]]) -> None:
    sender = Sender({str(n): b"%d" % n for n in range(10)}, most=4)
    assert pull(list(sender.contents), sender.pull) == sender.contents
    assert [len(batches.names_in(request)) for request in sender.requests] == [10, 6, 2]


def test_an_object_that_has_not_arrived_is_waited_for(pull: Callable[..., dict[str, Any]]) -> None:
    sender = Sender({"1": b"one"})
    assert pull(["2", "1"], sender.pull) == {"1": b"one", "2": b"late"}


def test_the_wait_ends(pull: Callable[..., dict[str, Any]]) -> None:
    with pytest.raises(PullError):
        pull(["2"], Sender({}).pull, max_time=-1)


def test_a_sender_without_batches_gets_a_request_for_each_object(pull: Callable[..., dict[str, Any]]) -> None:
    sender = Sender({"1": b"one", "2": b"two"}, knows_batches=False)
    assert pull(["1", "2"], sender.pull) == sender.contents
    assert sender.requests == ["1,2,", "1", "2"]


def test_batches_are_bounded_by_bytes_and_by_objects() -> None:
    half = batches.LARGEST // 2
    found = grouped([("a", half), ("b", half), ("c", 1), ("d", batches.LARGEST + 1), ("e", 1)], int)
    assert [[name for name, _ in batch] for batch in found] == [["a", "b"], ["c"], ["d"], ["e"]]
    assert [len(batch) for batch in grouped([("", 0)] * 300, int)] == [256, 44]


def test_batches_are_read_only_when_they_are_pushed_and_an_error_ends_it() -> None:
    read = []

    def contents() -> Any:
        for number in range(100):
            read.append(number)
            yield number

    def push(number: int) -> None:
        if number >= 2:
            raise PullError

    with pytest.raises(PullError):
        in_parallel(push, contents())
    assert len(read) < 10


class PushError(Exception): ...


@pytest.mark.parametrize(("opens", "expected"), [(True, ["a,b,"]), (False, ["a,b,", "a", "b"])])
def test_objects_are_pushed_singly_if_the_other_process_cannot_open_the_files(opens: bool, expected: list[str]) -> None:
    pushed: list[str] = []

    def push_singly(contents: Any, push_object: Callable[[str, bytes], None]) -> None:
        for name, content in contents:
            push_object(name, content)

    def push_object(name: str, content: bytes) -> None:
        pushed.append(name)
        if batches.is_batch(name):
            assert batches.unpack_references(content) == [b"of a", b"of b"]
            if not opens:
                raise PushError

    module = SimpleNamespace(push_object_contents_from_iterable=push_singly, ObjectPushError=PushError)
    found = {name: SimpleNamespace(deflate=lambda name=name: f"of {name}".encode()) for name in "abc"}
    batched_push(module)(found, push_object, object_ids_to_push={"a", "b"})
    assert pushed == expected
    assert list(found) == ["c"]


class Store:
    def __init__(self, **contents: Any) -> None:
        self.stored = contents.get


def handlers(pushed: dict[str, Any] | None = None) -> Runtime:
    module = SimpleNamespace(PullObjectResponse=SimpleNamespace, PushObjectResponse=SimpleNamespace)

    def pull(request: Any, state: Any, task: Any) -> Any:
        content = state.object_store.stored(request.object_id)
        return SimpleNamespace(object_available=bool(content), object_content=content)

    def push(request: Any, _state: Any, _task: Any) -> Any:
        assert pushed is not None
        pushed[request.object_id] = request.object_content
        return SimpleNamespace(stored=True)

    return Runtime(module, pull, push)


def request(name: str, content: bytes = b"") -> Any:
    return SimpleNamespace(node=1, run_id=2, session_id="s", object_id=name, object_content=content)


def test_a_batch_is_answered_up_to_the_first_object_that_has_not_arrived() -> None:
    large = Spool().add(bytes(1 << 20))
    state = SimpleNamespace(object_store=Store(a=large, b=b"small", c=b"", d=b"after it"))
    answer = handlers().pull_object(request("a,b,c,d,"), state, None)
    first, second = batches.unpack_references(answer.object_content)
    assert (whole(first), second) == (whole(large), b"small")
    assert len(answer.object_content) < 1000
    assert not handlers().pull_object(request("c,d,"), state, None).object_available
    assert handlers().pull_object(request("b"), state, None).object_content == b"small"


def test_a_batch_is_stored_whole_or_not_at_all() -> None:
    pushed: dict[str, Any] = {}
    packed = batches.pack_references([b"one", b"two"])
    assert handlers(pushed).push_object(request("a,b,", packed), None, None).stored
    assert pushed == {"a": b"one", "b": b"two"}
    pushed.clear()
    for names, content in (("a,", packed), ("a,b,", packed[:3]), ("a,b,", b'\0\0\0\x1e[[["/proc/none", 1, 1, 0, 1]]]')):
        assert not handlers(pushed).push_object(request(names, content), None, None).stored
    assert not pushed
