"""The reporter with a bucket of a real S3 server: models, files and checkpoints, and what the run says meanwhile."""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from panal.api import executed
from panal.api.progress import Progress
from panal.pod import exporting, fetching, giving, run_folder, validating
from panal.pod.bucket import Bucket
from panal.pod.checkpointing import Checkpoints, Snapshot
from panal.pod.reporter import Reporter
from panal.pod.service import Service, connected
from panal.pod.settings import Settings
from panal.pod.shelf import BucketShelf
from panal.pod.storage_errors import Address
from panal.pod.tools import checkpoint
from reporting import Gateway, HistoryMap
from s3 import ACCESS, BUCKET, CREDENTIALS, SECRET, Fault, Proxy, Server, program, serving

pytestmark = [pytest.mark.real]

UID = "u"
BASE = f"prefix/team/digits/{UID}"


@pytest.fixture(autouse=True)
def _programs() -> None:
    if not program().is_file():
        pytest.skip("no versitygw: set KUBEBUILDER_ASSETS to the folder of the programs (docs/design/testing.md)")


@pytest.fixture
def server(tmp_path: Path, _programs: None) -> Iterator[Server]:
    (tmp_path / "s3").mkdir()
    with serving(tmp_path / "s3") as found:
        yield found


@pytest.fixture
def proxy(server: Server) -> Iterator[Proxy]:
    with Proxy(server).running() as found:
        yield found


class ConfigMap(HistoryMap):
    """`<run>-progress`, whose every state is kept."""

    def __init__(self) -> None:
        super().__init__()
        self.data: dict[str, str] = {}
        self.states: list[Progress] = []

    async def write(self, data: Mapping[str, str]) -> Mapping[str, str]:
        self.data |= data
        self.states.append(self.progress)
        return self.data

    async def read(self) -> Mapping[str, str]:
        return self.data

    @property
    def progress(self) -> Progress:
        return Progress.model_validate_json(self.data.get("progress", "{}"))


def settings(folder: Path, address: Address) -> Settings:
    return Settings.read(environment(folder, address))


