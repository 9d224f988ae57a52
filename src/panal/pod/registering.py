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
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from panal.api.names import MLFLOW_CREDENTIALS
from panal.api.status import PublishedMLflow
from panal.api.text import shown
from panal.kube.logs import log_to_stdout
from panal.pod.packing import FOLDER, lineage, packed
from panal.pod.storing import METADATA
from panal.pod.tools.proxies import exclude_loopback
from panal.pod.tracking.mlflow_api import MLflowApi, authorization, listed, now
from panal.pod.tracking.points import BATCH, artifact_path, name_of
from panal.pod.tracking.server import Server, ServerError

log = logging.getLogger("panal.registering")

WHERE = "spec.publish.mlflow"
FIRST, LONGEST = 1.0, 60.0  # seconds between two attempts
LEFT = 120.0  # seconds before the end of the Job, to say what is wrong
MADE = "panal.publication"  # the tag of a run of MLflow that was created here


class Registry:
    """`content` is what the controller says (`lifecycle.publication`)."""

    def __init__(self, content: Mapping[str, Any], credentials: Mapping[str, str]) -> None:
        self.content = content
        place = (f"{WHERE}.uri", content["uri"], content["authorities"], content["bundle"])
        self.server = Server(*place, authorization(credentials))
        self.api = MLflowApi(self.server, WHERE, content["secret"])

    async def register(self, model: Path, metadata: Mapping[str, Any], scratch: Path) -> PublishedMLflow:
        """The version, new or known. `model` is the model's file, beside which the exported files are. Raises ServerError."""
        try:
            return await self._register(model, metadata, scratch)
        except (KeyError, IndexError, TypeError, AttributeError) as error:
            raise ServerError(f"{WHERE}.uri: {self.server.address} does not answer as MLflow does", final=True) from error

    async def _register(self, model: Path, metadata: Mapping[str, Any], scratch: Path) -> PublishedMLflow:
        tags = lineage(self.content["run"], self.content["about"], metadata)
        await self._create_model()
        if (known := await self._known(tags)) is not None:
            return self._published(known)
        run = await self._run(metadata)
        number, artifacts = str(run["info"]["run_id"]), str(run["info"].get("artifact_uri") or "")
        path = artifact_path(artifacts)
        if path is None:
            raise ServerError(f"{WHERE}.uri: the server does not take artifacts (mlflow server --artifacts-destination)", final=True)
        for name, file in packed(model, number, scratch).items():
            await self.api.upload(f"{path}/{FOLDER}/{name}", file)
        body = {"name": self.content["name"], "source": f"{artifacts}/{FOLDER}", "run_id": number, "tags": listed(tags)}
        return self._published((await self.api.post("model-versions/create", body))["model_version"])

    def _published(self, version: Mapping[str, Any]) -> PublishedMLflow:
        name, number = str(version["name"]), str(version["version"])
        return PublishedMLflow(name=name, version=number, uri=f"models:/{name}/{number}")

    async def _create_model(self) -> None:
        try:
            await self.api.post("registered-models/create", {"name": self.content["name"]})
        except ServerError as error:
            if error.code != "RESOURCE_ALREADY_EXISTS":
                raise

    async def _known(self, tags: Mapping[str, str]) -> Mapping[str, Any] | None:
        """The version of this run's model, if an earlier attempt has created it."""
        wanted = {name: tags[name] for name in ("panal.uid", "panal.model.digest")}
        terms = [f"name = '{self.content['name']}'", *(f"tags.`{name}` = '{value}'" for name, value in wanted.items())]
        found = (await self.api.get("model-versions/search", filter=" AND ".join(terms), max_results="10")).get("model_versions") or []
        return min(found, key=lambda each: int(each["version"]), default=None)

    async def _run(self, metadata: Mapping[str, Any]) -> Mapping[str, Any]:
        """The run of MLflow that holds the files."""
        run, name = self.content["run"], self.content["experiment"]
        experiment = await self.api.experiment(name, f"{WHERE}: the experiment {name} is deleted; restore it")
        found = await self.api.find_run(experiment, run["uid"])
        made = found or await self.api.create_run(experiment, run, {MADE: "true"})
        if not found or _is_open(made):
            await self._finish(made["info"], metadata)
        return made

    async def _finish(self, info: Mapping[str, Any], metadata: Mapping[str, Any]) -> None:
        """Sends the metrics of the model, and ends the run. Another attempt sends the same points; MLflow keeps one."""
        number, round_ = info["run_id"], int((metadata.get("model") or {}).get("round") or 0)
        metrics = {name_of(str(name)): value for name, value in (metadata.get("metrics") or {}).items() if isinstance(value, int | float)}
        time_ = int(info["start_time"])
        points = [{"key": name, "value": value, "timestamp": time_, "step": round_} for name, value in list(metrics.items())[:BATCH]]
        try:
            await self.api.post("runs/log-batch", {"run_id": number, "metrics": points})
        except ServerError as error:
            if error.code != "INVALID_PARAMETER_VALUE":
                raise
            log.warning("the metrics are not in MLflow: %s", shown(str(error), 400))
        await self.api.post("runs/update", {"run_id": number, "status": "FINISHED", "end_time": now()})


def _is_open(run: Mapping[str, Any]) -> bool:
    """Whether an earlier attempt has created the run, and not ended it. That of the tracking is not touched."""
    tags = {each["key"] for each in (run.get("data") or {}).get("tags") or ()}
    return MADE in tags and run["info"].get("status") != "FINISHED"


async def publish(env: Mapping[str, str], scratch: Path) -> PublishedMLflow:
    """Tries until it succeeds, or the time is over. Raises ServerError."""
    content = json.loads(env["PANAL_PUBLISH"])
    model = Path(env["PANAL_MODEL"])
    metadata = json.loads((model.parent / METADATA).read_bytes())
    registry = Registry(content, {key: env[key] for key in MLFLOW_CREDENTIALS if key in env})
    end, pause = time.monotonic() + content["seconds"] - LEFT, FIRST
    try:
        while True:
            try:
                return await registry.register(model, metadata, scratch)
            except ServerError as error:
                if error.final or time.monotonic() + pause > end:
                    raise
                log.warning("%s", shown(str(error), 400))
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST)
    finally:
        await registry.server.close()


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
