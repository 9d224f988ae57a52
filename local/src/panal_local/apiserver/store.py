"""Stores the objects in SQLite and in memory, and keeps the history of changes for watches. Reads use only the memory.

A write is one transaction, committed before it is acknowledged. With a WAL and synchronous=NORMAL, an acknowledged write survives
kill -9 of the process at any moment. If the machine loses power, the last writes may be lost, but the database stays intact. All objects
share one sequence of versions. The history has the latest changes since the start; a watch from an older version gets 410, and the client
lists again.
"""

from __future__ import annotations

import sqlite3
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

Object = dict[str, Any]
Key = tuple[str, str]  # namespace, name
HISTORY = 20_000
TABLES = """
CREATE TABLE IF NOT EXISTS objects (
    resource TEXT, namespace TEXT, name TEXT, body BLOB, PRIMARY KEY (resource, namespace, name)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value INTEGER) WITHOUT ROWID;
"""
encode = msgspec.json.Encoder().encode
decode = msgspec.json.Decoder().decode


class Busy(Exception):  # noqa: N818
    """Another process uses the database."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A stored object. Entries are shared: do not change the object."""

    object: Object
    body: bytes
    version: int

    @property
    def labels(self) -> dict[str, str]:
        return self.object["metadata"].get("labels") or {}

    def copy(self) -> Object:
        found: Object = decode(self.body)
        return found


@dataclass(frozen=True, slots=True)
class Change:
    """`old` is None for a new object. `new` is None for a deleted object; then `deleted` is its last state, with the deletion's version."""

    version: int
    resource: str
    key: Key
    old: Entry | None
    new: Entry | None
    deleted: Entry | None = None


Listener = Callable[[Change], None]


class Store:
    def __init__(self, path: Path) -> None:
        self._db = sqlite3.connect(path, isolation_level=None, timeout=2)
        try:
            for pragma in ("locking_mode=EXCLUSIVE", "journal_mode=WAL", "synchronous=NORMAL"):
                self._db.execute(f"PRAGMA {pragma}")
            self._db.executescript(TABLES)
        except sqlite3.OperationalError as error:
            raise Busy(f"{path}: {error}; does another API server use this folder?") from error
        self._objects: dict[str, dict[Key, Entry]] = {}
        for resource, namespace, name, body in self._db.execute("SELECT * FROM objects"):
            obj = decode(body)
            entry = Entry(obj, body, int(obj["metadata"]["resourceVersion"]))
            self._objects.setdefault(resource, {})[namespace, name] = entry
        found = self._db.execute("SELECT value FROM facts WHERE name = 'version'").fetchone()
        self.version: int = found[0] if found else 1
        self.oldest = self.version  # changes up to this one are not in the history
        self._history: deque[Change] = deque()
        self._listeners: dict[str, set[Listener]] = {}

    def close(self) -> None:
        self._db.close()

    # --- reading ------------------------------------------------------------------------------------------------
    def get(self, resource: str, key: Key) -> Entry | None:
        return self._objects.get(resource, {}).get(key)

    def all(self, resource: str, namespace: str = "") -> list[Entry]:
        """Ordered by namespace and name."""
        kept = self._objects.get(resource, {})
        return [kept[k] for k in sorted(kept) if not namespace or k[0] == namespace]

    def since(self, resource: str, version: int) -> Iterable[Change]:
        """The changes after `version`, which must not be older than `oldest`."""
        found = []
        for change in reversed(self._history):
            if change.version <= version:
                break
            if change.resource == resource:
                found.append(change)
        return reversed(found)

    def listen(self, resource: str, listener: Listener) -> Callable[[], None]:
        """Calls `listener` after every change, until the returned function is called."""
        listeners = self._listeners.setdefault(resource, set())
        listeners.add(listener)
        return lambda: listeners.discard(listener)

    # --- writing ------------------------------------------------------------------------------------------------
    def put(self, resource: str, key: Key, obj: Object) -> Entry:
        """Stores `obj` and sets its resourceVersion. The caller must not change `obj` afterwards."""
        entry = self._entry(obj)
        self._write("INSERT OR REPLACE INTO objects VALUES (?, ?, ?, ?)", (resource, *key, entry.body), entry.version)
        kept = self._objects.setdefault(resource, {})
        old = kept.get(key)
        kept[key] = entry
        self._notify(Change(entry.version, resource, key, old, entry))
        return entry

    def delete(self, resource: str, key: Key, last: Object | None = None) -> Entry:
        """Deletes an object. Returns its last state, which is `last` if given, with the version of the deletion."""
        old = self._objects[resource][key]
        deleted = self._entry(last or old.copy())
        self._write("DELETE FROM objects WHERE resource = ? AND namespace = ? AND name = ?", (resource, *key), deleted.version)
        del self._objects[resource][key]
        self._notify(Change(deleted.version, resource, key, old, None, deleted))
        return deleted

    def drop(self, resource: str) -> None:
        """Deletes all objects of a resource."""
        for key in list(self._objects.get(resource, {})):
            self.delete(resource, key)

    def revise(self, resource: str, change: Callable[[Object], None]) -> None:
        """Changes all objects of a resource in memory, such as for the defaults of a new schema. Creates no version and no event."""
        for key, entry in self._objects.get(resource, {}).items():
            obj = entry.copy()
            change(obj)
            if obj != entry.object:
                self._objects[resource][key] = Entry(obj, encode(obj), entry.version)

    def _entry(self, obj: Object) -> Entry:
        version = self.version + 1
        obj["metadata"]["resourceVersion"] = str(version)
        return Entry(obj, encode(obj), version)

    def _write(self, statement: str, values: tuple[Any, ...], version: int) -> None:
        self._db.execute("BEGIN")
        try:
            self._db.execute(statement, values)
            self._db.execute("INSERT OR REPLACE INTO facts VALUES ('version', ?)", (version,))
            self._db.execute("COMMIT")
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self.version = version

    def _notify(self, change: Change) -> None:
        self._history.append(change)
        while len(self._history) > HISTORY:
            self.oldest = self._history.popleft().version
        for listener in list(self._listeners.get(change.resource, ())):
            listener(change)
