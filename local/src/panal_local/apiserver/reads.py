"""Reads: get, list and watch.

Responses consist of the encoded objects in the store; only tables for kubectl are encoded for each request. Lists have no pages and watches
no bookmarks, which the API makes optional for servers.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, Iterator
from dataclasses import dataclass
from typing import Any

from panal_local.apiserver import errors, selectors, table
from panal_local.apiserver.kinds import Resource
from panal_local.apiserver.requests import Call
from panal_local.apiserver.store import Change, Entry, Store, encode

Object = dict[str, Any]
MAX_BACKLOG = 10_000  # events; a watch that is further behind is ended


@dataclass(frozen=True, slots=True)
class Form:
    """The format of a response: objects, or a Table. `include` is the content of the rows' objects: None, Metadata or Object."""

    table: bool = False
    include: str = "Metadata"

    def one(self, resource: Resource, entry: Entry) -> bytes:
        return encode(table.of(resource, [entry], self.include)) if self.table else entry.body


class Selection:
    """The objects that a list or watch selects. Raises StatusError, 400, for invalid selectors."""

    def __init__(self, call: Call) -> None:
        self.namespace = call.namespace
        self._labels = selectors.labels(call.query.get("labelSelector", ""))
        self._fields = selectors.fields(call.query.get("fieldSelector", ""), call.resource)

    def has(self, entry: Entry | None) -> bool:
        if entry is None:
            return False
        if self.namespace and entry.object["metadata"].get("namespace") != self.namespace:
            return False
        return (self._labels is None or self._labels(entry.labels)) and (self._fields is None or self._fields(entry.object))

    def of(self, call: Call, store: Store) -> list[Entry]:
        return [entry for entry in store.all(call.resource.stored, self.namespace) if self.has(entry)]


def listing(call: Call, store: Store, form: Form) -> bytes:
    found, resource = Selection(call).of(call, store), call.resource
    metadata = {"resourceVersion": str(store.version)}
    if form.table:
        return encode(table.of(resource, found, form.include, metadata))
    head = encode({"kind": resource.list, "apiVersion": resource.api_version, "metadata": metadata})
    return head[:-1] + b',"items":[' + b",".join(entry.body for entry in found) + b"]}"


# --- watches ------------------------------------------------------------------------------------------------------
def seconds(call: Call) -> float:
    given = call.query.get("timeoutSeconds", "")
    return float(given) if given.isdigit() and int(given) else random.uniform(1800, 3600)


class Watch:
    """`lines` yields events until the watch times out. The constructor raises StatusError for an invalid request."""

    def __init__(self, call: Call, store: Store, form: Form, closing: asyncio.Event) -> None:
        self._call, self._store, self._form = call, store, form
        self._selection = Selection(call)
        self._since = self._version(call.query.get("resourceVersion") or "0")
        if call.flag("sendInitialEvents"):  # clients fall back to list and watch
            raise errors.invalid_option("ListOptions", "sendInitialEvents", "Forbidden: the local platform sends no initial events")
        self._queue: asyncio.Queue[Change | None] = asyncio.Queue()
        self._columns = True
        self._closing = closing

    @staticmethod
    def _version(given: str) -> int:
        if not given.isdigit():
            raise errors.bad_request(f'resourceVersion: Invalid value: "{given}": must be a number')
        return int(given)

    async def lines(self) -> AsyncGenerator[bytes, None]:
        deadline = asyncio.get_running_loop().time() + seconds(self._call)
        yield b""  # sends the headers
        end = self._store.listen(self._call.resource.stored, self._listen)
        try:
            if error := self._unknown_version():
                yield self._line("ERROR", encode(error.body))
                return
            for line in self._initial_events():
                yield line
            async for line in self._later_events(deadline):
                yield line
        finally:
            end()

    def _listen(self, change: Change) -> None:
        self._queue.put_nowait(None if self._queue.qsize() > MAX_BACKLOG else change)

    def _unknown_version(self) -> errors.StatusError | None:
        since, store = self._since, self._store
        if not since or store.oldest <= since <= store.version:
            return None
        return errors.StatusError(410, "Expired", f"too old resource version: {since} ({store.oldest})")

    def _initial_events(self) -> Iterator[bytes]:
        if self._since:
            yield from filter(None, map(self._change, self._store.since(self._call.resource.stored, self._since)))
        else:
            yield from (self._event("ADDED", entry) for entry in self._selection.of(self._call, self._store))

    async def _later_events(self, deadline: float) -> AsyncGenerator[bytes]:
        while not self._closing.is_set():
            try:
                async with asyncio.timeout_at(deadline):
                    change = await self._queue.get()
            except TimeoutError:
                return
            if change is None:
                return  # too slow: the client watches again from its last version, or lists again
            lines = [self._change(change)]
            while not self._queue.empty() and (more := self._queue.get_nowait()):
                lines.append(self._change(more))
            if joined := b"".join(line for line in lines if line):
                yield joined

    def _change(self, change: Change) -> bytes | None:
        before, after = self._selection.has(change.old), self._selection.has(change.new)
        if change.new is not None and after:
            return self._event("MODIFIED" if before else "ADDED", change.new)
        if not before or change.old is None:
            return None
        if change.deleted is not None:
            return self._event("DELETED", change.deleted)
        left = {**change.old.object, "metadata": {**change.old.object["metadata"], "resourceVersion": str(change.version)}}
        return self._event("DELETED", Entry(left, encode(left), change.version))

    def _event(self, kind: str, entry: Entry) -> bytes:
        if not self._form.table:
            return self._line(kind, entry.body)
        shown = table.of(self._call.resource, [entry], self._form.include, columns=self._columns)
        self._columns = False  # only the first event has the columns
        return self._line(kind, encode(shown))

    @staticmethod
    def _line(kind: str, obj: bytes) -> bytes:
        return b'{"type":"' + kind.encode() + b'","object":' + obj + b"}\n"
