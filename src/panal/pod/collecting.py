"""Copies the files that the server app wrote to its working directory next to the model, and lists them in metadata.json.

The runtime supplies the list. It comes from the user's image and is not trusted: paths stay below the working directory, links are not
followed, and only regular files are copied. Number and size are limited. metadata.json names the files that are left out, with the reason.
The operation is idempotent: a restarted reporter repeats it.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import os
import shutil
import stat
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from panal.api.text import shown
from panal.api.types import FilesStatus
from panal.pod.storage_errors import StorageError
from panal.pod.storing import Place
from panal.pod.tools.files import APP_FILES, COLLECTED, replace

log = logging.getLogger("panal.reporter")

FILES, SIZE = 200, 512 << 20
NAMED = 100  # files left out that are listed by name
LONGEST = 1000  # characters of a path
LIST_SIZE = 8 << 20  # bytes of the runtime's list
PIECE = 1 << 20
MAX_COUNT = 1_000_000  # upper bound of a reported number of files


class LeftOutError(Exception):
    """A file is not collected. The message is the reason."""


@dataclass(slots=True)
class Collected:
    files: dict[str, tuple[int, str]] = field(default_factory=dict)  # path -> size and SHA-256
    left_out: dict[str, str] = field(default_factory=dict)
    more: int = 0  # further files left out

    @property
    def size(self) -> int:
        return sum(size for size, _ in self.files.values())

    def leave_out(self, path: str, reason: str) -> None:
        if len(self.left_out) < NAMED:
            self.left_out[path] = reason
        else:
            self.more += 1


@dataclass(slots=True)
class Collector:
    """Collects the files of `work_dir` once the runtime has written their list to `run_dir`. `run` identifies the run in metadata.json if
    no model created it."""

    run_dir: Path
    work_dir: Path
    place: Place
    run: Mapping[str, str]
    touch: Callable[[], None]
    publish: Callable[[], None] = lambda: None  # what was written beside the model
    longest: int | None = None  # bytes of a path in UTF-8 that the storage can keep; None: any
    known: bool = False

    def requested(self) -> bool:
        """Whether the runtime has written the list: the app has ended and left files."""
        return (self.run_dir / APP_FILES).exists()

    async def collect_once(self) -> FilesStatus | None:
        """Collects the files if requested and returns the run's status of files, once."""
        if self.known or not self.requested():
            return None
        self.known = True
        answer = _previous_answer(self.run_dir / COLLECTED)
        if answer is None:
            answer = await asyncio.to_thread(self._answer)
            replace(self.run_dir / COLLECTED, json.dumps(answer))
        return FilesStatus(**answer["status"]) if "status" in answer else None

    def _answer(self) -> dict[str, Any]:
        try:
            found = collect(_read_list(self.run_dir / APP_FILES), self.work_dir / "app", self.place.folder, self.touch, self.longest)
            record(self.place, self.run, found)
            self.publish()
        except (OSError, ValueError, StorageError) as error:
            log.error("the app's files were not collected: %s", error)
            return {"error": shown(str(error), LONGEST)}
        log.info("collected %d files, %d bytes; left out: %d", len(found.files), found.size, len(found.left_out) + found.more)
        left_out = {shown(path, LONGEST): reason for path, reason in found.left_out.items()}
        status = FilesStatus(uri=uri(self.place), count=len(found.files), size=found.size, left_out=len(left_out) + found.more)
        return {"status": status.model_dump(), "left_out": left_out}


def _previous_answer(path: Path) -> dict[str, Any] | None:
    """The result of a previous start of the reporter, if it finished."""
    try:
        found: dict[str, Any] = json.loads(path.read_text())
    except FileNotFoundError:
        return None
    return found


def uri(place: Place) -> str:
    return f"{place.uri}/files/"


def _read_list(path: Path) -> Mapping[str, Any]:
    with path.open("rb") as file:
        text = file.read(LIST_SIZE + 1)
    found = json.loads(text) if len(text) <= LIST_SIZE else None
    if not isinstance(found, dict) or not isinstance(found.get("files"), list) or not isinstance(found.get("left_out"), dict):
        raise ValueError("the list of the app's files is malformed")
    return found


