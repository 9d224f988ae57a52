"""Registers the model in MLflow: `python3 -m panal.pod.registering`, the last step of the Job `<run>-publication`.

The files are artifacts of a run of MLflow: that of `spec.tracking.mlflow` if it is on the same server, else one that is found by the tag
`panal.uid`, or created. The version is created in one request with its tags, of which `panal.uid` and `panal.model.digest` identify it: a
Job that was killed at any moment finds its version, and never makes a second one. A server that is away is asked again.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from panal.api.names import MLFLOW_CREDENTIALS
from panal.api.status import PublishedMLflow
from panal.api.text import shown
from panal.kube.logs import log_to_stdout
from panal.pod.packing import FOLDER, lineage, packed
from panal.pod.storing import METADATA
from panal.pod.tools.proxies import exclude_loopback
from panal.pod.tracking.follower import Follower, ServerError, parsed
from panal.pod.tracking.mlflow import authorization
from panal.pod.tracking.points import BATCH, artifact_path, name_of

log = logging.getLogger("panal.registering")

WHERE = "spec.publish.mlflow"
FIRST, LONGEST = 1.0, 60.0  # seconds between two attempts
LEFT = 120.0  # seconds before the end of the Job, to say what is wrong
PIECE = 1 << 20
MADE = "panal.publication"  # the tag of a run of MLflow that was created here
FINAL = (400, 401, 403, 404, 405, 409)  # answers that another attempt does not change


class RefusedError(ServerError):
    """Another attempt does not help."""


@dataclass(slots=True)
class Registry(Follower):
    """`content` is what the controller says (`lifecycle.publication`)."""

    content: Mapping[str, Any] = field(kw_only=True)

    @classmethod
    def of(cls, content: Mapping[str, Any], credentials: Mapping[str, str]) -> Registry:
        server = (f"{WHERE}.uri", content["uri"], content["authorities"], content["bundle"])
        return cls(*server, lambda _: None, authorization(credentials), content=content)

    async def send(self) -> None: ...

    async def end(self, result: str, history: Path) -> None: ...

    async def register(self, model: Path, metadata: Mapping[str, Any], scratch: Path) -> PublishedMLflow:
        """The version, new or known. `model` is the model's file, beside which the exported files are. Raises ServerError."""
        try:
            return await self._register(model, metadata, scratch)
        except (KeyError, IndexError, TypeError, AttributeError) as error:
            raise RefusedError(f"{WHERE}.uri: {self.address} does not answer as MLflow does") from error

    async def _register(self, model: Path, metadata: Mapping[str, Any], scratch: Path) -> PublishedMLflow:
        tags = lineage(self.content["run"], self.content["about"], metadata)
        await self._create_model()
        if (known := await self._known(tags)) is not None:
            return self._published(known)
        run = await self._run(metadata)
        number, artifacts = str(run["info"]["run_id"]), str(run["info"].get("artifact_uri") or "")
        path = artifact_path(artifacts)
        if path is None:
            raise RefusedError(f"{WHERE}.uri: the server does not take artifacts (mlflow server --artifacts-destination)")
        for name, file in packed(model, number, scratch).items():
            await self._ask("PUT", f"api/2.0/mlflow-artifacts/artifacts/{path}/{FOLDER}/{name}", large=True, data=_pieces(file))
        body = {"name": self.content["name"], "source": f"{artifacts}/{FOLDER}", "run_id": number, "tags": _listed(tags)}
        return self._published((await self._post("model-versions/create", body))["model_version"])

    def _published(self, version: Mapping[str, Any]) -> PublishedMLflow:
        name, number = str(version["name"]), str(version["version"])
        return PublishedMLflow(name=name, version=number, uri=f"models:/{name}/{number}")

    async def _create_model(self) -> None:
        try:
            await self._post("registered-models/create", {"name": self.content["name"]})
        except ServerError as error:
            if error.code != "RESOURCE_ALREADY_EXISTS":
                raise

    async def _known(self, tags: Mapping[str, str]) -> Mapping[str, Any] | None:
        """The version of this run's model, if an earlier attempt has created it."""
        wanted = {name: tags[name] for name in ("panal.uid", "panal.model.digest")}
        terms = [f"name = '{self.content['name']}'", *(f"tags.`{name}` = '{value}'" for name, value in wanted.items())]
        found = (await self._get("model-versions/search", filter=" AND ".join(terms), max_results="10")).get("model_versions") or []
        return min(found, key=lambda each: int(each["version"]), default=None)

    async def _run(self, metadata: Mapping[str, Any]) -> Mapping[str, Any]:
        """The run of MLflow that holds the files."""
        experiment, run = await self._experiment(), self.content["run"]
        query = {"experiment_ids": [experiment], "filter": f"tags.`panal.uid` = '{run['uid']}'", "max_results": 1}
        found = (await self._post("runs/search", query)).get("runs")
        made: Mapping[str, Any] = found[0] if found else await self._create_run(experiment)
        if not found or _is_open(made):
            await self._finish(made["info"], metadata)
        return made

    async def _create_run(self, experiment: str) -> Mapping[str, Any]:
        run = self.content["run"]
        about = {f"panal.{name}": value for name, value in run.items()} | {"mlflow.source.name": "panal", MADE: "true"}
        body = {"experiment_id": experiment, "run_name": f"{run['namespace']}/{run['name']}", "start_time": _now(), "tags": _listed(about)}
        made: Mapping[str, Any] = (await self._post("runs/create", body))["run"]
        return made

    async def _finish(self, info: Mapping[str, Any], metadata: Mapping[str, Any]) -> None:
        """Sends the metrics of the model, and ends the run. Another attempt sends the same points; MLflow keeps one."""
        number, round_ = info["run_id"], int((metadata.get("model") or {}).get("round") or 0)
        metrics = {name_of(str(name)): value for name, value in (metadata.get("metrics") or {}).items() if isinstance(value, int | float)}
        time_ = int(info["start_time"])
        points = [{"key": name, "value": value, "timestamp": time_, "step": round_} for name, value in list(metrics.items())[:BATCH]]
        try:
            await self._post("runs/log-batch", {"run_id": number, "metrics": points})
        except ServerError as error:
            if error.code != "INVALID_PARAMETER_VALUE":
                raise
            log.warning("the metrics are not in MLflow: %s", shown(str(error), 400))
        await self._post("runs/update", {"run_id": number, "status": "FINISHED", "end_time": _now()})

    async def _experiment(self) -> str:
        name = self.content["experiment"]
        try:
            return str((await self._post("experiments/create", {"name": name}))["experiment_id"])
        except ServerError as error:
            if error.code != "RESOURCE_ALREADY_EXISTS":
                raise
        found = (await self._get("experiments/get-by-name", experiment_name=name))["experiment"]
        if found.get("lifecycle_stage") == "deleted":
            raise RefusedError(f"{WHERE}: the experiment {name} is deleted; restore it")
        return str(found["experiment_id"])

    async def _post(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        return await self._ask("POST", f"api/2.0/mlflow/{path}", json=body)

    async def _get(self, path: str, **query: str) -> dict[str, Any]:
        return await self._ask("GET", f"api/2.0/mlflow/{path}", params=query)

    async def _ask(self, method: str, path: str, large: bool = False, **what: Any) -> dict[str, Any]:
        status, text = await self.request(method, path, large, **what)
        body = parsed(text)
        if status == 200 and (large or isinstance(body, dict)):  # the answer to an upload is empty
            return body or {}
        if status == 200:
            raise RefusedError(f"{WHERE}.uri: {self.address} does not answer as MLflow does")
        code, why = (str(body.get(key) or "") for key in ("error_code", "message")) if isinstance(body, dict) else ("", text.strip())
        if status in (401, 403):
            secret = f"the Secret {self.content['secret']}" if self.content["secret"] else "no Secret is named"
            raise RefusedError(f"{WHERE}.secretName: the server refuses the credentials ({secret}): {shown(why, 200)}", code)
        kind = RefusedError if status in FINAL else ServerError
        raise kind(f"{WHERE}.uri: the server answers {status}: {shown(why, 200)}", code)


def _is_open(run: Mapping[str, Any]) -> bool:
    """Whether an earlier attempt has created the run, and not ended it. That of the tracking is not touched."""
    tags = {each["key"] for each in (run.get("data") or {}).get("tags") or ()}
    return MADE in tags and run["info"].get("status") != "FINISHED"


def _now() -> int:
    return round(1000 * time.time())


def _listed(tags: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"key": key, "value": value} for key, value in tags.items()]


