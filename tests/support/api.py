"""An API server as tests ask it, whichever it is: real or embedded. Calls wait for their answer; objects are plain JSON."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from panal.kube.client import Client, Propagation, Selector
from panal.kube.errors import NotFound, Unavailable
from panal.kube.kinds import Kind
from panal.kube.objects import Object

T = TypeVar("T")
AWAY = 30.0  # seconds for which an API server may be away


@cache
def _loop() -> asyncio.AbstractEventLoop:
    """One for all tests of a process, in a thread of its own."""
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, daemon=True).start()
    return loop


def _wait(work: Coroutine[Any, Any, T]) -> T:
    return asyncio.run_coroutine_threadsafe(work, _loop()).result(60)


def _ask(question: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Asks again while the API server is away: tests kill it. All that is asked here may be asked twice."""
    return _wait(_until_answered(question))


async def _until_answered(question: Callable[[], Coroutine[Any, Any, T]]) -> T:
    end = time.monotonic() + AWAY
    while True:
        try:
            return await question()
        except Unavailable:
            if time.monotonic() > end:
                raise
            await asyncio.sleep(0.2)


class Api:
    """One cluster's API server, as its administrator."""

    def __init__(self, kubeconfig: Path) -> None:
        self._client = _wait(self._open(kubeconfig))

    @staticmethod
    async def _open(kubeconfig: Path) -> Client:
        return Client.from_kubeconfig(kubeconfig, field_manager="tests")

    def get(self, kind: Kind, namespace: str, name: str) -> Object | None:
        try:
            return _ask(lambda: self._client.get(kind, namespace, name))
        except NotFound:
            return None

    def list(self, kind: Kind, namespace: str = "", labels: str = "", fields: str = "") -> list[Object]:
        return _ask(lambda: self._client.list(kind, Selector(namespace, labels, fields))).items

    def apply(self, obj: Object) -> Object:
        return _ask(lambda: self._client.apply(obj))

    def create(self, obj: Object) -> Object:
        return _wait(self._client.create(obj))

    def patch(self, kind: Kind, namespace: str, name: str, **changes: Any) -> Object:
        """A merge patch; raises what the API server says against it."""
        return _ask(lambda: self._client.merge_patch(kind, namespace, name, changes))

    def patch_status(self, kind: Kind, namespace: str, name: str, **status: Any) -> Object:
        return _ask(lambda: self._client.merge_patch(kind, namespace, name, {"status": status}, "status"))

    def patch_subresource(self, kind: Kind, namespace: str, name: str, subresource: str, **changes: Any) -> Object:
        return _ask(lambda: self._client.merge_patch(kind, namespace, name, changes, subresource))

    def label(self, kind: Kind, of: str, /, **labels: str | None) -> None:
        """Sets labels of an object that has no namespace; None takes one off."""
        self.patch(kind, "", of, metadata={"labels": labels})

    def delete(self, kind: Kind, namespace: str, name: str, grace: int | None = None, propagation: Propagation = "Background") -> bool:
        """Asks for the deletion; false if it was not there. `grace` is a Pod's."""
        return _ask(lambda: self._client.delete(kind, namespace, name, grace=grace, propagation=propagation))

    def make_namespace(self, name: str) -> None:
        self.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})


@cache
def api(kubeconfig: Path) -> Api:
    return Api(kubeconfig)
