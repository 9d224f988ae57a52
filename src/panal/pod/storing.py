"""Puts the model into the run's storage: model.safetensors and metadata.json, complete or not at all.

Both are written beside and renamed, the model last: where it is, all of it is. Written again, after a restart, it comes to the same.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path, PurePosixPath
from typing import Any

from panal.api.progress import MAX_TEXT
from panal.api.text import by_name, shown
from panal.api.types import ModelStatus
from panal.pod.fold import of_clusters
from panal.pod.tensors import convert

MAX_NAME = 253  # in metadata.json, where clusters' names stand


@dataclass(frozen=True, slots=True)
class Place:
    """Where a run's model goes: `folder` as mounted here, `uri` as the rest of the world names it (`pvc://claim/...`)."""

    folder: Path
    uri: str

    @classmethod
    def of(cls, mount: Path, uri: str, path: str, run: tuple[str, str, str]) -> Place:
        """`path` is spec.server.storage.path, `run` the run's namespace, name and uid."""
        inner = PurePosixPath(path.strip("/"), *run)
        if ".." in inner.parts:
            raise ValueError(f"spec.server.storage.path {path!r} leads out of the volume")
        return cls(mount / inner, f"{uri.rstrip('/')}/{inner}")


def store(source: Path, model: Mapping[str, Any], place: Place, about: Mapping[str, Any], tick: Callable[[], None]) -> ModelStatus:
    """`model` is model.json, `about` goes into metadata.json beside it. Raises OSError or UnstorableError, leaving nothing behind."""
    place.folder.mkdir(parents=True, exist_ok=True)
    target, part = place.folder / "model.safetensors", place.folder / ".model.safetensors.part"
    try:
        written = convert(source, model["arrays"], part, {"producer": "panal", "round": str(model["round"])}, tick)
        status = ModelStatus(uri=f"{place.uri}/{target.name}", digest=written.digest, size=written.size, round=int(model["round"]))
        told = _shown({**about, "versions": _versions(model)})
        _write(place.folder / "metadata.json", {"model": status.model_dump(), **told})
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)
    _sync(place.folder)
    return status


def participated(rounds: dict[str, list[int]], record: Mapping[str, Any]) -> None:
    """Adds to each cluster of a training record the round to which it contributed; a round that was repeated counts once."""
    for cluster in sorted(of_clusters(record.get("collaborators"))):
        known = rounds.setdefault(cluster, [])
        if int(record["round"]) not in known[-1:]:
            known.append(int(record["round"]))


def _shown(said: Any) -> Any:
    """Texts and names of the app as they can be shown. (The arrays' names, in the model itself, are what the app calls them.)"""
    if isinstance(said, str):
        return shown(said, MAX_TEXT)
    if isinstance(said, Mapping):
        return {name: _shown(value) for name, value in by_name({str(key): value for key, value in said.items()}, MAX_NAME).items()}
    return [_shown(each) for each in said] if isinstance(said, list | tuple) else said


def _versions(model: Mapping[str, Any]) -> dict[str, str]:
    return {**model.get("versions", {}), "panal": version("panal")}


def _write(path: Path, content: Mapping[str, Any]) -> None:
    part = path.with_name(f".{path.name}.part")
    try:
        with part.open("w") as file:
            json.dump(content, file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
