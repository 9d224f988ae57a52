"""All that follow the run, as `spec.tracking` names them: MLflow and an OTLP endpoint, or none."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

from panal.api.names import MLFLOW_CREDENTIALS, OTLP_HEADERS
from panal.pod.history import HistoryLog, Row
from panal.pod.settings import Settings
from panal.pod.state import State
from panal.pod.tracking.follower import Follower
from panal.pod.tracking.mlflow import MLflow
from panal.pod.tracking.otlp import WHERE as TRACED
from panal.pod.tracking.otlp import Tracer, headers_of

log = logging.getLogger("panal.reporter")

LAST = 8.0  # seconds after SIGTERM in which they get the end of the run


class Followers:
    def __init__(self, settings: Settings, credentials: Mapping[str, str], history: HistoryLog, state: State) -> None:
        """`credentials`: of all of them, by variable. What fails becomes a condition of the run, in `state`."""
        self._all: Sequence[Follower] = tuple(_followers(settings, credentials, history, state))
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        self._tasks = [asyncio.create_task(each.follow()) for each in self._all]

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def model(self, folder: Path, names: Sequence[str], tags: Mapping[str, str], touch: Callable[[], None]) -> None:
        """These files of `folder` are a model."""
        for each in self._all:
            await each.model(folder, names, tags, touch)

    async def end(self, result: str, history: Path) -> None:
        """The run has ended; `result` is empty if another aggregator may go on. Then nothing can be sent any more."""
        try:
            async with asyncio.timeout(LAST):
                await asyncio.gather(*(each.end(result, history) for each in self._all))
        except TimeoutError:
            log.warning("not all that follow the run were told of its end in time")
        await self.close()

    async def close(self) -> None:
        for each in self._all:
            await each.close()

    def __bool__(self) -> bool:
        return bool(self._all)


def _followers(settings: Settings, credentials: Mapping[str, str], history: HistoryLog, state: State) -> Iterator[Follower]:
    def rows() -> list[Row]:
        return list(history.rows)

    if tracking := settings.tracking:
        secrets = {key: credentials[key] for key in MLFLOW_CREDENTIALS if key in credentials}
        yield MLflow.of(tracking, settings.run, rows, partial(state.untold, "mlflow"), secrets)
    if telemetry := settings.telemetry:
        yield Tracer(
            f"{TRACED}.endpoint",
            telemetry.endpoint,
            telemetry.authorities,
            telemetry.bundle,
            headers_of(credentials.get(OTLP_HEADERS, "")),
            partial(state.untold, "openTelemetry"),
            telemetry=telemetry,
            run=settings.run,
            attempt_uid=settings.attempt,
            folder=settings.place.folder,
            rows=rows,
            times=lambda: (state.announced, state.started),
        )
