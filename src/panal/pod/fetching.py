"""The first step of each Job that works on the stored model: `python3 -m panal.pod.fetching`, in the container `model`.

It brings the model, its metadata, the history and the exported files to a folder that the next container mounts read-only. The model's
digest must be that of the status; the digest of export.json as well, which has those of the exported files.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pydantic import ValidationError

from panal.api.export import LIST, Listing
from panal.api.history import FILE as HISTORY
from panal.api.names import EXPORT_FOLDER
from panal.pod.run_folder import ResultError, Store, digest_of, program
from panal.pod.storing import METADATA


def copy(store: Store, target: Path, model: str, digest: str) -> None:
    """Raises ResultError if the model is not the one of the status, OSError, StorageError."""
    for name in (model, METADATA, HISTORY):
        there = store.get(name, target / name)
        if name == model and not there:
            raise ResultError(f"the storage has no {model} of this run")
    _check(target / model, model, digest, "status.model")


def copy_export(store: Store, target: Path, digest: str) -> None:
    """Raises ResultError if a file is not the one that was exported, OSError, StorageError."""
    folder = target / EXPORT_FOLDER
    _get(store, LIST, folder, digest, "status.export")
    try:
        listing = Listing.model_validate_json((folder / LIST).read_bytes())
    except ValidationError as error:
        raise ResultError(f"{EXPORT_FOLDER}/{LIST} in the storage is of another version of panal") from error
    for each in listing.files:
        _get(store, each.name, folder, each.digest, LIST)


def _get(store: Store, name: str, folder: Path, digest: str, where: str) -> None:
    path, target = f"{EXPORT_FOLDER}/{name}", folder / name
    target.parent.mkdir(parents=True, exist_ok=True)
    if not store.get(path, target):
        raise ResultError(f"the storage has no {path} of this run")
    _check(target, path, digest, where)


def _check(file: Path, name: str, digest: str, where: str) -> None:
    if (found := digest_of(file)) != digest:
        raise ResultError(f"{name} in the storage has {found}, and {where} has {digest}: somebody has changed it")


def step(store: Store, env: Mapping[str, str], _scratch: Path) -> str:
    target = Path(env["PANAL_MODEL_DIR"])
    copy(store, target, env["PANAL_MODEL_FILE"], env["PANAL_MODEL_DIGEST"])
    if digest := env.get("PANAL_EXPORT_DIGEST"):
        copy_export(store, target, digest)
    return ""


if __name__ == "__main__":
    program(step)
