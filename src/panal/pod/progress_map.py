"""Keeps the ConfigMap `<run>-progress` as the run's progress is, and takes the wanted number of rounds from it. Part of the reporter."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from pydantic import ValidationError

from panal.api.names import KEY_PROGRESS, KEY_ROUNDS, history, progress
from panal.api.progress import Progress
from panal.api.types import ModelStatus
from panal.kube.client import Client
from panal.kube.errors import KubeError
from panal.kube.kinds import CONFIG_MAP
from panal.pod.gatekeeper import Gateway
from panal.pod.pausing import pause
from panal.pod.state import State
from panal.pod.tools.files import replace

log = logging.getLogger("panal.reporter")

POLL = 0.2  # seconds between two looks
HUB_TIMEOUT = 540.0  # seconds until a result counts as stored although the API server is unavailable
READ_INTERVAL = 5.0  # seconds between two reads of the ConfigMap while there is nothing to write
REFRESH = 300.0  # seconds after which the gateway's traffic is written even if the progress has not changed


class Sink(Protocol):
    """The ConfigMap `<run>-progress`, whose data `write` and `read` return, and `<run>-history`. All methods raise KubeError."""

    async def write(self, data: Mapping[str, str]) -> Mapping[str, str]: ...

    async def read(self) -> Mapping[str, str]: ...

    async def write_history(self, binary_data: Mapping[str, str]) -> None: ...


@dataclass(frozen=True, slots=True)
class ConfigMapSink:
    client: Client
    namespace: str
    run: str

    async def write(self, data: Mapping[str, str]) -> Mapping[str, str]:
        """Raises NotFound until the controller has created the ConfigMap."""
        return _data(await self.client.merge_patch(CONFIG_MAP, self.namespace, progress(self.run), {"data": dict(data)}))

    async def read(self) -> Mapping[str, str]:
        return _data(await self.client.get(CONFIG_MAP, self.namespace, progress(self.run)))

    async def write_history(self, binary_data: Mapping[str, str]) -> None:
        """Raises NotFound until the controller has created the ConfigMap."""
        await self.client.merge_patch(CONFIG_MAP, self.namespace, history(self.run), {"binaryData": dict(binary_data)})


def _progress(data: Mapping[str, str]) -> Progress:
    """What an earlier reporter has written. If that cannot be read, there was one of which nothing is known."""
    try:
        return Progress.model_validate_json(data.get(KEY_PROGRESS, "{}"))
    except ValidationError as error:
        log.warning("the progress in the ConfigMap cannot be read: %s", error)
        return Progress(attempt="unknown")


def _data(config_map: Mapping[str, Any]) -> Mapping[str, str]:
    return config_map.get("data") or {}


@dataclass(slots=True)
class ProgressMap:
    """`rounds_file` gets the wanted number of rounds, for the launcher, and `spent_file` the updates of earlier aggregators, for the app's
    process (`pod.tools.flower.updates`)."""

    state: State
    gateway: Gateway
    sink: Sink
    rounds_file: Path
    spent_file: Path
    _written: str = ""  # the progress that the ConfigMap has
    _written_at: float = 0.0
    _read_at: float = 0.0
    _rounds: str = ""
    _begun: bool = False
    _spent: dict[str, Any] = field(default_factory=dict)

    @property
    def current(self) -> bool:
        """Whether the ConfigMap has the progress as it is now."""
        return self.state.text() == self._written

    def names(self, model: ModelStatus) -> bool:
        """Whether the ConfigMap has this model."""
        return bool(self._written) and Progress.model_validate_json(self._written).model == model

    async def until(self, known: Callable[[], bool], stop: asyncio.Event, touch: Callable[[], None]) -> None:
        """Waits until `known`, so that the hub knows a result before the Job ends; at most HUB_TIMEOUT seconds."""
        end = time.monotonic() + HUB_TIMEOUT
        while not known() and not stop.is_set() and time.monotonic() < end:
            touch()
            await pause(stop, POLL)

    async def sync(self) -> bool:
        """Writes changes to the ConfigMap, or reads it from time to time if there are none. Returns whether that was possible."""
        try:
            if not self._begun and self.state.progress.updates is not None:
                self.state.follow(_progress(await self.sink.read()))
                self._begun = True
            self._tell_spent()
            text = self.state.text()
            if text != self._written or time.monotonic() - self._written_at >= REFRESH:
                self._take(await self.sink.write({KEY_PROGRESS: text, **self.gateway.report()}))
                self._written, self._written_at = text, time.monotonic()
            elif time.monotonic() - self._read_at >= READ_INTERVAL:
                self._take(await self.sink.read())
        except KubeError as error:
            log.warning("the hub's API: %s", error)
            return False
        return True

    def _tell_spent(self) -> None:
        """Before the ConfigMap has the app's hash, without which no site is asked for anything."""
        if (counts := self.state.progress.updates) is None:
            return
        spent = {"earlier": counts.earlier, "lost": counts.lost}
        if spent != self._spent:
            replace(self.spent_file, json.dumps(spent))
            self._spent = spent

    def _take(self, data: Mapping[str, str]) -> None:
        self._read_at = time.monotonic()
        if self._written and data.get(KEY_PROGRESS) != self._written:
            self._written = ""  # deleted or overwritten: write it again
        wanted = data.get(KEY_ROUNDS, "")
        if wanted.isdigit() and wanted != self._rounds:
            replace(self.rounds_file, wanted)
            self._rounds = wanted
