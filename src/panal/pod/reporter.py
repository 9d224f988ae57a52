"""The reporter, a sidecar of the aggregator: puts its parts together, runs them, and ends them in order.

| part | what it does |
|---|---|
| `record_reader` | reads the records of the run into `state`, the history and the checkpoints |
| `progress_map` | writes the progress to the ConfigMap `<run>-progress` |
| `historian` | stores the rounds beside the model, and writes them to the ConfigMap `<run>-history` |
| `evaluator` | stores the table of an evaluation |
| `models` | stores the models and the app's files |
| `bringer` | brings the model with which the run begins |
| `checkpoint_keeper` | stores the checkpoints |
| `followers` | tells MLflow and an OTLP endpoint of the run |
| `gatekeeper` | keeps the gateway's files up to date |

Only the reporter mounts the storage volume and the ServiceAccount token. Its input comes from the user's image and is not trusted; its
output is bounded (`fold`). It can be killed and restarted at any time: it reads its input from the beginning and gets the same result.
While the API server is unavailable it retries. The main container, and with it the Job, waits for `stored.json` or
`evaluated.json`, which are written when the ConfigMap has the result.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import time
from collections.abc import Callable, Mapping

from panal.api.history import FILE as HISTORY
from panal.api.names import MLFLOW_CREDENTIALS, OTLP_HEADERS
from panal.api.progress import Progress, UpdateCounts
from panal.kube.client import Client
from panal.kube.logs import log_to_stdout
from panal.pod.bringer import Bringer
from panal.pod.checkpoint_keeper import CheckpointKeeper
from panal.pod.checkpointing import Checkpoints
from panal.pod.evaluator import Evaluator
from panal.pod.followers import Followers
from panal.pod.gatekeeper import Gatekeeper, Gateway
from panal.pod.historian import Historian
from panal.pod.history import HistoryLog
from panal.pod.initial_model import CREDENTIALS
from panal.pod.models import Models
from panal.pod.pausing import pause
from panal.pod.progress_map import ConfigMapSink, ProgressMap, Sink
from panal.pod.publishing import InBucket, Storage, Volume
from panal.pod.record_reader import RecordReader
from panal.pod.service import SECRETS
from panal.pod.settings import Settings
from panal.pod.state import State
from panal.pod.storage_errors import StorageError
from panal.pod.tools.files import PROGRESS, ROUNDS, SPENT, STORING
from panal.pod.tools.proxies import exclude_loopback
from panal.pod.tools.tail import Tail

log = logging.getLogger("panal.reporter")

# Seconds:
POLL = 0.2  # between two reads of the records
PAUSE = 0.5  # after a write, which batches a burst of records
LONGEST_RETRY = 5.0
LAST_WRITE = 16.0  # after SIGTERM; shorter than the Pod's grace period


class Reporter:
    """`credentials`: of a bucket and of those that follow the run, by variable. `run` ends when `stop` is set."""

    def __init__(self, settings: Settings, sink: Sink, gateway: Gateway, credentials: Mapping[str, str] | None = None) -> None:
        credentials = credentials or {}
        touch = (settings.run_dir / STORING).touch
        self.settings, self.stop = settings, asyncio.Event()
        self._state = state = State(Progress(attempt=settings.attempt, updates=UpdateCounts() if settings.private else None))
        self._storage = _opened(settings, credentials, state, touch)
        history = HistoryLog(settings.run, settings.attempt, gateway.bytes_by_cluster)
        self._historian = Historian(history, settings.place.folder, lambda: state.progress, sink.write_history)
        self._map = ProgressMap(state, gateway, sink, settings.run_dir / ROUNDS, settings.run_dir / SPENT)
        checkpoints = Checkpoints(settings.run_dir, self._storage.shelf)
        initial = Bringer(settings, state, self._storage.shelf, credentials, touch)
        self._keeper = CheckpointKeeper(checkpoints, state, self._map, self._storage, initial)
        self._records = RecordReader(Tail(settings.run_dir / PROGRESS), state, gateway, self._historian, checkpoints)
        self.followers = Followers(settings, credentials, history, state)
        self._evaluator = Evaluator(settings, state, self._map, self._storage.publish, touch)
        self._models = Models(settings, state, self._records, self._map, self._historian, self._storage, self.followers, touch, self.stop)

    async def run(self) -> None:
        """Runs until `stop` is set, then writes what is left."""
        await self._historian.load()
        await self._records.read()  # all of them, before anything is written or sent that depends on them
        self.followers.start()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._end_storage())
            tasks.create_task(self._models.run())
            tasks.create_task(self._evaluator.run(self.stop))
            tasks.create_task(self._keeper.run(self.stop))
            tasks.create_task(self._historian.store(self.stop))
            tasks.create_task(self._historian.report(self.stop))
            tasks.create_task(self._write_progress())
        await self.followers.stop()
        await self._write_last()

    async def _end_storage(self) -> None:
        await self.stop.wait()
        self._storage.end()

    async def _write_progress(self) -> None:
        retry = POLL
        while not self.stop.is_set():
            await self._records.read()
            if await self._map.sync():
                retry = POLL
                await pause(self.stop, PAUSE if self._map.current else POLL)
            else:
                await pause(self.stop, retry)
                retry = min(retry * 2, LONGEST_RETRY)

    async def _write_last(self) -> None:
        await self._records.read()
        end = time.monotonic() + LAST_WRITE
        await self._write_until(end)
        await self._end_followers()
        await self._write_until(end)
        await self._historian.write_change()
        await asyncio.to_thread(self._publish_last)
        await self._keeper.remove_if_done()

    async def _write_until(self, end: float) -> None:
        while not self._map.current and time.monotonic() < end:
            await self._map.sync()
            await asyncio.sleep(POLL)

    async def _end_followers(self) -> None:
        if self.followers:
            await asyncio.to_thread(self._historian.save)
            await self.followers.end(self._state.progress.result, self.settings.place.folder / HISTORY)

    def _publish_last(self) -> None:
        self._historian.save()
        try:
            self._storage.publish()
        except (OSError, StorageError) as error:
            log.warning("the history is not stored: %s", error)


def _opened(settings: Settings, credentials: Mapping[str, str], state: State, touch: Callable[[], None]) -> Storage:
    if settings.bucket is None:
        return Volume.at(settings.place.folder)

    def tell(trouble: str) -> None:
        state.trouble = trouble

    return InBucket.at(settings.bucket, credentials, settings.place, settings.mount, touch, tell)


async def _main() -> None:
    settings = Settings.read(os.environ)
    of_secret = settings.bucket is not None and bool(settings.bucket.secret)
    wanted = (*(SECRETS if of_secret else ()), *CREDENTIALS, *MLFLOW_CREDENTIALS, OTLP_HEADERS)
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