async def _pieces(file: Path) -> AsyncIterator[bytes]:
    with file.open("rb") as source:
        while piece := await asyncio.to_thread(source.read, PIECE):
            yield piece


async def publish(env: Mapping[str, str], scratch: Path) -> PublishedMLflow:
    """Tries until it succeeds, or the time is over. Raises ServerError."""
    content = json.loads(env["PANAL_PUBLISH"])
    model = Path(env["PANAL_MODEL"])
    metadata = json.loads((model.parent / METADATA).read_bytes())
    registry = Registry.of(content, {key: env[key] for key in MLFLOW_CREDENTIALS if key in env})
    end, pause = time.monotonic() + content["seconds"] - LEFT, FIRST
    try:
        while True:
            try:
                return await registry.register(model, metadata, scratch)
            except RefusedError:
                raise
            except ServerError as error:
                if time.monotonic() + pause > end:
                    raise
                log.warning("%s", shown(str(error), 400))
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST)
    finally:
        await registry.close()


def main() -> None:
    log_to_stdout()
    exclude_loopback(os.environ)
    try:
        found = asyncio.run(publish(os.environ, Path("/tmp")))
    except (ServerError, OSError, ValueError) as error:
        sys.exit(shown(str(error), 1000))
    Path(os.environ.get("PANAL_TERMINATION_LOG", "/dev/termination-log")).write_text(found.model_dump_json(by_alias=True))


if __name__ == "__main__":
    main()
