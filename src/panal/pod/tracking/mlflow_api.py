"""The requests of MLflow's REST API that the tracking of a run and the publication of its model have in common."""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from panal.api.names import MLFLOW_CREDENTIALS
from panal.pod.tracking.server import Server, ServerError, parsed, refusal

PIECE = 1 << 20


@dataclass(slots=True)
class MLflowApi:
    """`where` is the field of the run's spec, and `secret` the name of the Secret with the credentials, or empty. All raise ServerError."""

    server: Server
    where: str
    secret: str

    async def post(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        return await self.ask("POST", f"api/2.0/mlflow/{path}", json=body)

    async def get(self, path: str, **query: str) -> dict[str, Any]:
        return await self.ask("GET", f"api/2.0/mlflow/{path}", params=query)

    async def upload(self, path: str, file: Path, touch: Callable[[], None] = lambda: None) -> None:
        """`path` is that of the artifact. `touch` is called for each piece."""
        await self.ask("PUT", f"api/2.0/mlflow-artifacts/artifacts/{path}", large=True, data=_pieces(file, touch))

    async def experiment(self, name: str, deleted: str) -> str:
        """Its number; it is created if it does not exist. `deleted` is the error if somebody has deleted it."""
        try:
            return str((await self.post("experiments/create", {"name": name}))["experiment_id"])
        except ServerError as error:
            if error.code != "RESOURCE_ALREADY_EXISTS":
                raise
        found = (await self.get("experiments/get-by-name", experiment_name=name))["experiment"]
        if found.get("lifecycle_stage") == "deleted":
            raise ServerError(deleted, final=True)
        return str(found["experiment_id"])

    async def find_run(self, experiment: str, uid: str) -> Mapping[str, Any] | None:
        """The run of MLflow with the tag `panal.uid`."""
        query = {"experiment_ids": [experiment], "filter": f"tags.`panal.uid` = '{uid}'", "max_results": 1}
        found = (await self.post("runs/search", query)).get("runs")
        return found[0] if found else None

    async def create_run(self, experiment: str, run: Mapping[str, str], tags: Mapping[str, str]) -> Mapping[str, Any]:
        """`run` has the namespace, name and uid of panal's."""
        about = {f"panal.{name}": value for name, value in run.items()} | {"mlflow.source.name": "panal", **tags}
        body = {"experiment_id": experiment, "run_name": f"{run['namespace']}/{run['name']}", "start_time": now(), "tags": listed(about)}
        made: Mapping[str, Any] = (await self.post("runs/create", body))["run"]
        return made

    async def ask(self, method: str, path: str, large: bool = False, **what: Any) -> dict[str, Any]:
        status, text = await self.server.request(method, path, large, **what)
        body = parsed(text)
        if status == 200 and (large or isinstance(body, dict)):  # the answer to an upload is empty
            return body or {}
        if status == 200:
            raise ServerError(f"{self.where}.uri: {self.server.address} does not answer as MLflow does", final=True)
        code, why = (str(body.get(key) or "") for key in ("error_code", "message")) if isinstance(body, dict) else ("", text.strip())
        raise refusal(self.where, self.secret, status, code, why)


def authorization(credentials: Mapping[str, str]) -> dict[str, str]:
    token, user, password = (credentials.get(key, "").strip() for key in MLFLOW_CREDENTIALS)
    if token:
        return {"Authorization": f"Bearer {token}"}
    return {"Authorization": f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"} if user else {}


def now() -> int:
    """In milliseconds since 1970."""
    return round(1000 * time.time())


def listed(tags: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"key": key, "value": value} for key, value in tags.items()]


async def _pieces(file: Path, touch: Callable[[], None]) -> AsyncIterator[bytes]:
    with file.open("rb") as source:
        while piece := await asyncio.to_thread(source.read, PIECE):
            touch()
            yield piece
