"""The steps of a validation that touch the storage: `python3 -m panal.pod.validating copy|store`, in the Job `<run>-validation`.

`copy` brings the model, its metadata and the history to a folder that the notebook's container mounts read-only. `store` puts what that
container has left beside the model, and writes the result as the termination message. What it left is not trusted: only regular files of a
limited size are read, and the result is bounded.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import stat
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Protocol

from panal.api import executed
from panal.api.history import FILE as HISTORY
from panal.api.text import shown
from panal.api.validation import EXECUTED, FOLDER, METRICS, MOST, REPORT, Result
from panal.pod.bucket import Bucket
from panal.pod.service import GoneError, Service, connected
from panal.pod.storage_errors import Address, StorageError
from panal.pod.storing import METADATA, Place, sync_folder

LARGEST = 64 << 20  # bytes of an executed notebook, and of a report
PATIENCE = 300.0  # seconds that a bucket may be away


class ResultError(Exception):
    """What the notebook's container has left cannot be stored."""


class Store(Protocol):
    """The run's folder in the storage. Methods raise OSError, StorageError."""

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
        target.parent.mkdir(exist_ok=True)
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


def copy(store: Store, target: Path, model: str, digest: str) -> None:
    """Raises ResultError if the model is not the one of the status, OSError, StorageError."""
    for name in (model, METADATA, HISTORY):
        there = store.get(name, target / name)
        if name == model and not there:
            raise ResultError(f"the storage has no {model} of this run")
    with (target / model).open("rb") as file:
        found = f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"
    if found != digest:
        raise ResultError(f"{model} in the storage has {found}, and status.model has {digest}: somebody has changed it")


def collect(store: Store, results: Path, scratch: Path) -> Result:
    """Stores the files. Raises ResultError, OSError, StorageError."""
    for name in (EXECUTED, REPORT):
        _copy_regular(results / name, scratch / name)
    try:
        notebook = executed.read((scratch / EXECUTED).read_bytes())
    except executed.NotebookError as error:
        raise ResultError(f"the executed notebook cannot be read: {error}") from error
    metrics, failure = executed.metrics(notebook), executed.failure(notebook)
    (scratch / METRICS).write_text(json.dumps(metrics, indent=1) + "\n")
    for name in (EXECUTED, REPORT, METRICS):
        store.put(f"{FOLDER}/{name}", scratch / name)
    return Result(metrics=dict(list(metrics.items())[:MOST]), failure=str(failure or ""))


def _copy_regular(source: Path, target: Path) -> None:
    """Follows no link, and waits for no pipe."""
    try:
        handle = os.open(source, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        raise ResultError(f"{source.name}: {error.strerror}") from error
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise ResultError(f"{source.name} is no regular file")
    with os.fdopen(handle, "rb") as file:
        content = file.read(LARGEST + 1)
    if len(content) > LARGEST:
        raise ResultError(f"{source.name} is larger than {LARGEST >> 20} MiB")
    target.write_bytes(content)


def main() -> None:
    env, step = os.environ, sys.argv[1]
    try:
        with TemporaryDirectory() as scratch:
            store = opened(env, Path(scratch))
            if step == "copy":
                copy(store, Path(env["PANAL_MODEL_DIR"]), env["PANAL_MODEL_FILE"], env["PANAL_MODEL_DIGEST"])
            else:
                result = collect(store, Path(env["PANAL_RESULTS_DIR"]), Path(scratch))
                Path(env.get("PANAL_TERMINATION_LOG", "/dev/termination-log")).write_text(result.message())
    except (ResultError, OSError, StorageError, ValueError) as error:
        sys.exit(shown(str(error), 1000))


if __name__ == "__main__":
    main()
