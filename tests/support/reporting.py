"""The real reporter beside the processes of an aggregator's Pod, with a fake of its ConfigMap."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import Protocol

from panal.api.history import History, of_config_map
from panal.api.progress import Progress
from panal.pod.reporter import Reporter
from panal.pod.settings import Settings
from panal.pod.tools.files import RESUMED


class Pods(Protocol):
    """The folders of a run's Pods."""

    folder: Path
    run_dir: Path


class Gateway:
    """A fake of the aggregator's gateway, whose counters a test sets: bytes received from and sent to each cluster."""

    def __init__(self) -> None:
        self.counters: dict[str, tuple[int, int]] = {}

    def report(self) -> Mapping[str, str]:
        return {}

    def bytes_by_cluster(self) -> Mapping[str, tuple[int, int]]:
        return self.counters

    async def measure(self) -> None:
        return


class HistoryMap:
    """A fake of the ConfigMap `<run>-history`."""

    def __init__(self) -> None:
        self.binary_data: dict[str, str] = {}

    async def write_history(self, binary_data: Mapping[str, str]) -> None:
        self.binary_data |= binary_data

    @property
    def history(self) -> History:
        return of_config_map({"binaryData": self.binary_data}) or History(version=0)


class ConfigMap(HistoryMap):
    """A fake of the ConfigMap on the hub, with the controller's data and what the reporter writes."""

    def __init__(self, **data: str) -> None:
        super().__init__()
        self.data = data

    async def write(self, data: Mapping[str, str]) -> Mapping[str, str]:
        self.data |= data
        return self.data

    async def read(self) -> Mapping[str, str]:
        return self.data

    @property
    def progress(self) -> Progress:
        return Progress.model_validate_json(self.data.get("progress", "{}"))


@contextmanager
def reporting(pods: Pods, config_map: ConfigMap, **more: str) -> Iterator[Path]:
    """Runs the reporter in a thread; returns the run's folder on the storage volume, which the attempts of a run share.
    `more` are further variables."""
    volume = pods.folder / "volume"
    volume.mkdir(exist_ok=True)
    (pods.run_dir / RESUMED).unlink(missing_ok=True)
    env = {
        "PANAL_NAMESPACE": "team", "PANAL_RUN": "digits", "PANAL_RUN_UID": "u-1", "PANAL_RUN_DIR": str(pods.run_dir),
        "PANAL_STORAGE_DIR": str(volume), "PANAL_STORAGE_URI": "pvc://models", "PANAL_STORAGE_PATH": "out", "PANAL_ATTEMPT": "job-1",
        "PANAL_WORK_DIR": str(pods.folder / "work"),
    }  # fmt: skip
    reporter = Reporter(Settings.read(env | more), config_map, Gateway())
    loop = asyncio.new_event_loop()
    thread = Thread(target=lambda: loop.run_until_complete(reporter.run()))
    thread.start()
    try:
        yield volume / "out/team/digits/u-1"
    finally:
        loop.call_soon_threadsafe(reporter.stop.set)
        thread.join(60)
        loop.close()
