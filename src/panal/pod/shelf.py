"""Where checkpoints are kept: in a folder of a volume, or in a bucket. Both have the same files, `<round>/...`; a round has six digits."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Protocol

from panal.pod.bucket import Bucket
from panal.pod.service import GoneError
from panal.pod.storing import sync_folder
from panal.pod.tools.checkpoint import CONTENT

PIECE = 4 << 20  # bytes
FOLDER = "checkpoints"


class DamagedError(Exception):
    """A stored checkpoint is not what was written."""


class Shelf(Protocol):
    """Holds a checkpoint completely or not at all. Methods raise OSError, DamagedError or StorageError."""

    def rounds(self) -> list[int]:
        """Of the checkpoints, newest first."""
        ...

    def part(self, round_: int) -> Path:
        """A folder to put the files of a new checkpoint into, which does not exist yet."""
        ...

    def put(self, round_: int, part: Path) -> None:
        """Keeps the files of that folder as the checkpoint of this round, which it has no checkpoint of."""
        ...

    def get(self, round_: int, name: str, target: Path) -> dict[str, Any]:
        """Copies a file. Returns its size and SHA-256."""
        ...

    def drop(self, round_: int) -> None: ...

    def clear(self) -> None:
        """Drops all checkpoints."""
        ...


@dataclass(frozen=True, slots=True)
class FolderShelf:
    """A checkpoint appears by a rename when all of its files are synced."""

    folder: Path

    def rounds(self) -> list[int]:
        return sorted((int(f.name) for f in self.folder.glob("[0-9]*") if f.name.isdecimal() and f.is_dir()), reverse=True)

    def part(self, round_: int) -> Path:
        return self.folder / f".{round_}.part"

    def put(self, round_: int, part: Path) -> None:
        sync_folder(part)
        part.rename(self._of(round_))
        sync_folder(self.folder)

    def get(self, round_: int, name: str, target: Path) -> dict[str, Any]:
        return copy_file(self._of(round_) / name, target)

    def drop(self, round_: int) -> None:
        shutil.rmtree(self._of(round_))

    def clear(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)

    def _of(self, round_: int) -> Path:
        return self.folder / f"{round_:06d}"


@dataclass(frozen=True, slots=True)
class BucketShelf:
    """A checkpoint exists if its list of files does, which is sent last and removed first. `work`: a folder for what is being sent."""

    bucket: Bucket
    work: Path

    def rounds(self) -> list[int]:
        listed = (name.split("/") for name in self.bucket.names(f"{FOLDER}/"))
        return sorted((int(each[1]) for each in listed if len(each) == 3 and each[1].isdecimal() and each[2] == CONTENT), reverse=True)

    def part(self, round_: int) -> Path:
        return self.work / f".{round_}.part"

    def put(self, round_: int, part: Path) -> None:
        for file in sorted(part.iterdir(), key=lambda file: file.name == CONTENT):
            self.bucket.put(self._of(round_, file.name), file)

    def get(self, round_: int, name: str, target: Path) -> dict[str, Any]:
        try:
            found = self.bucket.get(self._of(round_, name), target)
        except GoneError as error:
            raise DamagedError(f"{name} is missing") from error
        return {"size": found.size, "sha256": found.sha256}

    def drop(self, round_: int) -> None:
        self._delete(self._of(round_, ""))

    def clear(self) -> None:
        self._delete(f"{FOLDER}/")

    def _delete(self, folder: str) -> None:
        for name in sorted(self.bucket.names(folder), key=lambda name: not name.endswith(f"/{CONTENT}")):
            self.bucket.delete(name)

    def _of(self, round_: int, name: str) -> str:
        return f"{FOLDER}/{round_:06d}/{name}"


def copy_file(source: Path, target: Path) -> dict[str, Any]:
    """Copies a regular file and syncs the copy. Returns its size and SHA-256."""
    digest = hashlib.sha256()
    with _opened(source) as file, target.open("wb") as copy:
        while piece := file.read(PIECE):
            digest.update(piece)
            copy.write(piece)
        copy.flush()
        os.fsync(copy.fileno())
        return {"size": copy.tell(), "sha256": digest.hexdigest()}


def summed(file: Path) -> dict[str, Any]:
    """Syncs a file of ours. Returns its size and SHA-256."""
    with file.open("rb") as opened:
        os.fsync(opened.fileno())
        return {"size": file.stat().st_size, "sha256": hashlib.file_digest(opened, "sha256").hexdigest()}


def _opened(path: Path) -> IO[bytes]:
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise DamagedError(f"{path.name} is no regular file")
    return os.fdopen(handle, "rb")
