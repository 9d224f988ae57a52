"""Stores each model that the runtime hands over, then the app's files, and answers the launcher. Part of the reporter.

A model is in `models/N/` of the run's folder. The answer in `stored.json`, for which the main container waits, is written when the
ConfigMap names the model. Both files of a model come from the user's image and are not trusted.
"""

from __future__ import annotations

import asyncio
import json
import logging
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from panal.api.text import shown
from panal.api.types import ModelStatus
from panal.pod.collecting import Collector
from panal.pod.followers import Followers
from panal.pod.historian import Historian
from panal.pod.pausing import pause
from panal.pod.progress_map import ProgressMap
from panal.pod.publishing import Storage
from panal.pod.record_reader import RecordReader
from panal.pod.settings import Settings
from panal.pod.state import State
from panal.pod.storage_errors import StorageError
from panal.pod.storing import METADATA, store
from panal.pod.tensors import UnstorableError
from panal.pod.tools.files import ARRAYS, MODEL, MODELS, STORED, replace

log = logging.getLogger("panal.reporter")

POLL = 0.2  # seconds between two reads of the files
ATTEMPTS = 3  # to store a model, because network file systems fail temporarily
MAX_ANSWER = 1000  # characters
# Raised for a malformed model.json or model.npz.
UNSTORABLE = (
    OSError, StorageError, UnstorableError, zipfile.BadZipFile, KeyError, ValueError, TypeError, AttributeError, IndexError, OverflowError,
    MemoryError, RuntimeError,
)  # fmt: skip


@dataclass(slots=True)
class Models:
    """`touch` shows the launcher that the reporter makes progress."""

    settings: Settings
    state: State
    records: RecordReader
    progress_map: ProgressMap
    historian: Historian
    storage: Storage
    followers: Followers
    touch: Callable[[], None]
    stop: asyncio.Event
    _answers: dict[str, dict[str, Any]] = field(init=False)  # number of the model -> its status, or an error

    def __post_init__(self) -> None:
        self._answers = _read(self.settings.run_dir / STORED) or {}
        for found in self._answers.values():
            if "error" not in found:
                self.state.update(model=ModelStatus.model_validate(found))

    async def run(self) -> None:
        """Stores the models in the order in which they were handed over, then the app's files, until `stop` is set."""
        settings, storage = self.settings, self.storage
        collector = Collector(
            settings.run_dir, settings.work_dir, settings.place, settings.run, self.touch, storage.publish, storage.longest
        )
        while not self.stop.is_set():
            ended = collector.requested()  # before listing the models: all of them were handed over earlier
            for folder in self._handed_over():
                model = _read(folder / MODEL)
                if model is not None and folder.name not in self._answers:
                    await self._store(folder, {**model, "start": int(folder.name)})
            if ended and (files := await collector.collect_once()) is not None:
                self.state.update(files=files)
            await pause(self.stop, POLL)

    def _handed_over(self) -> list[Path]:
        return sorted((f for f in (self.settings.run_dir / MODELS).glob("*") if f.name.isdecimal()), key=lambda f: int(f.name))

    async def _store(self, folder: Path, model: Mapping[str, Any]) -> None:
        try:
            status = await self._attempt(folder, model)
        except UNSTORABLE as error:
            log.error("the model is not stored: %s", error)
            if isinstance(error, StorageError) and self.stop.is_set():
                return
            self.state.trouble = ""
            message = shown(f"The model could not be written to {self.settings.place.uri}: {error}", MAX_ANSWER)
            self._answer(folder.name, {"error": message})
            return
        log.info("stored %s, %s, %d bytes", status.uri, status.digest, status.size)
        self.state.update(model=status)
        await self.progress_map.until(lambda: self.progress_map.names(status), self.stop, self.touch)
        said = {"uri": status.uri, "digest": status.digest, "round": str(status.round)}
        await self.followers.model(self.settings.place.folder, [status.uri.rpartition("/")[2], METADATA], said, self.touch)
        self._answer(folder.name, status.model_dump())
        (folder / ARRAYS).unlink(missing_ok=True)

    async def _attempt(self, folder: Path, model: Mapping[str, Any]) -> ModelStatus:
        await self.records.read()
        about = {
            "run": self.settings.run,
            "start": model["start"],
            "app": model.get("app", {}),
            "strategy": model.get("strategy", ""),
            "metrics": model.get("metrics", {}),
            "rounds": model.get("history", {}),
            "clusters": dict(sorted(self.state.clusters.items())),
        }
        if initial := self.state.progress.initial_model:
            about["initialModel"] = initial.model_dump()
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return await asyncio.to_thread(self._stored, folder / ARRAYS, model, about)
            except OSError as error:
                if attempt == ATTEMPTS:
                    raise
                log.warning("storing the model: %s; trying again", error)
                await pause(self.stop, float(attempt))
        raise AssertionError("unreachable")

    def _stored(self, source: Path, model: Mapping[str, Any], about: Mapping[str, Any]) -> ModelStatus:
        status = store(source, model, self.settings.place, about, self.touch)
        self.historian.save()
        self.storage.publish()
        return status

    def _answer(self, number: str, content: dict[str, Any]) -> None:
        self._answers[number] = content
        replace(self.settings.run_dir / STORED, json.dumps(self._answers))


def _read(path: Path) -> dict[str, Any] | None:
    try:
        content = json.loads(path.read_text())
    except (FileNotFoundError, ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) else None
