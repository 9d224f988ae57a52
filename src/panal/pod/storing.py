"""Puts the model into the run's storage: model.safetensors and metadata.json, complete or not at all.

Both are written beside and renamed, the model last: where it is, all of it is. Written again, after a restart, it comes to the same.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path, PurePosixPath
from typing import Any

from panal.api.types import ModelStatus
from panal.pod.tensors import convert


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
        _write(place.folder / "metadata.json", {"model": status.model_dump(), **about, "versions": _versions(model)})
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)
    _sync(place.folder)
    return status


def participation(records: Iterable[Mapping[str, Any]]) -> dict[str, list[int]]:
    """Each cluster with the rounds to whose training it contributed."""
    rounds: dict[str, set[int]] = {}
    for record in records:
        if record.get("event") == "round" and record.get("phase") == "train":
            for cluster in record.get("collaborators", {}):
                rounds.setdefault(cluster, set()).add(int(record["round"]))
    return {cluster: sorted(numbers) for cluster, numbers in sorted(rounds.items())}


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