def environment(folder: Path, address: Address) -> dict[str, str]:
    for name in ("run", "staging", "work/app"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    content = asdict(address)
    content["pathStyle"] = content.pop("path_style")
    authorities = content.pop("authorities")
    return {
        "PANAL_NAMESPACE": "team", "PANAL_RUN": "digits", "PANAL_RUN_UID": UID, "PANAL_ATTEMPT": "job-1",
        "PANAL_RUN_DIR": str(folder / "run"), "PANAL_STORAGE_DIR": str(folder / "staging"), "PANAL_WORK_DIR": str(folder / "work"),
        "PANAL_STORAGE_URI": f"s3://{address.bucket}", "PANAL_STORAGE_PATH": "prefix", "PANAL_STORAGE_S3": json.dumps(content),
        "PANAL_STORAGE_AUTHORITIES": authorities,
    }  # fmt: skip


@asynccontextmanager
async def running(folder: Path, address: Address, sink: ConfigMap) -> AsyncIterator[Reporter]:
    reporter = Reporter(settings(folder, address), sink, Gateway(), CREDENTIALS)
    task = asyncio.create_task(reporter.run())
    yield reporter
    reporter.stop.set()
    await asyncio.wait_for(task, 30)


async def eventually(question: Callable[[], object], seconds: float = 40) -> None:
    async with asyncio.timeout(seconds):
        while not question():
            await asyncio.sleep(0.05)


def append(folder: Path, *records: object) -> None:
    with (folder / "run/progress.jsonl").open("a") as file:
        file.writelines(json.dumps(record) + "\n" for record in records)


def leave_model(folder: Path, start: int = 1, size: int = 3) -> None:
    place = folder / f"run/models/{start}"
    place.mkdir(parents=True)
    np.savez(place / "model.npz", **{"0": np.full(size, float(start))})
    (place / "model.json").write_text(json.dumps({"round": 3, "arrays": ["w"], "history": {}}))


def answer(folder: Path, start: int = 1) -> dict[str, object]:
    file = folder / "run/stored.json"
    return json.loads(file.read_text()).get(str(start), {}) if file.exists() else {}


async def test_a_model_is_in_the_bucket_before_the_run_says_so(server: Server, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "panal")
    sink = ConfigMap()
    async with running(tmp_path, server.address(), sink):
        leave_model(tmp_path, size=5_000_000)  # 40 MB: in three parts
        await eventually(lambda: answer(tmp_path))
        (tmp_path / "work/app/final.txt").write_text("done")
        (tmp_path / "run/files.json").write_text(json.dumps({"files": [["final.txt", 4]], "left_out": {}, "more": 0}))
        await eventually(lambda: sink.progress.files)
    model, place = sink.progress.model, server.root / BUCKET / BASE
    assert model
    assert model.uri == answer(tmp_path)["uri"] == f"s3://{BUCKET}/{BASE}/model.safetensors"
    stored = place / "model.safetensors"
    assert model.digest == f"sha256:{hashlib.sha256(stored.read_bytes()).hexdigest()}"
    assert (model.size, load_file(stored)["w"][0]) == (stored.stat().st_size, 1.0)
    metadata = json.loads((place / "metadata.json").read_text())
    assert metadata["model"]["digest"] == model.digest
    assert metadata["files"]["uri"] == f"s3://{BUCKET}/{BASE}/files/"
    assert (place / "files/final.txt").read_text() == "done"
    assert server.objects(BASE) == ["files/final.txt", "metadata.json", "model.safetensors"]
    told = caplog.text + "".join(state.model_dump_json() for state in sink.states) + (tmp_path / "run/stored.json").read_text()
    assert "prefix/team" in told
    assert SECRET not in told
    assert ACCESS not in told


async def test_a_file_whose_name_does_not_fit_into_a_key_costs_no_other(server: Server, tmp_path: Path) -> None:
    sink = ConfigMap()
    deep, odd = "/".join(["d" * 190] * 5) + "/" + "f" * 44, "odd-\udcff"
    async with running(tmp_path, server.address(), sink):
        for name in (deep, odd, "good"):
            file = tmp_path / "work/app" / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text("x")
        listed = {"files": [[deep, 1], [odd, 1], ["good", 1]], "left_out": {}, "more": 0}
        (tmp_path / "run/files.json").write_text(json.dumps(listed))
        await eventually(lambda: sink.progress.files)
    assert sink.progress.files
    assert (sink.progress.files.count, sink.progress.files.left_out) == (1, 2)
    assert server.objects(BASE) == ["files/good", "metadata.json"]


async def test_several_models_are_kept(server: Server, tmp_path: Path) -> None:
    sink = ConfigMap()
    async with running(tmp_path, server.address(), sink):
        for start in (1, 2):
            leave_model(tmp_path, start)
            await eventually(lambda start=start: answer(tmp_path, start))
    assert server.objects(BASE) == ["metadata.json", "model.safetensors", "start-1/metadata.json", "start-1/model.safetensors"]
    place = server.root / BUCKET / BASE
    assert [load_file(place / name / "model.safetensors")["w"][0] for name in ("", "start-1")] == [2.0, 1.0]


async def test_an_outage_is_said_and_costs_no_model(proxy: Proxy, tmp_path: Path) -> None:
    sink = ConfigMap()
    async with running(tmp_path, proxy.server.address(endpoint=proxy.url), sink):
        append(tmp_path, {"event": "started", "rounds": 3})
        await eventually(lambda: (tmp_path / "run/resumed.json").exists())
        until = time.monotonic() + 60
        proxy.judge = lambda _: Fault((503, "SlowDown")) if time.monotonic() < until else Fault()
        leave_model(tmp_path)
        await eventually(lambda: "SlowDown" in sink.progress.waiting)
        assert sink.progress.waiting.startswith("spec.server.storage.s3.endpoint: ")
        assert sink.progress.waiting.endswith("; trying again")
        await asyncio.sleep(1)
        assert (proxy.server.objects(BASE), answer(tmp_path)) == ([], {})
        await eventually(lambda: answer(tmp_path), 120)
        await eventually(lambda: not sink.progress.waiting)
        assert time.monotonic() >= until
    assert sink.progress.model
    assert proxy.server.objects(BASE) == ["metadata.json", "model.safetensors"]


async def test_a_bucket_that_does_not_exist_is_said_before_anything_is_trained(server: Server, tmp_path: Path) -> None:
    sink = ConfigMap()
    async with running(tmp_path, server.address(bucket="absent"), sink):
        await eventually(lambda: sink.progress.unusable)
        assert not (tmp_path / "run/resumed.json").exists()
    assert sink.progress.unusable.startswith("spec.server.storage.s3.bucketName: there is no bucket absent at http://127.0.0.1")


async def test_credentials_that_are_withdrawn_fail_the_model_by_name(proxy: Proxy, tmp_path: Path) -> None:
    sink = ConfigMap()
    async with running(tmp_path, proxy.server.address(endpoint=proxy.url), sink):
        await eventually(lambda: (tmp_path / "run/resumed.json").exists())
        proxy.judge = lambda _: Fault((403, "AccessDenied"))
        leave_model(tmp_path)
        await eventually(lambda: answer(tmp_path))
    assert "spec.server.storage.s3.secretName: the credentials in Secret models-s3 may not use bucket models" in str(
        answer(tmp_path)["error"]
    )


async def test_a_reporter_that_is_killed_while_it_sends_goes_on(proxy: Proxy, tmp_path: Path) -> None:
    address, sink = proxy.server.address(endpoint=proxy.url), ConfigMap()
    async with running(tmp_path, address, sink):
        await eventually(lambda: (tmp_path / "run/resumed.json").exists())
        proxy.judge = lambda request: Fault((503, "SlowDown")) if request.query.get("partNumber") == "3" else Fault()
        leave_model(tmp_path, size=5_000_000)
        await eventually(lambda: "UploadPart answers SlowDown" in sink.progress.waiting)
    assert answer(tmp_path) == {}
    proxy.judge, proxy.seen = lambda _: Fault(), []
    async with running(tmp_path, address, sink):
        await eventually(lambda: answer(tmp_path))
    assert [each for each in proxy.seen if "partNumber=1" in each or "partNumber=2" in each] == []
    assert "uri" in answer(tmp_path)
    assert proxy.server.uploads(BASE) == []


# --- checkpoints --------------------------------------------------------------------------------------------------
@pytest.fixture
def attempts(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Checkpoints]:
    """Starts another Pod of the run: an empty run folder, and the same bucket."""
    count = iter(range(100))

    def start() -> Checkpoints:
        run_dir = tmp_path / f"run-{next(count)}"
        (run_dir / "staging").mkdir(parents=True)
        monkeypatch.setenv("PANAL_RUN_DIR", str(run_dir))
        bucket = Bucket(Service(server.address(), lambda: connected(server.address(), CREDENTIALS)), BASE, run_dir / "staging")
        return Checkpoints(run_dir, BucketShelf(bucket, run_dir / "staging"))

    return start


def write(at: Checkpoints, round_: int) -> None:
    checkpoint.write(round_, [("w", np.full(3, float(round_)))], {"about": f"round {round_}"})
    at.take(round_, Snapshot(Progress(rounds_completed=round_), {"cluster1": list(range(1, round_ + 1))}))


def test_the_next_aggregator_goes_on_from_the_bucket(server: Server, attempts: Callable[[], Checkpoints]) -> None:
    first = attempts()
    assert first.restore() == ""
    assert checkpoint.last() is None
    for round_ in (1, 2, 3):
        write(first, round_)
        assert first.store_newest() == round_
    files = ["checkpoint.json", "model.json", "model.npz"]
    assert server.objects(BASE) == [f"checkpoints/{round_:06d}/{name}" for round_ in (2, 3) for name in files]
    second = attempts()
    assert second.restore() == ""
    saved = checkpoint.last()
    assert saved
    assert (saved.round, saved.state["about"], saved.arrays()["w"].tolist()) == (3, "round 3", [3.0] * 3)
    before = second.restored(3)
    assert before
    assert before.clusters == {"cluster1": [1, 2, 3]}
    second.remove()
    assert server.objects(BASE) == []


@pytest.mark.parametrize("damage", ["changed", "missing", "no list"])
def test_a_damaged_checkpoint_is_not_used(server: Server, attempts: Callable[[], Checkpoints], damage: str) -> None:
    at = attempts()
    for round_ in (1, 2):
        write(at, round_)
        at.store_newest()
    folder, client = f"{BASE}/checkpoints/000002", server.client()
    match damage:
        case "changed":
            client.put_object(Bucket=BUCKET, Key=f"{folder}/model.npz", Body=b"other")
        case "missing":
            client.delete_object(Bucket=BUCKET, Key=f"{folder}/model.npz")
        case _:
            client.delete_object(Bucket=BUCKET, Key=f"{folder}/checkpoint.json")
    later = attempts()
    assert ("round 2 cannot be read" in later.restore()) == (damage != "no list")  # one without a list is one that was being written
    saved = checkpoint.last()
    assert saved
    assert saved.round == 1
    write(later, 2)
    assert later.store_newest() == 2
    assert attempts().restore() == ""


def test_a_run_that_starts_again_drops_later_checkpoints(server: Server, attempts: Callable[[], Checkpoints]) -> None:
    at = attempts()
    for round_ in (6, 7):
        write(at, round_)
        at.store_newest()
    again = attempts()
    again.restore()
    write(again, 1)
    again.store_newest()
    assert {name.split("/")[1] for name in server.objects(BASE)} == {"000001"}


async def test_a_file_is_read_back_by_the_program_that_downloads_it(
    tmp_path: Path, server: Server, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    sink = ConfigMap()
    where = server.address()
    async with running(tmp_path, where, sink):
        leave_model(tmp_path)
        await eventually(lambda: sink.progress.model)
    await asyncio.to_thread(giving.give, "model.safetensors", environment(tmp_path, where) | CREDENTIALS)
    model = sink.progress.model
    assert model
    assert f"sha256:{hashlib.sha256(capfdbinary.readouterr().out).hexdigest()}" == model.digest


async def test_a_validation_reads_the_model_from_the_bucket_and_stores_its_results_there(tmp_path: Path, server: Server) -> None:
    sink = ConfigMap()
    where = server.address()
    async with running(tmp_path, where, sink):
        leave_model(tmp_path)
        await eventually(lambda: sink.progress.model)
    model = sink.progress.model
    assert model
    before = set(server.objects(BASE))
    for name in ("model", "results", "scratch"):
        (tmp_path / name).mkdir(exist_ok=True)
    cell = {"cell_type": "code", "source": "1", "outputs": [{"output_type": "display_data", "data": {executed.METRICS: {"accuracy": 0.5}}}]}
    (tmp_path / "results/notebook.ipynb").write_text(json.dumps({"cells": [cell], "nbformat": 4}))
    (tmp_path / "results/report.html").write_text("<html>")
    store = run_folder.opened(environment(tmp_path, where) | CREDENTIALS, tmp_path / "scratch")
    await asyncio.to_thread(fetching.copy, store, tmp_path / "model", "model.safetensors", model.digest)
    assert (tmp_path / "model/model.safetensors").stat().st_size == model.size
    assert (tmp_path / "model/metadata.json").exists()
    with pytest.raises(run_folder.ResultError, match="somebody has changed it"):
        await asyncio.to_thread(fetching.copy, store, tmp_path / "model", "model.safetensors", "sha256:other")
    result = await asyncio.to_thread(validating.collect, store, tmp_path / "results", tmp_path / "scratch")
    assert result.metrics == {"accuracy": 0.5}
    added = {f"validation/{name}" for name in ("metrics.json", "notebook.ipynb", "report.html")}
    assert set(server.objects(BASE)) - before == added


async def test_an_export_is_stored_in_the_bucket_and_read_from_it(tmp_path: Path, server: Server) -> None:
    where = server.address()
    for name in ("model", "results/files/data", "scratch"):
        (tmp_path / name).mkdir(parents=True, exist_ok=True)
    (tmp_path / "results/report.json").write_text('{"function": "app:export"}')
    for name in ("model.onnx", "data/weights"):
        (tmp_path / "results/files" / name).write_text(name)
    store = run_folder.opened(environment(tmp_path, where) | CREDENTIALS, tmp_path / "scratch")
    before = set(server.objects(BASE))
    result = await asyncio.to_thread(exporting.collect, store, tmp_path / "results", tmp_path / "scratch")
    assert set(server.objects(BASE)) - before == {"export/data/weights", "export/export.json", "export/model.onnx"}
    await asyncio.to_thread(fetching.copy_export, store, tmp_path / "model", result.digest)
    assert (tmp_path / "model/export/data/weights").read_text() == "data/weights"
    with pytest.raises(run_folder.ResultError, match="somebody has changed it"):
        await asyncio.to_thread(fetching.copy_export, store, tmp_path / "model", f"sha256:{'0' * 64}")
