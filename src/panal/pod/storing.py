"""Stores the model in the run's storage: model.safetensors and metadata.json, atomically and idempotently.

Both are written to temporary files and renamed, the model last, so an existing model is complete. An app that trains in several stages
leaves several models: the last one is at the top, each earlier one in `start-N`. A model of XGBoost or CatBoost is also stored as a file
that the library loads. A model with types that safetensors lacks is stored as npz.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path, PurePosixPath
from typing import Any

from panal.api.export import FUNCTION
from panal.api.history import FILE as HISTORY
from panal.api.names import STORAGE_DIR
from panal.api.text import by_name, shown
from panal.api.types import ModelStatus
from panal.pod import boosters
from panal.pod.tensors import UnstorableError, Written, convert, copy
from panal.pod.tools.codes import MAX_TEXT
from panal.pod.tools.files import replace
from panal.pod.tools.records import Round

MAX_NAME = 253  # of a key in metadata.json; cluster names are that long
MODEL, METADATA, PLAIN = "model.safetensors", "metadata.json", "model.npz"
MAX_STARTS = 64  # earlier models that are kept


@dataclass(frozen=True, slots=True)
class Place:
    """Where a run's model is stored: `folder` in this container, `uri` for users (`pvc://claim/...`)."""

    folder: Path
    uri: str

    @classmethod
    def of(cls, mount: Path, uri: str, path: str, run: tuple[str, str, str]) -> Place:
        """`path` is spec.server.storage.path, `run` the run's namespace, name and uid. Raises ValueError if `path` leaves the volume."""
        inner = PurePosixPath(path.strip("/"), *run)
        if ".." in inner.parts:
            raise ValueError(f"spec.server.storage.path {path!r} leads out of the volume")
        return cls(mount / inner, f"{uri.rstrip('/')}/{inner}")

    @classmethod
    def read(cls, env: Mapping[str, str]) -> Place:
        """From the variables of the reporter, which the Pods that read its storage have as well."""
        run = (env["PANAL_NAMESPACE"], env["PANAL_RUN"], env["PANAL_RUN_UID"])
        return cls.of(Path(env.get("PANAL_STORAGE_DIR", STORAGE_DIR)), env["PANAL_STORAGE_URI"], env.get("PANAL_STORAGE_PATH", ""), run)

    def key(self, bucket: str) -> str:
        """What the keys of the run's objects begin with."""
        return self.uri.removeprefix(f"s3://{bucket}/")


def store(source: Path, model: Mapping[str, Any], place: Place, about: Mapping[str, Any], tick: Callable[[], None]) -> ModelStatus:
    """Stores the npz `source`. `model` is the content of model.json; `about` is added to metadata.json.

    Raises OSError; then no partial model remains.
    """
    place.folder.mkdir(parents=True, exist_ok=True)
    _archive(place.folder, int(model["start"]))
    part = place.folder / f".{MODEL}.part"
    try:
        name, written = _written(source, model, part, tick)
        uri, export = f"{place.uri}/{name}", _function(model.get("export"))
        status = ModelStatus(uri=uri, digest=written.digest, size=written.size, round=int(model["round"]), export=export)
        natives = boosters.extract(source, model["arrays"], place.folder)
        printable = _shown({**about, "versions": _versions(model), "arrays": _arrays(model, name), "modelFiles": natives})
        replace(
            place.folder / METADATA, json.dumps({"model": status.model_dump(exclude_defaults=True), **printable}, indent=1), durable=True
        )
        part.replace(place.folder / name)
    finally:
        part.unlink(missing_ok=True)
    sync_folder(place.folder)
    return status


def _written(source: Path, model: Mapping[str, Any], part: Path, tick: Callable[[], None]) -> tuple[str, Written]:
    """Writes `part` as safetensors, or as npz if safetensors lacks a type. Returns the name for the file."""
    try:
        return MODEL, convert(source, model["arrays"], part, {"producer": "panal", "round": str(model["round"])}, tick)
    except UnstorableError:
        return PLAIN, copy(source, part, tick)


def _function(named: Any) -> str | None:
    """The app's function that exports the model; None if what the image says is none."""
    return named if isinstance(named, str) and len(named) <= MAX_NAME and FUNCTION.fullmatch(named) else None


def _arrays(model: Mapping[str, Any], name: str) -> list[str]:
    """The arrays' names in the order of the npz, where the file does not contain them."""
    return list(model["arrays"]) if name == PLAIN else []


def _archive(folder: Path, start: int) -> None:
    """Moves the files of an earlier call of `start` to `start-N`: all but the history, which goes on. metadata.json is moved last, because
    it names the call."""
    try:
        before = int(json.loads((folder / METADATA).read_text()).get("start", start))
    except (FileNotFoundError, ValueError, TypeError, AttributeError):
        return
    if before == start:
        return
    aside = folder / f"start-{before}"
    aside.mkdir(exist_ok=True)
    here = (f for f in folder.iterdir() if f.is_file() and not f.name.startswith(".") and f.name != HISTORY)
    files = sorted(here, key=lambda f: f.name == METADATA)
    for file in files:
        file.replace(aside / file.name)
    shutil.rmtree(folder / f"start-{before - MAX_STARTS}", ignore_errors=True)


def participated(rounds: dict[str, list[int]], training: Round) -> None:
    """Adds the round to the list of each cluster that contributed to it. A repeated round counts once."""
    for cluster in sorted(training.collaborators or {}):
        known = rounds.setdefault(cluster, [])
        if training.round not in known[-1:]:
            known.append(training.round)


def _shown(value: Any) -> Any:
    """`value` with all texts printable. The array names in the model itself are not changed."""
    if isinstance(value, str):
        return shown(value, MAX_TEXT)
    if isinstance(value, Mapping):
        return {name: _shown(each) for name, each in by_name({str(key): each for key, each in value.items()}, MAX_NAME).items()}
    return [_shown(each) for each in value] if isinstance(value, list | tuple) else value


def _versions(model: Mapping[str, Any]) -> dict[str, str]:
    return {**model.get("versions", {}), "panal": version("panal")}


def sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
