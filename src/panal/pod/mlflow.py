"""Tracks the run in MLflow, by its REST API: parameters, the points of each round, the model and the history. Part of the reporter.

The MLflow run is found by the tag `panal.uid`, so every aggregator of a run goes on with the same one. A tag names the last round whose
points were sent; those that are sent again after a crash have the same time and step, and MLflow keeps one. Nothing here ends a run: what
fails is tried again, and `say` reports it.
"""

from __future__ import annotations

import asyncio
import base64
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from panal.api.text import shown
from panal.pod.history import Row
from panal.pod.server import ServerError, tls
from panal.pod.tracking import (
    BATCH,
    CUT,
    DIVERGED,
    LOGGED,
    PARAMETERS,
    Tracking,
    artifact_path,
    batches,
    diverged,
    mark,
    parameters,
    points,
    unlogged,
)

log = logging.getLogger("panal.reporter")

LOOK = 0.5  # seconds between two looks at the rows
LONGEST_PAUSE = 30.0
ANSWER = 30.0  # seconds for a request; of an artifact, without progress
UPLOADING = 60.0  # seconds that a run waits for a server which does not take its model
KEYS = ("MLFLOW_TRACKING_TOKEN", "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD")
PIECE = 1 << 20
WHERE = "spec.tracking.mlflow"


