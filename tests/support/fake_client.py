"""An API server as far as a command needs one: objects by kind, namespace and name, without a process behind it."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import asynccontextmanager
from copy import deepcopy
from typing import Any

from panal.kube.client import Listing
from panal.kube.errors import NotFound
from panal.kube.forms import Form
from panal.kube.kinds import LATER_ADDONS, Kind, kind_of


class FakeClient:
    """`deletions` is how often an object that is being deleted is still found."""

    def __init__(self, *objects: dict[str, Any], deletions: int = 0) -> None:
        self.objects = {self._key(obj): deepcopy(obj) for obj in objects}
        self.deletions = deletions
        self.namespace = "default"

    @staticmethod
    def _key(obj):
        metadata = obj["metadata"]
        return obj["kind"], metadata.get("namespace", ""), metadata["name"]

    async def serves(self, kind: Kind) -> bool:
        return kind not in LATER_ADDONS.values()

    def speak(self, forms: Mapping[Kind, Form]) -> None:
        assert forms == {}

    def names(self) -> set[str]:
        return {name for _, _, name in self.objects}

    async def list(self, kind, selector=None):
        wanted = (selector.fields if selector else "").removeprefix("metadata.name=")
        found = [obj for (of, _, name), obj in self.objects.items() if of == kind.kind and wanted in ("", name)]
        return Listing(deepcopy(found), "1")

    async def get(self, kind, namespace, name):
        found = self.objects.get((kind.kind, namespace, name))
        if found is None:
            raise NotFound(404, "NotFound", f"there is no {name}")
        if found["metadata"].get("deletionTimestamp"):
            self.deletions -= 1
            if self.deletions < 0:
                del self.objects[kind.kind, namespace, name]
                raise NotFound(404, "NotFound", f"there is no {name}")
        return deepcopy(found)

    async def apply(self, obj, force=True):
        kind_of(obj)
        self.objects[self._key(obj)] = deepcopy(obj)
        return obj

    async def merge_patch(self, kind, namespace, name, patch):
        found = self.objects[kind.kind, namespace, name]
        found["spec"] |= patch["spec"]
        return deepcopy(found)

    async def delete(self, kind, namespace, name, uid=""):
        found = self.objects.get((kind.kind, namespace, name))
        if found is None or (uid and found["metadata"]["uid"] != uid):
            return False
        if found["metadata"].get("finalizers"):
            found["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
        else:
            del self.objects[kind.kind, namespace, name]
        return True


class FakeAccess:
    """Opens the client of its context; `at` another."""

    def __init__(self, clients: dict[str, FakeClient], context: str = "hub") -> None:
        self.clients, self.context = clients, context

    def at(self, context: str) -> FakeAccess:
        return FakeAccess(self.clients, context)

    @asynccontextmanager
    async def open(self):
        yield self.clients[self.context]

    def __str__(self) -> str:
        return "a hub"
