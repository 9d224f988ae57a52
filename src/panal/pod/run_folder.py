"""The run's folder in its storage, a volume or a bucket, for the Jobs that work on the stored model after the run."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, Protocol

from panal.api.text import shown
from panal.pod.bucket import Bucket
from panal.pod.service import GoneError, Service, connected
from panal.pod.storage_errors import Address, StorageError
from panal.pod.storing import Place, sync_folder

PATIENCE = 300.0  # seconds that a bucket may be away


class ResultError(Exception):
    """What is in the storage, or what the user's container has left, cannot be used."""


class Store(Protocol):
    """Methods raise OSError, StorageError."""

    def get(self, name: str, target: Path) -> bool:
        """Whether there is such a file."""
        ...

    def put(self, name: str, file: Path) -> None: ...


@dataclass(frozen=True, slots=True)
class InFolder:
    folder: Path

    def get(self, name: str, target: Path) -> bool:
        try:
            shutil.copyfile(self.folder / name, target)
        except FileNotFoundError:
            return False
        return True

    def put(self, name: str, file: Path) -> None:
        """The file appears when all of it is there."""
        target = self.folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        part = target.with_name(f".{target.name}.part")
        try:
            shutil.copyfile(file, part)
            with part.open("rb") as opened:
                os.fsync(opened.fileno())
            part.replace(target)
        finally:
            part.unlink(missing_ok=True)
        sync_folder(target.parent)


@dataclass(frozen=True, slots=True)
class InBucket:
    bucket: Bucket

    def get(self, name: str, target: Path) -> bool:
        try:
            self.bucket.get(name, target)
        except GoneError:
            target.unlink(missing_ok=True)
            return False
        return True

    def put(self, name: str, file: Path) -> None:
        self.bucket.put(name, file)


def opened(env: Mapping[str, str], scratch: Path) -> Store:
    place, address = Place.read(env), Address.read(env)
    if address is None:
        return InFolder(place.folder)
    service = Service(address, lambda: connected(address, env), patience=PATIENCE)
    return InBucket(Bucket(service, place.key(address.bucket), scratch / "parts"))


def digest_of(file: Path) -> str:
    """As `sha256:<hex>`."""
    with file.open("rb") as opened_file:
        return f"sha256:{hashlib.file_digest(opened_file, 'sha256').hexdigest()}"


def regular(source: Path) -> IO[bytes]:
    """Opens a file that a user's container has left: follows no link, and waits for no pipe. Raises ResultError."""
    try:
        handle = os.open(source, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        raise ResultError(f"{shown(source.name, 100)}: {error.strerror}") from error
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise ResultError(f"{shown(source.name, 100)} is no regular file")
    return os.fdopen(handle, "rb")


def program(step: Callable[[Store, Mapping[str, str], Path], str]) -> None:
    """The main program of a container: runs `step` with the run's folder, the environment and a folder for temporary files. What it returns
    is the termination message; nothing is written if it is empty."""
    env = os.environ
    try:
        with TemporaryDirectory() as scratch:
            if message := step(opened(env, Path(scratch)), env, Path(scratch)):
                Path(env.get("PANAL_TERMINATION_LOG", "/dev/termination-log")).write_text(message)
    except (ResultError, OSError, StorageError, ValueError) as error:
        sys.exit(shown(str(error), 1000))