@dataclass(slots=True)
class MLflow:
    """`run` has namespace, name and uid. `rows` returns those of the history. `say` gets what is wrong; an empty text when it is over."""

    tracking: Tracking
    run: Mapping[str, str]
    rows: Callable[[], Sequence[Row]]
    say: Callable[[str], None]
    credentials: Mapping[str, str] = field(default_factory=dict)
    _http: aiohttp.ClientSession | None = None
    _id: str = ""
    _artifacts: str | None = None
    _logged: str = ""  # the mark of the last row
    _diverged: bool = False
    _one: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def follow(self, stop: asyncio.Event) -> None:
        """Sends rounds as they are complete, until `stop` is set."""
        pause = LOOK
        while not stop.is_set():
            try:
                await self.send()
                pause = LOOK
            except ServerError as error:
                self._tell(error)
                pause = min(2 * pause, LONGEST_PAUSE)
            try:
                async with asyncio.timeout(pause):
                    await stop.wait()
            except TimeoutError:
                continue

    async def send(self) -> None:
        """Raises ServerError."""
        async with self._one:
            await self._begin()
            for row in unlogged(self.rows(), self._logged):
                for batch in batches(points(row), BATCH):
                    await self._post("runs/log-batch", {"run_id": self._id, "metrics": batch})
                tags = {LOGGED: mark(row)}
                if (found := diverged(row)) and not self._diverged:
                    tags[DIVERGED], self._diverged = found, True
                await self._tag(tags)
                self._logged = mark(row)
            self.say("")

    async def model(self, folder: Path, names: Sequence[str], tags: Mapping[str, str], touch: Callable[[], None]) -> None:
        """Uploads these files of `folder`, and says so if that is not possible."""
        until = time.monotonic() + UPLOADING
        while True:
            try:
                await self.send()
                await self._tag({f"panal.model.{name}": value for name, value in tags.items()})
                await self._upload([folder / name for name in names], touch)
            except ServerError as error:
                self._tell(error)
                if time.monotonic() >= until:
                    return
            else:
                return
            touch()
            await asyncio.sleep(LOOK)

    async def end(self, result: str, history: Path) -> None:
        """The last rounds, the history, and FINISHED, or KILLED without a result."""
        status = "FINISHED" if result else "KILLED"
        try:
            await self.send()
            if await asyncio.to_thread(history.is_file):
                await self._upload([history], lambda: None)
            await self._post("runs/update", {"run_id": self._id, "status": status, "end_time": round(1000 * time.time())})
        except ServerError as error:
            self._tell(error)

    async def close(self) -> None:
        if self._http:
            await self._http.close()

    def _tell(self, error: ServerError) -> None:
        log.warning("MLflow: %s", error)
        self.say(shown(str(error), 400))

    # --- the run of MLflow ----------------------------------------------------------------------------------------
    async def _begin(self) -> None:
        """Finds the run, or creates it."""
        if self._id:
            return
        try:
            await self._find_or_create()
        except (KeyError, IndexError, TypeError, AttributeError) as error:
            raise ServerError(f"{WHERE}.uri: {self.tracking.uri} does not answer as MLflow does") from error

    async def _find_or_create(self) -> None:
        experiment = await self._experiment()
        uid = self.run["uid"]
        query = {"experiment_ids": [experiment], "filter": f"tags.`panal.uid` = '{uid}'", "max_results": 1}
        found = (await self._post("runs/search", query)).get("runs") or []
        made = found[0] if found else await self._create(experiment)
        tags = {each["key"]: each["value"] for each in made["data"].get("tags") or ()}
        self._logged, self._diverged = tags.get(LOGGED, ""), DIVERGED in tags
        self._artifacts = artifact_path(str(made["info"].get("artifact_uri") or ""))
        if found:
            await self._post("runs/update", {"run_id": made["info"]["run_id"], "status": "RUNNING"})
        self._id = made["info"]["run_id"]

    async def _experiment(self) -> str:
        name = self.tracking.experiment
        try:
            return str((await self._post("experiments/create", {"name": name}))["experiment_id"])
        except ServerError as error:
            if error.code != "RESOURCE_ALREADY_EXISTS":
                raise
        found = (await self._get("experiments/get-by-name", experiment_name=name))["experiment"]
        if found.get("lifecycle_stage") == "deleted":
            raise ServerError(f"{WHERE}.experiment: {name} is deleted; restore it, or name another one")
        return str(found["experiment_id"])

    async def _create(self, experiment: str) -> dict[str, Any]:
        sent, cut = parameters(self.tracking.parameters)
        about = {f"panal.{name}": value for name, value in self.run.items()} | {"mlflow.source.name": "panal"}
        about |= {CUT: ", ".join(cut)} if cut else {}
        tags = [{"key": key, "value": value} for key, value in about.items()]
        name = f"{self.run['namespace']}/{self.run['name']}"
        body = {"experiment_id": experiment, "run_name": name, "start_time": round(1000 * time.time()), "tags": tags}
        made: dict[str, Any] = (await self._post("runs/create", body))["run"]
        for batch in batches(sent, PARAMETERS):
            await self._post("runs/log-batch", {"run_id": made["info"]["run_id"], "params": batch})
        return made

    async def _tag(self, tags: Mapping[str, str]) -> None:
        body = {"run_id": self._id, "tags": [{"key": key, "value": value} for key, value in tags.items()]}
        await self._post("runs/log-batch", body)

    async def _upload(self, files: Sequence[Path], touch: Callable[[], None]) -> None:
        if self._artifacts is None:
            raise ServerError(
                f"{WHERE}.uri: the server does not take artifacts (mlflow server --artifacts-destination), so the model is not there"
            )
        for file in files:
            await self._ask("PUT", f"api/2.0/mlflow-artifacts/artifacts/{self._artifacts}/{file.name}", data=_pieces(file, touch))

    # --- requests -------------------------------------------------------------------------------------------------
    async def _post(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        return await self._ask("POST", f"api/2.0/mlflow/{path}", json=body)

    async def _get(self, path: str, **query: str) -> dict[str, Any]:
        return await self._ask("GET", f"api/2.0/mlflow/{path}", params=query)

    async def _ask(self, method: str, path: str, **what: Any) -> dict[str, Any]:
        uri = self.tracking.uri.rstrip("/")
        try:
            async with self._session().request(method, f"{uri}/{path}", allow_redirects=False, **what) as response:
                if response.status == 200:
                    found: dict[str, Any] = await response.json(content_type=None)
                    return found
                raise await self._refusal(response)
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise ServerError(f"{WHERE}.uri: {uri} cannot be used: {str(error) or type(error).__name__}") from error

    async def _refusal(self, response: aiohttp.ClientResponse) -> ServerError:
        text = await response.text(errors="replace")
        try:
            body = await response.json(content_type=None)
            code, why = str(body["error_code"]), str(body["message"])
        except (ValueError, KeyError, TypeError):
            code, why = "", text.strip() or response.reason or ""
        if response.status in (401, 403):
            secret = f"the Secret {self.tracking.secret}" if self.tracking.secret else "no Secret is named"
            return ServerError(f"{WHERE}.secretName: the server refuses the credentials ({secret}): {shown(why, 200)}", code)
        return ServerError(f"{WHERE}.uri: the server answers {response.status}: {shown(why, 200)}", code)

    def _session(self) -> aiohttp.ClientSession:
        if self._http is None:
            timeout = aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=ANSWER)
            connector = aiohttp.TCPConnector(ssl=tls(WHERE, self.tracking.authorities, self.tracking.bundle))
            self._http = aiohttp.ClientSession(timeout=timeout, headers=self._headers(), connector=connector)
        return self._http

    def _headers(self) -> dict[str, str]:
        token, user, password = (self.credentials.get(key, "").strip() for key in KEYS)
        if token:
            return {"Authorization": f"Bearer {token}"}
        return {"Authorization": f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"} if user else {}


async def _pieces(file: Path, touch: Callable[[], None]) -> Any:
    with file.open("rb") as source:
        while piece := await asyncio.to_thread(source.read, PIECE):
            touch()
            yield piece
