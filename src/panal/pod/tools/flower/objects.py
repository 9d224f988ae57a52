"""Hook in Flower's processes: sends and receives objects in batches (`batches`), and keeps large ones in files (`spool`).

Flower's functions deflate all objects of a message before they send the first, and keep all that they receive in memory. Here a batch is
read from its file when it is sent, and written to a file when it arrives.
"""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from . import batches, randomness
from .spool import Contents, Spool, Stored, beginning, whole

AT_A_TIME = 2  # requests between a site and the hub
FIRST, GROWTH, LONGEST = 0.05, 1.5, 1.0  # seconds between two requests for an object that its sender has not sent yet
HEAD = 64  # bytes; the head of an array chunk is shorter

Push = Callable[[str, bytes], None]
Pull = Callable[[str], bytes]


class Hub:
    """Whether the other end of this SuperNode's connection takes batches: its first answer shows it."""

    takes_batches = False


# Between the processes of a container:


def patch(module: Any) -> None:
    """`module` is flwr.supercore.inflatable.inflatable_utils."""
    randomness.patch(module)
    module.pull_objects_singly = module.pull_objects
    module.pull_objects = batched_pull(module, batches.unpack_references, at_a_time=1)
    module.push_objects = batched_push(module)
    module.inflate_object_from_contents = lazy_inflate(module.inflate_object_from_contents)


def batched_push(module: Any) -> Callable[..., None]:
    """In the place of `push_objects`."""
    push_singly: Callable[..., None] = module.push_object_contents_from_iterable

    def push_objects(
        objects: dict[str, Any],
        push_object_fn: Push,
        *,
        object_ids_to_push: set[str] | None = None,
        keep_objects: bool = False,
        **rest: Any,
    ) -> None:
        wanted = [name for name in objects if object_ids_to_push is None or name in object_ids_to_push]
        found = ((name, content_of(objects[name] if keep_objects else objects.pop(name))) for name in wanted)
        for batch in grouped(found, batches.in_memory):
            names, contents = zip(*batch)
            try:
                push_object_fn(batches.joined(names), batches.pack_references(contents))
            except module.ObjectPushError:  # the other process cannot open the files
                push_singly(((name, whole(each)) for name, each in batch), push_object_fn, **rest)

    return push_objects


def content_of(each: Any) -> Stored:
    """The content of a deflated object, without reading an array's data from its file."""
    stored: Stored = each.stored() if hasattr(each, "contents") else each.deflate()
    return stored


def lazy_inflate(inflate: Callable[..., Any]) -> Callable[..., Any]:
    """In the place of `inflate_object_from_contents`: the data of arrays is not read."""

    def inflate_object_from_contents(
        object_id: str, object_contents: dict[str, Stored], *, objects: dict[str, Any] | None = None, **rest: Any
    ) -> Any:
        if objects is None:
            objects = {}
            object_contents = dict(object_contents)
            for name in [name for name, content in object_contents.items() if isinstance(content, Contents)]:
                content = object_contents.pop(name)
                if (chunk := chunk_of(content)) is not None:
                    objects[name] = chunk
                else:
                    object_contents[name] = whole(content)
        return inflate(object_id, object_contents, objects=objects, **rest)

    return inflate_object_from_contents


def chunk_of(content: Stored) -> Any:
    """The array chunk in an object in a file; None for any other object."""
    import flwr.app.message.array as arrays  # type: ignore[import-not-found, unused-ignore]

    start = start_of_chunk(content)
    if not (start and isinstance(content, Contents) and hasattr(arrays, "LazyArrayChunk")):
        return None
    return arrays.LazyArrayChunk(content.part(start, len(content) - start))


def start_of_chunk(content: Stored) -> int:
    """Where the data of an array chunk begins in its object; 0 for any other object."""
    head = beginning(content, HEAD)
    return head.find(b"\0") + 1 if head.startswith(b"ArrayChunk  ") else 0


# Between a site and the hub:


def patch_supernode(module: Any) -> None:
    """`module` is flwr.supernode.start_client_internal."""
    import flwr.supercore.inflatable.inflatable_utils as utils  # type: ignore[import-not-found, unused-ignore]

    push_singly = module.push_object_contents_from_iterable

    def unpack(packed: bytes) -> list[bytes]:
        found = batches.unpack(packed)
        Hub.takes_batches = True
        return found

    def push_object_contents_from_iterable(object_contents: Iterable[tuple[str, bytes]], push_object_fn: Push, **rest: Any) -> None:
        if not Hub.takes_batches:
            push_singly(object_contents, push_object_fn, **rest)
            return

        def push(batch: Sequence[tuple[str, bytes]]) -> None:
            names, contents = zip(*batch)
            if len(batch) == 1:
                push_object_fn(names[0], contents[0])
            else:
                push_object_fn(batches.joined(names), batches.pack(contents))

        in_parallel(push, grouped(object_contents, len))

    module.pull_objects = batched_pull(utils, unpack, at_a_time=AT_A_TIME)
    module.push_object_contents_from_iterable = push_object_contents_from_iterable


