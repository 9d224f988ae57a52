"""Reading: one object, lists page by page, and watches.

Bodies are those that the store holds, encoded once, when they were written; they are made again only for another version of a kind, or
for the forms that kubectl asks for (Table, PartialObjectMetadata).
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import random
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import msgspec

from panal_local.apiserver import errors, selectors, table
from panal_local.apiserver.kinds import Resource
from panal_local.apiserver.requests import Call
from panal_local.apiserver.store import Change, Entry, Store, decode, encode

Object = dict[str, Any]
BOOKMARKS = 15.0  # seconds
BEFORE_END = 2.0
FULL = 10_000  # events that a watcher may be behind before its watch is ended


@dataclass(frozen=True, slots=True)
class Form:
    """How objects are to be told: as they are, or as one of the kinds of meta.k8s.io/v1."""

    kind: str = ""  # Table, PartialObjectMetadata, or empty
    include: str = "Metadata"

    def one(self, resource: Resource, entry: Entry) -> bytes:
        if self.kind.startswith("Table"):
            return encode(table.of(resource, [entry], self.include))
        if self.kind.startswith("PartialObjectMetadata"):
            return encode(partial(entry.object))
        return body(resource, entry)


def partial(obj: Object) -> Object:
    return {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": obj["metadata"]}


def body(resource: Resource, entry: Entry) -> bytes:
    if entry.object["apiVersion"] == resource.api_version:
        return entry.body
    return encode({**entry.object, "apiVersion": resource.api_version})


def item(resource: Resource, entry: Entry) -> bytes:
    """Items of lists of built-in kinds do not say what they are."""
    found = body(resource, entry)
    if resource.custom:
        return found
    return b"{" + found[found.index(b'"metadata"') :]


class Selection:
    """Which objects a list or watch is about."""

    def __init__(self, call: Call) -> None:
        self.namespace = call.namespace
        self._labels = selectors.labels(call.query.get("labelSelector", ""))
        self._fields = selectors.fields(call.query.get("fieldSelector", ""), call.resource)
        self.any = self._labels is None and self._fields is None

    def has(self, entry: Entry | None) -> bool:
        if entry is None:
            return False
        if self.namespace and entry.object["metadata"].get("namespace") != self.namespace:
            return False
        return (self._labels is None or self._labels(entry.labels)) and (self._fields is None or self._fields(entry.object))


# --- lists --------------------------------------------------------------------------------------------------------
def version_asked(call: Call, store: Store) -> int:
    """0 if none is; 400 for what is no version, 504 for one that is yet to come."""
    given = call.query.get("resourceVersion", "")
    if given in ("", "0"):
        return 0
    if not given.isdigit():
        first = "" if call.flag("watch") else "invalid resource version: "
        why = f'{first}resourceVersion: Invalid value: "{given}": strconv.ParseUint: parsing "{given}": invalid syntax'
        raise errors.StatusError(400 if not call.flag("watch") else 500, "BadRequest" if not call.flag("watch") else "", why)
    if int(given) > store.version and not call.flag("watch"):
        cause = {"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}
        found = {"causes": [cause], "retryAfterSeconds": 1}
        raise errors.StatusError(504, "Timeout", f"Timeout: Too large resource version: {given}, current: {store.version}", found)
    return int(given)


def listing(call: Call, store: Store, form: Form) -> bytes:
    selection = Selection(call)
    version, start = _continued(call)
    if not version:
        asked = version_asked(call, store)
        version = asked if call.query.get("resourceVersionMatch") == "Exact" and asked else store.version
    entries = (
        store.all(call.resource.stored, call.namespace)
        if version == store.version
        else store.at(call.resource.stored, call.namespace, version)
    )
    if entries is None:
        raise errors.expired("The provided continue parameter is too old to display a consistent list result.")
    found = [e for e in entries if (not start or _place(e) > start) and selection.has(e)]
    limit = call.query.get("limit", "")
    if limit and not limit.isdigit():
        raise errors.bad_request(f'limit: Invalid value: "{limit}": must be a number')
    page = found[: int(limit)] if limit and int(limit) else found
    metadata: Object = {**({"continue": ""} if call.resource.custom and not form.kind else {}), "resourceVersion": str(version)}
    if len(page) < len(found):
        metadata["continue"] = base64.urlsafe_b64encode(encode([version, *_place(page[-1])])).decode()
        if selection.any:
            metadata["remainingItemCount"] = len(found) - len(page)
    return _pack(call.resource, page, metadata, form)


def _place(entry: Entry) -> tuple[str, str]:
    metadata = entry.object["metadata"]
    return metadata.get("namespace", ""), metadata["name"]


def _continued(call: Call) -> tuple[int, tuple[str, str] | None]:
    token = call.query.get("continue", "")
    if not token:
        return 0, None
    try:
        version, namespace, name = msgspec.json.decode(base64.urlsafe_b64decode(token), type=tuple[int, str, str])
    except (binascii.Error, msgspec.MsgspecError, ValueError) as error:
        raise errors.bad_request(f"invalid continue token: continue key is not valid: {error}") from error
    return version, (namespace, name)


def _pack(resource: Resource, entries: list[Entry], metadata: Object, form: Form) -> bytes:
    if form.kind.startswith("Table"):
        return encode(table.of(resource, entries, form.include, metadata))
    if form.kind.startswith("PartialObjectMetadata"):
        items = [partial(e.object) for e in entries]
        return encode({"kind": "PartialObjectMetadataList", "apiVersion": "meta.k8s.io/v1", "metadata": metadata, "items": items})
    head = encode({"kind": resource.list, "apiVersion": resource.api_version, "metadata": metadata})
    return head[:-1] + b',"items":[' + b",".join(item(resource, e) for e in entries) + b"]}"


# --- watches ------------------------------------------------------------------------------------------------------
def seconds(call: Call) -> float:
    given = call.query.get("timeoutSeconds", "")
    return float(given) if given.isdigit() and int(given) else random.uniform(1800, 3600)


class Watch:
    """`async for` gives lines, each an event, until the time is over. Made before anything is answered, so that what is wrong is told."""

    def __init__(self, call: Call, store: Store, form: Form, closing: asyncio.Event) -> None:
        self._call, self._store, self._form = call, store, form
        self._selection = Selection(call)
        self._since = version_asked(call, store)
        self._initial = call.flag("sendInitialEvents")
        if self._initial and call.query.get("resourceVersionMatch") != "NotOlderThan":
            told = "Forbidden: sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"
            cause = errors.Cause(errors.FORBIDDEN, told, "resourceVersionMatch")
            raise errors.invalid("meta.k8s.io", "ListOptions", "", [cause])
        self._bookmarks = call.flag("allowWatchBookmarks")
        self._queue: asyncio.Queue[Change | None] = asyncio.Queue()
        self._told_table = False
        self._closing = closing

    async def lines(self) -> AsyncGenerator[bytes, None]:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds(self._call)
        end = self._store.listen(self._call.resource.stored, self._listen)
        try:
            for line in self._beginning():
                yield line
                if line.startswith(b'{"type":"ERROR"'):
                    return
            async for line in self._following(deadline):
                yield line
        finally:
            end()

    def _listen(self, change: Change) -> None:
        if self._queue.qsize() > FULL:
            self._queue.put_nowait(None)
        else:
            self._queue.put_nowait(change)

    def _beginning(self) -> Iterable[bytes]:
        store, since = self._store, self._since
        if since and since < store.oldest and not self._initial:
            told = errors.StatusError(410, "Expired", f"too old resource version: {since} ({store.oldest})")
            return [self._line("ERROR", encode(told.body))]
        if since > store.version:
            told = errors.StatusError(
                504,
                "Timeout",
                f"Too large resource version: {since}, current: {store.version}",
                {"causes": [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}], "retryAfterSeconds": 1},
            )
            return [self._line("ERROR", encode(told.body))]
        if not since or self._initial:
            found = [e for e in store.all(self._call.resource.stored, self._call.namespace) if self._selection.has(e)]
            lines = [self._event("ADDED", e) for e in found]
            mark = {"k8s.io/initial-events-end": "true"} if self._initial else {}
            return [*lines, *([self._bookmark(mark)] if self._initial and self._bookmarks else [])]
        return [line for change in store.since(self._call.resource.stored, since) if (line := self._change(change))]

    async def _following(self, deadline: float) -> AsyncGenerator[bytes]:
        loop = asyncio.get_running_loop()
        marks = self._marks(deadline)
        while not self._closing.is_set():
            until = min(next(marks), deadline) if self._queue.empty() else deadline
            try:
                change = await asyncio.wait_for(self._queue.get(), max(0.0, until - loop.time()))
            except TimeoutError:
                if loop.time() >= deadline:
                    return
                if self._bookmarks:
                    yield self._bookmark({})
                continue
            if change is None:
                return  # too slow: it comes again, and is told what it missed or to list again
            lines = [self._change(change)]
            while not self._queue.empty() and (more := self._queue.get_nowait()):
                lines.append(self._change(more))
            told = b"".join(line for line in lines if line)
            if told:
                yield told

    @staticmethod
    def _marks(deadline: float) -> Iterator[float]:
        """When bookmarks are due: now and then, and a little before the end."""
        loop = asyncio.get_running_loop()
        while True:
            left = deadline - BEFORE_END - loop.time()
            yield loop.time() + min(BOOKMARKS, left) if left > 0 else deadline

    def _change(self, change: Change) -> bytes | None:
        before, after = self._selection.has(change.old), self._selection.has(change.new)
        if change.new is not None and after:
            return self._event("MODIFIED" if before else "ADDED", change.new)
        if not before or change.old is None:
            return None
        if change.gone is not None:
            return self._event("DELETED", change.gone)
        left = {**change.old.object, "metadata": {**change.old.object["metadata"], "resourceVersion": str(change.version)}}
        return self._event("DELETED", Entry(left, encode(left), change.version))

    def _event(self, kind: str, entry: Entry) -> bytes:
        if self._form.kind.startswith("Table"):
            found = table.of(self._call.resource, [entry], self._form.include, columns=not self._told_table)
            self._told_table = True
            return self._line(kind, encode(found))
        return self._line(kind, self._form.one(self._call.resource, entry))

    def _bookmark(self, annotations: Object) -> bytes:
        resource = self._call.resource
        metadata: Object = {"resourceVersion": str(self._store.version), **({} if resource.custom else {"creationTimestamp": None})}
        if annotations:
            metadata["annotations"] = annotations
        if self._form.kind.startswith("Table"):
            row = {"cells": [None] * len(resource.columns), "object": partial({"metadata": metadata})}
            return self._line(
                "BOOKMARK",
                encode({"kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": {}, "columnDefinitions": None, "rows": [row]}),
            )
        return self._line("BOOKMARK", encode({"kind": resource.kind, "apiVersion": resource.api_version, "metadata": metadata}))

    @staticmethod
    def _line(kind: str, obj: bytes) -> bytes:
        return b'{"type":"' + kind.encode() + b'","object":' + obj + b"}\n"


__all__ = ["Callable", "Form", "Watch", "decode", "listing"]