def collect(wanted: Mapping[str, Any], source: Path, target: Path, touch: Callable[[], None], longest: int | None = None) -> Collected:
    """Copies the files of the runtime's list `wanted` from `source` to `target`/files, whose previous content is deleted.

    Raises OSError if `source` cannot be opened.
    """
    more = wanted.get("more")
    found = Collected(more=min(max(more, 0), MAX_COUNT) if isinstance(more, int) else 0)
    shutil.rmtree(target / "files", ignore_errors=True)
    target.mkdir(parents=True, exist_ok=True)
    root = os.open(source, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        for path, size in _pairs(wanted["files"]):
            touch()
            try:
                if longest is not None and len(path.encode()) > longest:
                    raise LeftOutError("its path is too long for the bucket")
                found.files[path] = _take(root, path, size, target, found)
            except (LeftOutError, OSError, ValueError) as error:
                found.leave_out(path, getattr(error, "strerror", None) or str(error))
    finally:
        os.close(root)
        (target / ".files.part").unlink(missing_ok=True)
    for path, reason in wanted["left_out"].items():
        found.leave_out(path, str(reason)[:LONGEST])
    return found


def _pairs(files: list[Any]) -> Iterator[tuple[str, int]]:
    for each in files:
        match each:
            case [str(path), int(size)]:
                yield path, size


def _take(root: int, path: str, size: int, target: Path, found: Collected) -> tuple[int, str]:
    if len(found.files) >= FILES:
        raise LeftOutError(f"{FILES} files is the limit of collected files")
    if size > SIZE - found.size:
        raise LeftOutError(f"{SIZE >> 20} MiB is the limit of collected files")
    with os.fdopen(_opened(root, path), "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise LeftOutError("it is not a regular file")
        return _written(file, target / ".files.part", target / "files" / path, SIZE - found.size)


def _opened(root: int, path: str) -> int:
    """Opens `path` component by component without following links. O_NONBLOCK: opening a FIFO must not wait for a writer."""
    parts = path.split("/")
    if any(part in ("", ".", "..") for part in parts) or len(path) > LONGEST:
        raise LeftOutError("it has no path of a file in the working directory")
    here = os.dup(root)
    for part in parts[:-1]:
        try:
            inner = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=here)
        finally:
            os.close(here)
        here = inner
    try:
        return os.open(parts[-1], os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=here)
    finally:
        os.close(here)


def _written(file: Any, part: Path, target: Path, most: int) -> tuple[int, str]:
    """Copies `file` completely or not at all. A process of the app may still be writing to it."""
    digest, size = hashlib.sha256(), 0
    with part.open("wb") as copy:
        while piece := file.read(PIECE):
            size += len(piece)
            if size > most:
                raise LeftOutError(f"{SIZE >> 20} MiB is the limit of collected files")
            digest.update(piece)
            copy.write(piece)
        copy.flush()
        os.fsync(copy.fileno())
    target.parent.mkdir(parents=True, exist_ok=True)
    part.replace(target)
    return size, digest.hexdigest()


def record(place: Place, run: Mapping[str, str], found: Collected) -> None:
    """Adds `files` to metadata.json; creates it if the run has no model."""
    path = place.folder / "metadata.json"
    try:
        content = json.loads(path.read_text())
    except FileNotFoundError:
        content = {"run": dict(run)}
    listed = [{"path": shown(name, LONGEST), "size": size, "sha256": digest} for name, (size, digest) in found.files.items()]
    left_out = [{"path": shown(name, LONGEST), "why": shown(reason, LONGEST)} for name, reason in found.left_out.items()]
    content["files"] = {
        "uri": uri(place),
        "count": len(listed),
        "size": found.size,
        "list": listed,
        "leftOut": left_out,
        "more": found.more,
    }
    replace(path, json.dumps(content, indent=1))