def in_parallel(push: Callable[[Any], None], found: Iterator[Any]) -> None:
    """Pushes AT_A_TIME batches at a time. `found` is read only when one is needed, so that few of them are in memory."""
    lock, failed = threading.Lock(), threading.Event()

    def take() -> Any:
        with lock:
            return None if failed.is_set() else next(found, None)

    def work() -> None:
        try:
            for batch in iter(take, None):
                push(batch)
        except BaseException:
            failed.set()
            raise

    with ThreadPoolExecutor(AT_A_TIME) as executor:
        for each in [executor.submit(work) for _ in range(AT_A_TIME)]:
            each.result()


# Both:


def batched_pull(module: Any, unpack: Callable[[bytes], Sequence[Stored]], at_a_time: int) -> Callable[..., dict[str, Stored]]:
    """In the place of `pull_objects` of `module`, which fetches what cannot be fetched in batches."""
    pull_singly: Callable[..., dict[str, Stored]] = getattr(module, "pull_objects_singly", module.pull_objects)

    def pull_objects(object_ids: Iterable[str], pull_object_fn: Pull, *, max_time: float | None = None, **rest: Any) -> dict[str, Stored]:
        longest = module.PULL_MAX_TIME if max_time is None else max_time
        pulled = Pulled(module, object_ids, time.monotonic() + longest, at_a_time)
        with ThreadPoolExecutor(at_a_time) as executor:
            for each in [executor.submit(pulled.work, pull_object_fn, unpack) for _ in range(at_a_time)]:
                each.result()
        if pulled.left:
            pulled.results |= pull_singly(list(pulled.left), pull_object_fn, max_time=longest, **rest)
        return pulled.results

    return pull_objects


class Pulled:
    """`left` are the objects that have not arrived. `stopped`: they cannot be fetched in batches, or there was an error."""

    def __init__(self, module: Any, names: Iterable[str], end: float, at_a_time: int) -> None:
        self._module, self._end, self._at_a_time = module, end, at_a_time
        self._lock = threading.Lock()
        self._spool = Spool()
        self.left = deque(dict.fromkeys(names))
        self.results: dict[str, Stored] = {}
        self.stopped = False

    def work(self, pull: Pull, unpack: Callable[[bytes], Sequence[Stored]]) -> None:
        pause = FIRST
        while not self.stopped and (batch := self._take()):
            got: Sequence[Stored] = ()
            try:
                got = self._pull(batch, pull, unpack)
            except BaseException:
                self.stopped = True
                raise
            finally:
                self._put_back(batch[len(got) :])
            for name, content in zip(batch, got):
                self.results[name] = content if isinstance(content, Contents) else self._spool.add(content)
            if got or self.stopped:
                pause = FIRST
            else:
                time.sleep(pause)
                pause = min(LONGEST, pause * GROWTH)

    def _pull(self, batch: list[str], pull: Pull, unpack: Callable[[bytes], Sequence[Stored]]) -> Sequence[Stored]:
        """The first objects of a batch, as many as the other side sends; none if the first has not arrived there."""
        try:
            got = unpack(pull(batches.joined(batch)))[: len(batch)]
            self.stopped = self.stopped or not got
            return got
        except self._module.ObjectUnavailableError:
            if time.monotonic() > self._end:
                raise self._module.ObjectPullError(batch[0], "timeout reached") from None
        except (self._module.ObjectPullError, batches.BadBatchError, OSError):
            self.stopped = True
        return ()

    def _take(self) -> list[str]:
        with self._lock:
            count = min(batches.NAMES, math.ceil(len(self.left) / self._at_a_time))
            return [self.left.popleft() for _ in range(count)]

    def _put_back(self, names: Sequence[str]) -> None:
        with self._lock:
            self.left.extendleft(reversed(names))


def grouped(contents: Iterable[tuple[str, Any]], size: Callable[[Any], int]) -> Iterator[list[tuple[str, Any]]]:
    """Batches of at most LARGEST bytes, or of one object."""
    batch: list[tuple[str, Any]] = []
    total = 0
    for name, content in contents:
        if batch and (total + size(content) > batches.LARGEST or len(batch) == batches.NAMES):
            yield batch
            batch, total = [], 0
        batch.append((name, content))
        total += size(content)
    if batch:
        yield batch
