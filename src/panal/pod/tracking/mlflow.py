"""Tracks the run in MLflow, by its REST API: parameters, the points of each round, the model and the history. Part of the reporter.

The MLflow run is found by the tag `panal.uid`, so every aggregator of a run goes on with the same one. Tags say whether its parameters were
sent, and which is the last round whose points were; those that are sent again after a crash have the same time and step, and MLflow keeps
one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from panal.api.text import shown
from panal.pod.history import Row
from panal.pod.tracking.follower import LOOK, Follower
from panal.pod.tracking.mlflow_api import MLflowApi, authorization, listed, now
from panal.pod.tracking.points import (
    BATCH,
    CUT,
    DIVERGED,
    LOGGED,
    PARAMETERS,
    PARAMETERS_LOGGED,
    REFUSED,
    artifact_path,
    batches,
    diverged,
    parameters,
    points,
)  # fmt: skip
from panal.pod.tracking.server import ServerError
from panal.pod.tracking.settings import Tracking
from panal.pod.tracking.unsent import mark, unlogged

UPLOADING, LONGEST_UPLOAD = 60.0, 1800.0  # seconds that a run waits for a server which takes nothing of its model; and altogether
WHERE = "spec.tracking.mlflow"


@dataclass(slots=True)
class MLflow(Follower):
    """`run` has namespace, name and uid. `rows` returns those of the history."""

    tracking: Tracking = field(kw_only=True)
    run: Mapping[str, str] = field(kw_only=True)
    rows: Callable[[], Sequence[Row]] = field(kw_only=True)
    _id: str = ""
    _artifacts: str | None = None
    _logged: str = ""  # the mark of the last row
    _diverged: bool = False
    _one: asyncio.Lock = field(default_factory=asyncio.Lock)
    _api: MLflowApi = field(init=False)

    @classmethod
    def of(
        cls,
        tracking: Tracking,
        run: Mapping[str, str],
        rows: Callable[[], Sequence[Row]],
        say: Callable[[str], None],
        credentials: Mapping[str, str],
    ) -> MLflow:
        server = (f"{WHERE}.uri", tracking.uri, tracking.authorities, tracking.bundle)
        return cls(*server, authorization(credentials), say, tracking=tracking, run=run, rows=rows)

    def __post_init__(self) -> None:
        self._api = MLflowApi(self, WHERE, self.tracking.secret)

    async def send(self) -> None:
        async with self._one:
            if not self._id:
                await self._begin()
            for row in unlogged(self.rows(), self._logged):
                tags = {LOGGED: mark(row), **await self._send_points(row)}
                if (found := diverged(row)) and not self._diverged:
                    tags[DIVERGED], self._diverged = found, True
                await self._tag(tags)
                self._logged = mark(row)
            self.say("")

    async def _send_points(self, row: Row) -> dict[str, str]:
        """Returns a tag about points that the server does not take: they do not hold up the others."""
        refused = {}
        for batch in batches(points(row), BATCH):
            try:
                await self._api.post("runs/log-batch", {"run_id": self._id, "metrics": batch})
            except ServerError as error:
                if error.code != "INVALID_PARAMETER_VALUE":
                    raise
                refused[REFUSED] = shown(f"round {row.round}: {error}", 400)
        return refused

    async def model(self, folder: Path, names: Sequence[str], tags: Mapping[str, str], touch: Callable[[], None]) -> None:
        """Uploads these files of `folder`, and says so if that is not possible."""
        loop = asyncio.get_running_loop()
        end = loop.time() + LONGEST_UPLOAD
        try:
            async with asyncio.timeout(UPLOADING) as limit:

                def progress() -> None:
                    touch()
                    limit.reschedule(min(loop.time() + UPLOADING, end))

                while not await self.attempt(self._send_model([folder / name for name in names], tags, progress)):
                    touch()
                    await asyncio.sleep(LOOK)
        except TimeoutError:
            self.tell(f"{WHERE}.uri: {self.address} does not take the model")

    async def _send_model(self, files: Sequence[Path], tags: Mapping[str, str], progress: Callable[[], None]) -> None:
        await self.send()
        await self._tag({f"panal.model.{name}": value for name, value in tags.items()})
        await self._upload(files, progress)

    async def end(self, result: str, history: Path) -> None:
        """FINISHED, or KILLED without a result."""
        await self.attempt(self._end("FINISHED" if result else "KILLED", history))

    async def _end(self, status: str, history: Path) -> None:
        await self.send()
        if await asyncio.to_thread(history.is_file):
            await self._upload([history], lambda: None)
        await self._api.post("runs/update", {"run_id": self._id, "status": status, "end_time": now()})

    # --- the run of MLflow ----------------------------------------------------------------------------------------
    async def _begin(self) -> None:
        """Finds the run, or creates it."""
        try:
            await self._find_or_create()
        except (KeyError, IndexError, TypeError, AttributeError) as error:
            raise ServerError(f"{WHERE}.uri: {self.tracking.uri} does not answer as MLflow does") from error

    async def _find_or_create(self) -> None:
        name = self.tracking.experiment
        experiment = await self._api.experiment(name, f"{WHERE}.experiment: {name} is deleted; restore it, or name another one")
        found = await self._api.find_run(experiment, self.run["uid"])
        made = found or await self._api.create_run(experiment, self.run, {})
        number, tags = str(made["info"]["run_id"]), {each["key"]: each["value"] for each in made["data"].get("tags") or ()}
        self._logged, self._diverged = str(tags.get(LOGGED, "")), DIVERGED in tags
        self._artifacts = artifact_path(str(made["info"].get("artifact_uri") or ""))
        if found:
            await self._api.post("runs/update", {"run_id": number, "status": "RUNNING"})
        if PARAMETERS_LOGGED not in tags:
            await self._send_parameters(number)
        self._id = number

    async def _send_parameters(self, number: str) -> None:
        sent, cut = parameters(self.tracking.parameters)
        for batch in batches(sent, PARAMETERS):
            await self._api.post("runs/log-batch", {"run_id": number, "params": batch})
        tags = {PARAMETERS_LOGGED: str(len(sent))} | ({CUT: ", ".join(cut)} if cut else {})
        await self._tag(tags, number)

    async def _tag(self, tags: Mapping[str, str], number: str = "") -> None:
        await self._api.post("runs/log-batch", {"run_id": number or self._id, "tags": listed(tags)})

    async def _upload(self, files: Sequence[Path], touch: Callable[[], None]) -> None:
        if self._artifacts is None:
            raise ServerError(
                f"{WHERE}.uri: the server does not take artifacts (mlflow server --artifacts-destination), so the model is not there"
            )
        for file in files:
            await self._api.upload(f"{self._artifacts}/{file.name}", file, touch)
