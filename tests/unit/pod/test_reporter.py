"""The reporter with a ConfigMap that may be unavailable: nothing is lost or written twice, and the Job waits for the model."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from panal.api.history import read as read_history
from panal.api.progress import Progress, UpdateCounts
from panal.kube.errors import NotFound
from panal.pod.reporter import Reporter
from panal.pod.settings import Settings
from reporting import Gateway, HistoryMap

from .test_storing import npz


class ConfigMap(HistoryMap):
    def __init__(self, **data: str) -> None:
        super().__init__()
        self.data = data
        self.away = False
        self.writes = 0

    async def write(self, data: Mapping[str, str]) -> Mapping[str, str]:
        await self.read()
        self.writes += 1
        self.data |= data
        return self.data

    async def read(self) -> Mapping[str, str]:
        if self.away:
            raise NotFound(404, "NotFound", "configmaps not found")
        return self.data

    @property
    def progress(self) -> Progress:
        return Progress.model_validate_json(self.data.get("progress", "{}"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "run").mkdir()
    return tmp_path


def settings(folder: Path, **more: str) -> Settings:
    return Settings.read(
        {
            "PANAL_NAMESPACE": "team", "PANAL_RUN": "digits", "PANAL_RUN_UID": "u", "PANAL_ATTEMPT": "job-1",
            "PANAL_RUN_DIR": str(folder / "run"), "PANAL_STORAGE_DIR": str(folder / "volume"), "PANAL_STORAGE_URI": "pvc://models",
            **more,
        }
    )  # fmt: skip


@asynccontextmanager
async def running(folder: Path, sink: ConfigMap, gateway: Gateway | None = None, **more: str) -> AsyncIterator[Reporter]:
    reporter = Reporter(settings(folder, **more), sink, gateway or Gateway())
    task = asyncio.create_task(reporter.run())
    yield reporter
    reporter.stop.set()
    await asyncio.wait_for(task, 30)


async def eventually(question: Callable[[], object]) -> None:
    async with asyncio.timeout(20):
        while not question():
            await asyncio.sleep(0.02)


def append(folder: Path, *records: object) -> None:
    with (folder / "run/progress.jsonl").open("a") as file:
        file.writelines(json.dumps(record) + "\n" for record in records)


def leave_model(folder: Path, number: int = 1, start: int = 1, **said: object) -> None:
    place = folder / f"run/models/{start}"
    place.mkdir(parents=True, exist_ok=True)
    npz(place / "model.npz", [np.full(3, float(number))])
    (place / "model.json").write_text(json.dumps({"round": number, "arrays": ["w"], "history": {}} | said))


def stored(folder: Path, start: int = 1) -> dict[str, object]:
    """What the launcher reads about a model; empty while there is nothing."""
    file = folder / "run/stored.json"
    return json.loads(file.read_text()).get(str(start), {}) if file.exists() else {}


async def test_a_burst_of_records_is_one_write(folder: Path) -> None:
    sink = ConfigMap()
    append(folder, {"event": "started", "rounds": 9}, *({"event": "connected", "count": n} for n in range(50)))
    async with running(folder, sink):
        await eventually(lambda: sink.progress.connected == 49)
        await asyncio.sleep(1)
    begun = sink.progress.history
    assert sink.progress == Progress(attempt="job-1", connected=49, started=True, rounds_total=9, history=begun)
    assert sink.writes == 1


async def test_the_last_progress_is_written_at_the_end(folder: Path) -> None:
    sink = ConfigMap()
    async with running(folder, sink) as reporter:
        await eventually(lambda: sink.writes)
        reporter.stop.set()
        append(folder, {"event": "ended", "result": "Metrics"})
    assert sink.progress.result == "Metrics"


async def test_an_outage_delays_progress_and_the_model_and_loses_neither(folder: Path) -> None:
    sink = ConfigMap()
    sink.away = True
    async with running(folder, sink):
        append(folder, {"event": "connected", "count": 2})
        leave_model(folder)
        await eventually(lambda: list(folder.glob("volume/team/digits/u/model.safetensors")))
        await asyncio.sleep(0.5)
        assert not stored(folder)  # the hub does not know the model yet
        sink.away = False
        await eventually(lambda: stored(folder))
        assert sink.progress.connected == 2
    assert sink.progress.model is not None
    assert sink.progress.model.model_dump() == stored(folder)
    assert stored(folder)["uri"] == "pvc://models/team/digits/u/model.safetensors"


async def test_a_restart_has_the_same_result(folder: Path) -> None:
    first, second = ConfigMap(), ConfigMap()
    append(folder, {"event": "started", "rounds": 1}, {"event": "round", "round": 1, "phase": "end", "seconds": 1.0})
    leave_model(folder)
    for sink in (first, second):
        async with running(folder, sink):
            await eventually(lambda sink=sink: sink.progress.model)
    assert first.progress == second.progress


async def test_more_rounds_and_later_models_are_handled(folder: Path) -> None:
    sink = ConfigMap(rounds="5")
    async with running(folder, sink):
        await eventually(lambda: (folder / "run/rounds").exists())
        assert (folder / "run/rounds").read_text() == "5"
        leave_model(folder, 3)
        await eventually(lambda: sink.progress.model and sink.progress.model.round == 3)
        leave_model(folder, 5, start=2)
        await eventually(lambda: stored(folder, 2))
    assert sink.progress.model is not None
    assert sink.progress.model.round == 5
    place = folder / "volume/team/digits/u"
    kept = {name: load_file(place / name)["w"][0] for name in ("model.safetensors", "start-1/model.safetensors")}
    assert kept == {"model.safetensors": 5.0, "start-1/model.safetensors": 3.0}
    assert not list(folder.glob("run/models/*/model.npz"))  # an app may leave many


async def test_a_storage_failure_is_reported_with_its_reason(folder: Path) -> None:
    (folder / "volume").write_text("a file where the volume should be")
    sink = ConfigMap()
    leave_model(folder)
    async with running(folder, sink):
        await eventually(lambda: stored(folder))
    error = str(stored(folder)["error"])
    assert "could not be written to pvc://models/team/digits/u" in error
    assert "Not a directory" in error
    assert sink.progress.model is None


async def test_an_invalid_record_is_skipped(folder: Path) -> None:
    sink = ConfigMap()
    append(folder, {"event": "connected"}, {"event": "round", "round": "x", "phase": "end"}, {"event": "connected", "count": 1})
    async with running(folder, sink):
        await eventually(lambda: sink.progress.connected == 1)


async def test_hostile_files_neither_end_the_reporter_nor_pass_unescaped(folder: Path) -> None:
    sink = ConfigMap()
    train = {"event": "round", "round": 1, "phase": "train", "replies": 1, "failures": 0, "metrics": {"loss\ud800\x1b[2J": 0.5}}
    end = {"event": "round", "round": 1, "phase": "end", "seconds": 1.0}
    with (folder / "run/progress.jsonl").open("wb") as file:
        file.write(b"\xff\xfe\0\n" + b"[" * 100_000 + b"\n" + b'{"event": "round", "phase": "train", "round": 1e999}\n')
        file.write(b'{"event": "connected", "count": 1, "phase": "train"}\n')
    append(folder, train | {"collaborators": {"c1": {"metrics": {"\0": 1}}, "\ud800": {}}, "failed": {}}, end)
    append(folder, {"event": "started", "rounds": 3})
    async with running(folder, sink):
        await eventually(lambda: sink.progress.started)
        leave_model(folder)
        await eventually(lambda: sink.progress.model)
    assert (sink.progress.connected, sink.progress.rounds_total) == (1, 3)
    assert [key.partition("~")[0] for key in sink.progress.metrics] == [r"loss\ud800\x1b[2J"]
    assert sink.data["progress"].isprintable()
    metadata = json.loads(next(folder.glob("volume/team/digits/u/metadata.json")).read_text())
    assert metadata["clusters"] == {"c1": [1]}


@pytest.mark.parametrize("model", [{"round": 1e999, "arrays": ["w"]}, {"round": 1, "arrays": 7}, {"round": 1}])
async def test_a_malformed_model_is_reported_at_once(folder: Path, model: Mapping[str, object]) -> None:
    leave_model(folder)
    (folder / "run/models/1/model.json").write_text(json.dumps(model))
    async with running(folder, ConfigMap()):
        await eventually(lambda: stored(folder))
        assert "could not be written" in str(stored(folder)["error"])


async def test_texts_of_the_app_are_escaped_in_the_metadata(folder: Path) -> None:
    app = {"fab_id": "acme/\x1b[31mdigits\u202e", "fab_version": "9" * 1000}
    history = {"train": {"1": {"lo\nss": 0.5}}}
    leave_model(folder, arrays=["w\n"], app=app, strategy="Fed\0Avg", history=history, metrics={})
    async with running(folder, ConfigMap()):
        await eventually(lambda: stored(folder))
    said = json.loads(next(folder.glob("volume/team/digits/u/metadata.json")).read_text())
    assert (said["app"]["fab_id"], len(said["app"]["fab_version"]), said["strategy"]) == (r"acme/\x1b[31mdigits\u202e", 500, r"Fed\x00Avg")
    assert [key.partition("~")[0] for key in said["rounds"]["train"]["1"]] == [r"lo\nss"]


def phases(number: int, cluster: str = "cluster1") -> list[dict[str, object]]:
    reply = {cluster: {"seconds": 1.0, "metrics": {"loss": 0.5}}}
    training = {"event": "round", "round": number, "phase": "train", "replies": 1, "failures": 0, "seconds": 1.2, "collaborators": reply}
    return [training, {"event": "round", "round": number, "phase": "end", "seconds": 1.5, "time": float(number)}]


async def test_the_history_is_in_its_config_map_while_the_run_goes_on_and_beside_the_model_afterwards(folder: Path) -> None:
    sink, gateway = ConfigMap(), Gateway()
    async with running(folder, sink, gateway) as reporter:
        gateway.counters = {"cluster1": (700, 900)}
        append(folder, {"event": "started", "rounds": 3}, *phases(1), *phases(2))
        await eventually(lambda: len(sink.history.rounds) == 2)
        clusters = sink.history.rounds[0].clusters
        assert clusters
        assert (clusters["cluster1"].received, clusters["cluster1"].sent) == (700, 900)
        leave_model(folder, 2)
        await eventually(lambda: stored(folder))
        file = reporter.settings.place.folder / "history.jsonl"
        assert read_history(file.read_bytes()) == sink.history
        reporter.stop.set()
        append(folder, *phases(3))
    assert [row.round for row in sink.history.rounds] == [1, 2, 3]
    assert read_history(file.read_bytes()) == sink.history


async def test_a_run_whose_history_cannot_be_stored_goes_on(folder: Path) -> None:
    sink = ConfigMap()
    async with running(folder, sink) as reporter:
        (reporter.settings.place.folder / "history.jsonl").mkdir(parents=True)
        append(folder, *phases(1))
        await eventually(lambda: len(sink.history.rounds) == 1)
        leave_model(folder)
        await eventually(lambda: "uri" in stored(folder))


async def test_the_history_of_several_models_is_one_file(folder: Path) -> None:
    sink = ConfigMap()
    async with running(folder, sink) as reporter:
        for start in (1, 2):
            append(folder, *phases(start))
            await eventually(lambda start=start: len(sink.history.rounds) == start)
            leave_model(folder, start, start=start)
            await eventually(lambda start=start: stored(folder, start))
        place = reporter.settings.place.folder
    assert [row.round for row in read_history((place / "history.jsonl").read_bytes()).rounds] == [1, 2]
    assert not (place / "start-1/history.jsonl").exists()


def counted(attempt: str, **updates: object) -> str:
    return Progress(attempt=attempt, updates=UpdateCounts.model_validate(updates)).model_dump_json(by_alias=True)


@pytest.mark.parametrize(
    ("before", "expected"),
    [
        ({}, {"a": 1}),
        ({"progress": counted("job-0", own={"a": 2, "b": 1}, earlier={"a": 1}, lost=1)}, {"a": 6, "b": 3}),
        ({"progress": counted("job-1", own={"a": 7}, earlier={"a": 1, "b": 1}, lost=1)}, {"a": 3, "b": 2}),  # this one, before it restarted
        ({"progress": counted("job-1", own={"a": 7})}, {"a": 1}),
        ({"progress": '{"attempt": "job-0"}'}, {"a": 2}),  # lost before it could tell
        ({"progress": "damaged"}, {"a": 2}),
    ],
)
async def test_the_updates_of_an_earlier_aggregator_are_not_forgotten(
    folder: Path, before: dict[str, str], expected: dict[str, int]
) -> None:
    sink = ConfigMap(**before)
    append(folder, {"event": "updates", "asked": ["a"]})
    async with running(folder, sink, PANAL_PRIVATE="true"):
        await eventually(lambda: sink.writes)
    assert sink.progress.attempt == "job-1"
    assert sink.progress.updates is not None
    assert sink.progress.updates.by_cluster() == expected
    spent = json.loads((folder / "run/spent.json").read_text())
    assert {"a": 1 + spent["earlier"].get("a", 0) + spent["lost"]}.items() <= expected.items()
