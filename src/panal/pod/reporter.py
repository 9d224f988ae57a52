"""The reporter, a sidecar of the aggregator: writes the progress to the ConfigMap `<run>-progress` and the rounds to `<run>-history`
(`historian`), stores the models, the history and the app's files, and keeps the gateway's files up to date (`gatekeeper`).

Only the reporter mounts the storage volume and the ServiceAccount token. Its input comes from the user's image and is not trusted; its
output is bounded (`fold`). It can be killed and restarted at any time: it reads its input from the beginning and gets the same result.
While the API server is unavailable it retries. The main container, and with it the Job, waits for `stored.json`, which is written when the
ConfigMap names the model.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import time
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from panal.api.history import FILE as HISTORY
from panal.api.names import KEY_PROGRESS, KEY_ROUNDS, MLFLOW_CREDENTIALS, OTLP_HEADERS, RUN_DIR, STORAGE_DIR, WORK_DIR, history, progress
from panal.api.progress import Progress
from panal.api.text import shown
from panal.api.types import ModelStatus
from panal.kube.client import Client
from panal.kube.errors import KubeError
from panal.kube.kinds import CONFIG_MAP
from panal.kube.logs import log_to_stdout
from panal.pod.checkpointing import Checkpoints, Snapshot
from panal.pod.collecting import Collector
from panal.pod.fold import bounded, fold, resumed
from panal.pod.gatekeeper import Gatekeeper
from panal.pod.historian import Historian, pause
from panal.pod.history import History
from panal.pod.mlflow import MLflow
from panal.pod.otlp import WHERE as TRACED
from panal.pod.otlp import Tracer, headers_of
from panal.pod.publishing import InBucket, Storage, Volume
from panal.pod.service import SECRETS
from panal.pod.shelf import DamagedError
from panal.pod.storage_errors import Address, StorageError
from panal.pod.storing import METADATA, Place, participated, store
from panal.pod.tensors import UnstorableError
from panal.pod.tools.codes import END, MAX_TEXT, TRAIN, Doubt
from panal.pod.tools.files import ARRAYS, MODEL, MODELS, PROGRESS, ROUNDS, STORED, STORING, replace
from panal.pod.tools.proxies import exclude_loopback
from panal.pod.tools.records import Bundle, Checkpoint, InvalidRecordError, Notice, Record, Resumed, Round, Started, parse
from panal.pod.tools.tail import Tail
from panal.pod.tracking import Telemetry, Tracking

log = logging.getLogger("panal.reporter")

# Seconds:
POLL = 0.2  # between two reads of the files
PAUSE = 0.5  # after a write, which batches a burst of records
READ_INTERVAL = 5.0  # between two reads of the ConfigMap while there is nothing to write
LONGEST_RETRY = 5.0
REFRESH = 300.0  # after this time the gateway's traffic is written even if the progress has not changed
HUB_TIMEOUT = 540.0  # until a model counts as stored although the API server is unavailable
LAST_TRACK = 8.0  # after SIGTERM, for MLflow
LAST_WRITE = 16.0  # after SIGTERM; shorter than the Pod's grace period
ATTEMPTS = 3  # to store a model, because network file systems fail temporarily
MAX_ANSWER = 1000  # characters
# Raised for a malformed model.json or model.npz, which come from the user's image.
UNSTORABLE = (
    OSError, StorageError, UnstorableError, zipfile.BadZipFile, KeyError, ValueError, TypeError, AttributeError, IndexError, OverflowError,
    MemoryError, RuntimeError,
)  # fmt: skip


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


def _data(config_map: Mapping[str, Any]) -> Mapping[str, str]:
    return config_map.get("data") or {}


@dataclass(frozen=True, slots=True)
class Settings:
    run_dir: Path
    place: Place
    run: Mapping[str, str]  # namespace, name and uid, for metadata.json
    attempt: str
    work_dir: Path = Path(WORK_DIR)
    mount: Path = Path(STORAGE_DIR)
    bucket: Address | None = None  # None: `mount` is the volume on which the run is stored
    tracking: Tracking | None = None
    telemetry: Telemetry | None = None

    @classmethod
    def read(cls, env: Mapping[str, str]) -> Settings:
        run = (env["PANAL_NAMESPACE"], env["PANAL_RUN"], env["PANAL_RUN_UID"])
        mount = Path(env.get("PANAL_STORAGE_DIR", STORAGE_DIR))
        return cls(
            run_dir=Path(env.get("PANAL_RUN_DIR", RUN_DIR)),
            place=Place.read(env),
            run=dict(zip(("namespace", "name", "uid"), run, strict=True)),
            attempt=env.get("PANAL_ATTEMPT", ""),
            work_dir=Path(env.get("PANAL_WORK_DIR", WORK_DIR)),
            mount=mount,
            bucket=Address.read(env),
            tracking=Tracking.read(env),
            telemetry=Telemetry.read(env),
        )


class Gateway(Protocol):
    """The aggregator's gateway (`gatekeeper`)."""

    def report(self) -> Mapping[str, str]:
        """Further data for the ConfigMap `<run>-progress`: certificate request and traffic."""
        ...

    def bytes_by_cluster(self) -> Mapping[str, tuple[int, int]]:
        """Bytes received and sent."""
        ...

    async def measure(self) -> None:
        """Brings them up to date."""
        ...


