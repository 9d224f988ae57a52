"""The storage of a run as the reporter uses it: a folder of a volume, or a folder that is mirrored into a bucket.

The model, its metadata and the app's files are first written to a folder, the same for every storage. A bucket gets them from there: a file
that has changed is sent, one that is gone is deleted, metadata.json comes after the other files, and the model after metadata.json.
"""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Any, Protocol

from panal.pod.bucket import Bucket
from panal.pod.service import Service, connected
from panal.pod.shelf import FOLDER, BucketShelf, FolderShelf, Shelf
from panal.pod.storage_errors import Address, StorageError
from panal.pod.storing import METADATA, MODEL, PLAIN, Place
from panal.pod.tools.files import replace

BEGINNING = 540.0  # seconds until the checkpoint is found; the runtime waits for 600
LAST = (METADATA, PLAIN, MODEL)  # in this order, after all others
MAX_KEY = 1024  # bytes
MIRRORED = ".mirrored.json"  # in the folder: what the bucket has

Marks = dict[str, list[int]]  # by path below the folder: size and time of change


class Storage(Protocol):
    """Methods block, and raise StorageError."""

    shelf: Shelf
    longest: int | None  # bytes of the path of a file in `files/`; None: any

    def check(self) -> None:
        """Whether a model can be stored."""
        ...

    def beginning(self) -> AbstractContextManager[None]:
        """For the time until the runtime begins."""
        ...

    def publish(self) -> None:
        """Stores what has changed in the folder."""
        ...

    def end(self) -> None:
        """The reporter ends: what would have to be tried again fails."""
        ...


@dataclass(slots=True)
class Volume:
    """`folder` is on the volume, so that what is written there is stored."""

    folder: Path
    shelf: Shelf
    longest: int | None = None

    @classmethod
    def at(cls, folder: Path) -> Volume:
        return cls(folder, FolderShelf(folder / FOLDER))

    def check(self) -> None:
        there = next(each for each in (self.folder, *self.folder.parents) if os.access(each, os.F_OK))
        if not os.access(there, os.W_OK | os.X_OK):
            who = f"user {os.geteuid()} and group {os.getegid()}"
            raise StorageError(
                f"spec.server.storage: the reporter ({who}) may not write to the volume; let it, for example with chown or chmod"
            )

    def beginning(self) -> AbstractContextManager[None]:
        return nullcontext()

    def publish(self) -> None:
        return

    def end(self) -> None:
        return


@dataclass(slots=True)
class InBucket:
    folder: Path
    bucket: Bucket
    shelf: Shelf
    longest: int | None
    _publishing: Lock = field(default_factory=Lock)  # several parts of the reporter publish

    @classmethod
    def at(
        cls, address: Address, env: Mapping[str, str], place: Place, work: Path, touch: Callable[[], None], report: Callable[[str], None]
    ) -> InBucket:
        """`env` has the credentials of a Secret. `work`: a folder that outlives the container."""
        key = place.key(address.bucket)
        bucket = Bucket(Service(address, lambda: connected(address, env), touch, report), key, work)
        return cls(place.folder, bucket, BucketShelf(bucket, work), MAX_KEY - len(f"{key}/files/".encode()))

    def check(self) -> None:
        self.bucket.check()

    @contextmanager
    def beginning(self) -> Iterator[None]:
        """What may pass is tried again for BEGINNING seconds in all."""
        self.bucket.service.until = time.monotonic() + BEGINNING
        try:
            yield
        finally:
            self.bucket.service.until = math.inf

    def publish(self) -> None:
        with self._publishing:
            self._publish()

    def _publish(self) -> None:
        wanted, there = marks(self.folder), self._mirrored()
        for path in sorted(there.keys() - wanted.keys()):
            self.bucket.delete(path)
            self._record(there := {name: mark for name, mark in there.items() if name != path})
        for path in to_send(wanted, there):
            self.bucket.put(path, self.folder / path)
            self._record(there := {**there, path: wanted[path]})

    def end(self) -> None:
        self.bucket.service.stop.set()

    def _mirrored(self) -> Marks:
        try:
            found: Any = json.loads((self.folder / MIRRORED).read_text())
        except (FileNotFoundError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    def _record(self, there: Marks) -> None:
        replace(self.folder / MIRRORED, json.dumps(there))


def marks(folder: Path) -> Marks:
    """Of the files of the folder; a name that begins with a dot is nobody's but ours."""
    found = (path for path in folder.rglob("*") if path.is_file())
    inner = {str(path.relative_to(folder)): path.stat() for path in found if not path.relative_to(folder).parts[0].startswith(".")}
    return {path: [stat.st_size, stat.st_mtime_ns] for path, stat in inner.items()}


def to_send(wanted: Marks, there: Marks) -> list[str]:
    """The files that the bucket does not have like this, in the order in which it gets them."""
    return sorted((path for path, mark in wanted.items() if there.get(path) != mark), key=lambda p: (LAST.index(p) if p in LAST else -1, p))
