"""A run of which the real reporter tells others, in the test's own process and with a fake of the hub and the gateway."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np

from panal.pod.reporter import Reporter
from panal.pod.settings import Settings
from reporting import ConfigMap, Gateway

CLUSTERS = ("cluster1", "cluster2")


class Run:
    """A run's folders. `env`: further variables of the reporter."""

    def __init__(self, folder: Path, uid: str, **env: str) -> None:
        self.folder, self.uid, self.config_map, self.gateway = folder, uid, ConfigMap(), Gateway()
        (folder / "run").mkdir()
        self.env = {
            "PANAL_NAMESPACE": "team", "PANAL_RUN": "digits", "PANAL_RUN_UID": uid, "PANAL_ATTEMPT": "job-1",
            "PANAL_RUN_DIR": str(folder / "run"), "PANAL_STORAGE_DIR": str(folder / "volume"), "PANAL_STORAGE_URI": "pvc://models",
            **env,
        }  # fmt: skip

    def append(self, *records: object) -> None:
        with (self.folder / "run/progress.jsonl").open("a") as file:
            file.writelines(json.dumps(record) + "\n" for record in records)

    def train(self, *numbers: int, **metrics: Any) -> None:
        for number in numbers:
            self.gateway.counters = dict.fromkeys(CLUSTERS, (1000 * number, 2000 * number))
            replies = {cluster: {"seconds": 1.0 + number, "metrics": {"loss": 1 / number}} for cluster in CLUSTERS}
            training = {"event": "round", "round": number, "phase": "train", "replies": 2, "failures": 0, "seconds": 1.2}
            self.append(
                {**training, "collaborators": replies, "metrics": {"loss": 2 / number, **metrics}, "time": 1.7e9 + number},
                {"event": "round", "round": number, "phase": "end", "seconds": 1.5, "time": 1.7e9 + number},
            )

    def leave_model(self, number: int) -> None:
        place = self.folder / "run/models/1"
        place.mkdir(parents=True)
        np.savez(place / "model.npz", **{"0": np.full(3, 1.0)})
        (place / "model.json").write_text(json.dumps({"round": number, "arrays": ["w"], "history": {}}))

    @property
    def answered(self) -> bool:
        return (self.folder / "run/stored.json").exists()

    def complete(self, number: int) -> None:
        self.leave_model(number)
        self.append({"event": "ended", "result": "Model"})

    @asynccontextmanager
    async def reported(self) -> AsyncIterator[Reporter]:
        reporter = Reporter(Settings.read(self.env), self.config_map, self.gateway)
        task = asyncio.create_task(reporter.run())
        yield reporter
        reporter.stop.set()
        await asyncio.wait_for(task, 60)

    @asynccontextmanager
    async def killed(self) -> AsyncIterator[Reporter]:
        """The reporter is killed at the end of the block."""
        reporter = Reporter(Settings.read(self.env), self.config_map, self.gateway)
        task = asyncio.create_task(reporter.run())
        yield reporter
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await reporter.followers.close()


async def eventually(question: Callable[[], object], seconds: float = 60) -> None:
    async with asyncio.timeout(seconds):
        while not await asyncio.to_thread(question):
            await asyncio.sleep(0.1)