@dataclass(slots=True)
class Reporter:
    settings: Settings
    sink: Sink
    gateway: Gateway
    credentials: Mapping[str, str] = field(default_factory=dict)  # of a bucket and of MLflow, by variable
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    state: Progress = field(init=False)
    clusters: dict[str, list[int]] = field(default_factory=dict)  # the rounds to which each cluster contributed
    written: str = ""  # the progress that the ConfigMap has
    written_at: float = 0.0
    rounds: str = ""
    read_at: float = 0.0
    stored: dict[str, dict[str, Any]] = field(default_factory=dict)  # number of the model -> its status, or an error
    trouble: str = ""  # for which the storage is tried again
    storage: Storage = field(init=False)
    checkpoints: Checkpoints = field(init=False)
    historian: Historian = field(init=False)
    followers: list[MLflow | Tracer] = field(init=False)  # who tell others of the run
    untold: dict[str, str] = field(default_factory=dict)  # why they cannot
    announced: float | None = None  # when the app was, in seconds since 1970
    started: float | None = None  # when the training was
    _tail: Tail = field(init=False)
    _reading: asyncio.Lock = field(default_factory=asyncio.Lock)

    def __post_init__(self) -> None:
        self.state = Progress(attempt=self.settings.attempt)
        self.storage = self._opened()
        self.checkpoints = Checkpoints(self.settings.run_dir, self.storage.shelf)
        rows = History(self.settings.run, self.settings.attempt, self.gateway.bytes_by_cluster)
        self.historian = Historian(rows, self.settings.place.folder, lambda: self.state, self.sink.write_history)
        self.followers = list(self._followers(rows))
        self._tail = Tail(self.settings.run_dir / PROGRESS)
        self.stored = _read(self.settings.run_dir / STORED) or {}
        for found in self.stored.values():
            if "error" not in found:
                self.state = self.state.model_copy(update={"model": ModelStatus.model_validate(found)})

    def _opened(self) -> Storage:
        place, bucket = self.settings.place, self.settings.bucket
        if bucket is None:
            return Volume.at(place.folder)
        return InBucket.at(bucket, self.credentials, place, self.settings.mount, self._touch, self._tell)

    def _tell(self, trouble: str) -> None:
        self.trouble = trouble

    def _followers(self, history: History) -> Iterator[MLflow | Tracer]:
        settings, rows = self.settings, lambda: list(history.rows)
        if tracking := settings.tracking:
            secrets = {key: self.credentials[key] for key in MLFLOW_CREDENTIALS if key in self.credentials}
            yield MLflow.of(tracking, settings.run, rows, partial(self._untold, "mlflow"), secrets)
        if telemetry := settings.telemetry:
            server = (f"{TRACED}.endpoint", telemetry.endpoint, telemetry.authorities, telemetry.bundle)
            yield Tracer(
                *server,
                partial(self._untold, "openTelemetry"),
                headers_of(self.credentials.get(OTLP_HEADERS, "")),
                telemetry=telemetry,
                run=settings.run,
                attempt_uid=settings.attempt,
                folder=settings.place.folder,
                rows=rows,
                times=lambda: (self.announced, self.started),
            )

    def _untold(self, whom: str, trouble: str) -> None:
        """A condition of the run, as long as it is so."""
        self.untold = {**self.untold, whom: trouble}
        others = {kind: text for kind, text in self.state.notices.items() if kind != Doubt.TRACKING_FAILED}
        self.state = self.state.model_copy(update={"notices": others})
        if found := "; ".join(text for text in self.untold.values() if text):
            self.state = fold(self.state, Notice(kind=Doubt.TRACKING_FAILED, message=found))

    async def run(self) -> None:
        """Runs until `stop` is set, then writes what is left."""
        await self.historian.load()
        await self._read_records()  # all of them, before anything is written or sent that depends on them
        following = [asyncio.create_task(each.follow()) for each in self.followers]
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._end_storage())
            tasks.create_task(self._store_models())
            tasks.create_task(self._store_checkpoints())
            tasks.create_task(self.historian.store(self.stop))
            tasks.create_task(self.historian.report(self.stop))
            tasks.create_task(self._sync_loop())
        for task in following:
            task.cancel()
        await asyncio.gather(*following, return_exceptions=True)
        await self._write_last()

    async def _end_storage(self) -> None:
        await self.stop.wait()
        self.storage.end()

    async def _write_last(self) -> None:
        await self._read_records()
        end = time.monotonic() + LAST_WRITE
        await self._write_until(end)
        await self._end_tracking()
        await self._write_until(end)
        await self.historian.write_change()
        await asyncio.to_thread(self._publish_last)
        await self._remove_checkpoints()

    async def _write_until(self, end: float) -> None:
        while self.text() != self.written and time.monotonic() < end:
            await self.sync()
            await asyncio.sleep(POLL)

    async def _end_tracking(self) -> None:
        if not self.followers:
            return
        await asyncio.to_thread(self.historian.save)
        file = self.settings.place.folder / HISTORY
        try:
            async with asyncio.timeout(LAST_TRACK):
                await asyncio.gather(*(each.end(self.state.result, file) for each in self.followers))
        except TimeoutError:
            log.warning("not all that follow the run were told of its end in time")
        for each in self.followers:
            await each.close()

    def _publish_last(self) -> None:
        self.historian.save()
        try:
            self.storage.publish()
        except (OSError, StorageError) as error:
            log.warning("the history is not stored: %s", error)

    async def _sync_loop(self) -> None:
        while not self.stop.is_set():
            await self._read_records()
            await self.sync()
            await pause(self.stop, PAUSE if self.text() == self.written else POLL)

    async def _read_records(self) -> None:
        async with self._reading:
            found = [record for line in self._tail.poll() if (record := _parsed(line)) is not None]
            if any(isinstance(each, Round) and each.phase == END for each in found):
                await self.gateway.measure()
            for record in found:
                self.state = fold(self.state, record)
                self._note(record)

    def _note(self, record: Record | None) -> None:
        self.historian.history.note(self.state, record)
        match record:
            case Bundle(time=time_) if self.announced is None:
                self.announced = time_
            case Started(time=time_) if self.started is None:
                self.started = time_
            case Round(phase=phase) if phase == TRAIN:
                participated(self.clusters, record)
            case Checkpoint(round=round_):
                until = {cluster: [each for each in rounds if each <= round_] for cluster, rounds in self.clusters.items()}
                self.checkpoints.take(round_, Snapshot(self.state, until, self.historian.history.packed()))
            case Resumed(round=round_) if (before := self.checkpoints.restored(round_)) is not None:
                self.state = resumed(self.state, before.progress, round_)
                self.clusters = {cluster: list(rounds) for cluster, rounds in before.clusters.items()}
                self.historian.restore(before.history, round_)

    def text(self) -> str:
        state = self.state.model_copy(update={"waiting": shown(self.trouble, MAX_TEXT)}) if self.trouble else self.state
        return bounded(state).model_dump_json(by_alias=True)

    async def sync(self) -> None:
        """Writes changes to the ConfigMap, or reads it if there are none. Retries until it succeeds or `stop` is set."""
        wait = POLL
        while True:
            text = self.text()
            try:
                if text != self.written or time.monotonic() - self.written_at >= REFRESH:
                    self._update_rounds(await self.sink.write({KEY_PROGRESS: text, **self.gateway.report()}))
                    self.written, self.written_at = text, time.monotonic()
                elif time.monotonic() - self.read_at >= READ_INTERVAL:
                    self._update_rounds(await self.sink.read())
                return
            except KubeError as error:
                log.warning("the hub's API: %s", error)
            if self.stop.is_set():
                return
            await pause(self.stop, wait)
            wait = min(wait * 2, LONGEST_RETRY)
            await self._read_records()

    def _update_rounds(self, data: Mapping[str, str]) -> None:
        self.read_at = time.monotonic()
        if self.written and data.get(KEY_PROGRESS) != self.written:
            self.written = ""  # deleted or overwritten: write it again
        wanted = data.get(KEY_ROUNDS, "")
        if wanted.isdigit() and wanted != self.rounds:
            replace(self.settings.run_dir / ROUNDS, wanted)
            self.rounds = wanted

    async def _store_models(self) -> None:
        """Stores the models in the order in which they were handed over, then the app's files."""
        settings, storage = self.settings, self.storage
        place, work = settings.place, settings.work_dir
        collector = Collector(settings.run_dir, work, place, settings.run, self._touch, storage.publish, storage.longest)
        while not self.stop.is_set():
            ended = collector.requested()  # before listing the models: all of them were handed over earlier
            for folder in self._handed_over():
                model = _read(folder / MODEL)
                if model is not None and folder.name not in self.stored:
                    await self._store(folder, {**model, "start": int(folder.name)})
            if ended and (files := await collector.collect_once()) is not None:
                self.state = self.state.model_copy(update={"files": files})
            await pause(self.stop, POLL)

    async def _store_checkpoints(self) -> None:
        """Finds the checkpoint from which the run goes on, then stores each that is handed over. A run with a result needs none."""
        if not await self._found_checkpoint():
            return
        while not self.stop.is_set():
            try:
                round_ = await asyncio.to_thread(self.checkpoints.store_newest)
            except (OSError, DamagedError, StorageError) as error:
                self._doubt(f"the checkpoint could not be stored: {error}")
            else:
                if round_ is not None:
                    log.info("stored the checkpoint of round %d", round_)
                    self.state = self.state.model_copy(update={"checkpoint": round_})
            await self._remove_checkpoints()
            await pause(self.stop, POLL)

    async def _found_checkpoint(self) -> bool:
        """Checks the storage, and looks in it for the checkpoint from which the run goes on. A run that cannot store anything ends."""
        try:
            wrong = await asyncio.to_thread(self._restored)
        except StorageError as error:
            log.error("the storage cannot be used: %s", error)
            if not self.stop.is_set():
                self.trouble = ""
                self.state = self.state.model_copy(update={"unusable": shown(str(error), MAX_TEXT)})
            return False
        self._doubt(wrong)
        return True

    def _restored(self) -> str:
        with self.storage.beginning():
            self.storage.check()
            return self.checkpoints.restore()

    async def _remove_checkpoints(self) -> None:
        """Once the ConfigMap has the run's result, nothing will go on from a checkpoint."""
        if self.state.result and self.text() == self.written:
            await asyncio.to_thread(self.checkpoints.remove)

    def _doubt(self, message: str) -> None:
        if message:
            log.warning("%s", message)
            self.state = fold(self.state, Notice(kind=Doubt.CHECKPOINT_FAILED, message=message))

    def _handed_over(self) -> list[Path]:
        return sorted((f for f in (self.settings.run_dir / MODELS).glob("*") if f.name.isdecimal()), key=lambda f: int(f.name))

    async def _store(self, folder: Path, model: Mapping[str, Any]) -> None:
        try:
            status = await self._attempt(folder, model)
        except UNSTORABLE as error:
            log.error("the model is not stored: %s", error)
            if isinstance(error, StorageError) and self.stop.is_set():
                return
            self.trouble = ""
            message = shown(f"The model could not be written to {self.settings.place.uri}: {error}", MAX_ANSWER)
            self._answer(folder.name, {"error": message})
            return
        log.info("stored %s, %s, %d bytes", status.uri, status.digest, status.size)
        self.state = self.state.model_copy(update={"model": status})
        await self._until_written(status)
        said = {"uri": status.uri, "digest": status.digest, "round": str(status.round)}
        for each in self.followers:
            await each.model(self.settings.place.folder, [status.uri.rpartition("/")[2], METADATA], said, self._touch)
        self._answer(folder.name, status.model_dump())
        (folder / ARRAYS).unlink(missing_ok=True)

    async def _attempt(self, folder: Path, model: Mapping[str, Any]) -> ModelStatus:
        await self._read_records()
        about = {
            "run": self.settings.run,
            "start": model["start"],
            "app": model.get("app", {}),
            "strategy": model.get("strategy", ""),
            "metrics": model.get("metrics", {}),
            "rounds": model.get("history", {}),
            "clusters": dict(sorted(self.clusters.items())),
        }
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
        status = store(source, model, self.settings.place, about, self._touch)
        self.historian.save()
        self.storage.publish()
        return status

    async def _until_written(self, status: ModelStatus) -> None:
        """Waits until the ConfigMap names the model, so that the hub knows it before the Job ends; at most HUB_TIMEOUT seconds."""
        end = time.monotonic() + HUB_TIMEOUT
        while not self.stop.is_set() and time.monotonic() < end:
            if self.written and Progress.model_validate_json(self.written).model == status:
                return
            self._touch()
            await pause(self.stop, POLL)

    def _touch(self) -> None:
        (self.settings.run_dir / STORING).touch()

    def _answer(self, start: str, content: dict[str, Any]) -> None:
        self.stored[start] = content
        replace(self.settings.run_dir / STORED, json.dumps(self.stored))


