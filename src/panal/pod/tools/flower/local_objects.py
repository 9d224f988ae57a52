"""Part of the guards of SuperLink and SuperNode: they store large objects in files, and exchange batches with the apps' processes.

Their callers are the other processes of the container (`objects`). A batch holds references to files; a file that the other process cannot
open makes it send the objects one by one.
"""

from __future__ import annotations

import ctypes
import importlib
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from types import SimpleNamespace
from typing import Any

from . import batches
from .spool import Contents, Spool, Stored, whole

M_MMAP_THRESHOLD, RETURNED = -3, 1 << 20  # bytes of a block
STORE = "flwr.supercore.object_store.in_memory_object_store"


def install(handlers: str) -> None:
    """`handlers` is the module with the handlers of the Runtime API, which a SuperLink and a SuperNode have."""
    patch_store(importlib.import_module(STORE))
    module: Any = importlib.import_module(handlers)
    runtime = Runtime(module, module.pull_object, module.push_object)
    module.pull_object, module.push_object = runtime.pull_object, runtime.push_object


def patch_store(module: Any) -> None:
    store: Any = module.InMemoryObjectStore
    put, get = store.put, store.get
    spool = Spool()

    def put_object(self: Any, object_id: str, object_content: Stored) -> None:
        return_memory()
        put(self, object_id, whole(object_content))
        adopt(self, object_id, object_content if isinstance(object_content, Contents) else spool.add(object_content))

    def adopt(self: Any, object_id: str, object_content: Stored) -> None:
        """Stores a preregistered object whose content is known to be the one of its name."""
        with self.lock_store:
            if (entry := self.store.get(object_id)) is not None and not isinstance(entry.content, Contents):
                entry.content, entry.is_available = object_content, True

    def stored(self: Any, object_id: str) -> Stored | None:
        """The content of an object, which may not have been read; None if there is none, and no bytes if it has not arrived."""
        found: Stored | None = get(self, object_id)
        return found

    def get_object(self: Any, object_id: str) -> bytes | None:
        found = stored(self, object_id)
        return None if found is None else whole(found)

    store.put, store.get, store.adopt, store.stored = put_object, get_object, adopt, stored


@cache
def return_memory() -> None:
    """Makes glibc return large blocks to the system when they are freed. Otherwise each thread that handles requests keeps some. It is
    called with the first object, after the processes of apps were forked, which are not affected."""
    with suppress(AttributeError):  # another C library
        ctypes.CDLL(None).mallopt(M_MMAP_THRESHOLD, RETURNED)


class Runtime:
    """The handlers for objects. `module` has Flower's."""

    def __init__(self, module: Any, pull: Callable[..., Any], push: Callable[..., Any]) -> None:
        self._module, self._pull, self._push = module, pull, push

    def pull_object(self, request: Any, state: Any, task: Any) -> Any:
        if not batches.is_batch(request.object_id):
            return self._pull(request, state, task)
        found: list[Stored] = []
        size = 0
        for name in batches.names_in(request.object_id):
            content = state.object_store.stored(name)
            if not isinstance(content, Contents):
                response = self._pull(SimpleNamespace(node=request.node, run_id=request.run_id, object_id=name), state, task)
                if not response.object_available:
                    if not found:
                        return response
                    break
                content = response.object_content
            found.append(content)
            if (size := size + batches.in_memory(content)) >= batches.LARGEST:
                break
        packed = batches.pack_references(found)
        return self._module.PullObjectResponse(object_found=True, object_available=True, object_content=packed)

    def push_object(self, request: Any, state: Any, task: Any) -> Any:
        if not batches.is_batch(request.object_id):
            return self._push(request, state, task)
        stored = self._module.PushObjectResponse
        try:
            names, contents = batches.names_in(request.object_id), batches.unpack_references(request.object_content)
        except (batches.BadBatchError, OSError):
            return stored(stored=False)
        if len(names) != len(contents):
            return stored(stored=False)
        fields = {"node": request.node, "run_id": request.run_id, "session_id": request.session_id}
        ones = (SimpleNamespace(**fields, object_id=name, object_content=each) for name, each in zip(names, contents))
        return stored(stored=all(self._push(one, state, task).stored for one in ones))
