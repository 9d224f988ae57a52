"""The reporter and a real MLflow server: what is there after a run, a crash, and an outage."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mlflow_server import Server, serving
from panal.pod.reporter import Reporter, Settings
from panal.pod.tracking import CUT, DIVERGED
from processes import free_port
from reporting import ConfigMap, Gateway

CLUSTERS = ("cluster1", "cluster2")


class Run:
    """A run's folders; `uid` also names its experiment."""

    def __init__(self, folder: Path, uid: str, uri: str, **parameters: str) -> None:
        self.folder, self.uid, self.config_map, self.gateway = folder, uid, ConfigMap(), Gateway()
        (folder / "run").mkdir()
        tracking = {"uri": uri, "experiment": uid, "parameters": {"rounds": "3", **parameters}}
        self.env = {
            "PANAL_NAMESPACE": "team", "PANAL_RUN": "digits", "PANAL_RUN_UID": uid, "PANAL_ATTEMPT": "job-1",
            "PANAL_RUN_DIR": str(folder / "run"), "PANAL_STORAGE_DIR": str(folder / "volume"), "PANAL_STORAGE_URI": "pvc://models",
            "PANAL_TRACKING": json.dumps(tracking),
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
        if reporter.mlflow:
            await reporter.mlflow.close()


async def eventually(question: Callable[[], object], seconds: float = 60) -> None:
    async with asyncio.timeout(seconds):
        while not await asyncio.to_thread(question):
            await asyncio.sleep(0.1)


def of(content: list[Mapping[str, str]]) -> dict[str, str]:
    return {each["key"]: each["value"] for each in content}


def the_run(server: Server, run: Run) -> dict[str, Any]:
    (found,) = server.runs(run.uid)
    return found


async def test_a_run_is_tracked_while_it_goes_on(server: Server, tmp_path: Path) -> None:
    run = Run(tmp_path, "whole", server.uri, **{"server.image": "example/app:1", "config/long": "x" * 9000})
    async with run.reported():
        run.train(1, 2)
        await eventually(lambda: server.runs("whole") and server.points(the_run(server, run), "loss") == [(1, 2.0), (2, 1.0)])
        assert the_run(server, run)["info"]["status"] == "RUNNING"
        run.train(3)
        run.complete(3)
        await eventually(lambda: run.answered)
    found = the_run(server, run)
    assert (found["info"]["status"], found["info"]["run_name"]) == ("FINISHED", "team/digits")
    tags, parameters = of(found["data"]["tags"]), of(found["data"]["params"])
    assert tags["panal.model.digest"] == run.config_map.progress.model.digest  # type: ignore[union-attr]
    assert (parameters["server.image"], len(parameters["config/long"]), tags[CUT]) == ("example/app:1", 500, "config/long")
    assert DIVERGED not in tags
    assert server.points(found, "panal/seconds") == [(1, 1.5), (2, 1.5), (3, 1.5)]
    for cluster in CLUSTERS:
        assert server.points(found, f"clusters/{cluster}/loss") == [(1, 1.0), (2, 0.5), (3, pytest.approx(0.3333333))]
        assert [step for step, _ in server.points(found, f"clusters/{cluster}/panal/received")] == [1, 2, 3]
    artifacts = server.artifacts(found)
    volume = tmp_path / "volume/team/digits/whole"
    assert artifacts == {name: (volume / name).stat().st_size for name in ("history.jsonl", "metadata.json", "model.safetensors")}
    assert "TrackingFailed" not in run.config_map.progress.notices


async def test_a_reporter_that_was_killed_neither_loses_nor_doubles_a_point(server: Server, tmp_path: Path) -> None:
    run = Run(tmp_path, "killed", server.uri)
    for first, last in ((1, 2), (3, 5), (6, 9)):
        async with run.killed():
            run.train(*range(first, last + 1))
            await eventually(lambda first=first: server.runs("killed") and len(server.points(the_run(server, run), "loss")) >= first)
    async with run.reported():
        run.train(10)
        run.complete(10)
        await eventually(lambda: run.answered)
    points = server.points(the_run(server, run), "loss")
    assert [step for step, _ in points] == list(range(1, 11))
    assert [step for step, _ in server.points(the_run(server, run), "clusters/cluster2/loss")] == list(range(1, 11))


async def test_an_outage_is_a_condition_as_long_as_it_lasts_and_loses_nothing(tmp_path: Path) -> None:
    (tmp_path / "server").mkdir()
    (tmp_path / "run").mkdir()
    port = free_port()
    run = Run(tmp_path / "run", "outage", f"http://127.0.0.1:{port}")
    async with run.reported():
        run.train(1)
        await eventually(lambda: "spec.tracking.mlflow.uri" in run.config_map.progress.notices.get("TrackingFailed", ""))
        with serving(tmp_path / "server", port):
            run.train(2)
            await eventually(lambda: "TrackingFailed" not in run.config_map.progress.notices)
        run.train(3)
        await eventually(lambda: "TrackingFailed" in run.config_map.progress.notices)
        with serving(tmp_path / "server", port) as server:
            run.complete(3)
            await eventually(lambda: run.answered, 120)
            await eventually(lambda: len(server.points(the_run(server, run), "loss")) == 3)
            assert server.points(the_run(server, run), "loss") == [(1, 2.0), (2, 1.0), (3, pytest.approx(0.6666667))]
    assert run.config_map.progress.model


@pytest.mark.parametrize("value", ["Infinity", "-Infinity", "NaN"])
async def test_a_run_that_diverged_cannot_be_missed(server: Server, tmp_path: Path, value: str) -> None:
    run = Run(tmp_path, f"diverged{value}", server.uri)
    async with run.reported():
        run.train(1)
        run.train(2, accuracy=value)
        run.train(3)
        run.complete(3)
        await eventually(lambda: run.answered)
    found = the_run(server, run)
    assert of(found["data"]["tags"])[DIVERGED] == f"round 2: accuracy {value}"
    assert server.points(found, "accuracy") == [(2, "NaN")]


async def test_another_aggregator_goes_on_with_the_same_run(server: Server, tmp_path: Path) -> None:
    run = Run(tmp_path, "another", server.uri)
    async with run.reported():
        run.train(1, 2)
        await eventually(lambda: server.runs("another") and len(server.points(the_run(server, run), "loss")) == 2)
    assert the_run(server, run)["info"]["status"] == "KILLED"
    run.env["PANAL_ATTEMPT"] = "job-2"
    async with run.reported():
        run.train(3)
        await eventually(lambda: len(server.points(the_run(server, run), "loss")) == 3)
        assert the_run(server, run)["info"]["status"] == "RUNNING"