def _parsed(line: bytes) -> Record | None:
    try:
        return parse(line)
    except InvalidRecordError as error:
        log.warning("ignored a record of progress.jsonl: %s", error)
        return None


def _read(path: Path) -> dict[str, Any] | None:
    try:
        content = json.loads(path.read_text())
    except (FileNotFoundError, ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) else None


async def _main() -> None:
    settings = Settings.read(os.environ)
    of_secret = settings.bucket is not None and bool(settings.bucket.secret)
    wanted = (*(SECRETS if of_secret else ()), *MLFLOW_CREDENTIALS, OTLP_HEADERS)
    credentials = {name: os.environ.pop(name) for name in wanted if name in os.environ}
    gatekeeper = Gatekeeper.of(os.environ)
    async with Client.from_kubeconfig(timeout=5, field_manager="panal-reporter") as client:
        namespace, run = settings.run["namespace"], settings.run["name"]
        reporter = Reporter(settings, ConfigMapSink(client, namespace, run), gatekeeper, credentials)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, reporter.stop.set)
        keeping = asyncio.create_task(gatekeeper.run(client, namespace, run))
        keeping.add_done_callback(lambda _: reporter.stop.set())
        await reporter.run()
        keeping.cancel()
        await asyncio.wait([keeping])
        if not keeping.cancelled():
            keeping.result()


def main() -> None:
    log_to_stdout()
    exclude_loopback(os.environ)
    asyncio.run(_main())


if __name__ == "__main__":
    main()
