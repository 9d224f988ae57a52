"""A version of a registered model in MLflow.

The files are artifacts of a run of MLflow: that of `spec.tracking.mlflow` if it is on the same server, else one that is found by the tag
`panal.uid`, or created. The version is created in one request with its tags, of which `panal.uid` and `panal.model.digest` identify it: a
Job that was killed at any moment finds its version, and never makes a second one.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from panal.api.names import MLFLOW_CREDENTIALS
from panal.api.status import PublishedMLflow
from panal.api.text import shown
from panal.pod.registries.lineage import IDENTITY, lineage, metrics, round_of
from panal.pod.registries.packing import FOLDER, packed
from panal.pod.tracking.mlflow_api import MLflowApi, authorization, listed, now
from panal.pod.tracking.points import BATCH, artifact_path, name_of
from panal.pod.tracking.server import Server, ServerError

log = logging.getLogger("panal.registering")

WHERE = "spec.publish.mlflow"
MADE = "panal.publication"  # the tag of a run of MLflow that was created here


class MLflow:
    """`content` is what the controller says (`lifecycle.publication`)."""

    key = "mlflow"

    def __init__(self, content: Mapping[str, Any], credentials: Mapping[str, str]) -> None:
        self.content, self.wanted = content, content[self.key]
        place = (f"{WHERE}.uri", self.wanted["uri"], self.wanted["authorities"], self.wanted["bundle"])
        self.server = Server(*place, authorization({key: credentials[key] for key in MLFLOW_CREDENTIALS if key in credentials}))
        self.api = MLflowApi(self.server, WHERE, self.wanted["secret"])

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
        body = {"name": self.wanted["name"], "source": f"{artifacts}/{FOLDER}", "run_id": number, "tags": listed(tags)}
        return self._published((await self.api.post("model-versions/create", body))["model_version"])

    def _published(self, version: Mapping[str, Any]) -> PublishedMLflow:
        name, number = str(version["name"]), str(version["version"])
        return PublishedMLflow(name=name, version=number, uri=f"models:/{name}/{number}")

    async def _create_model(self) -> None:
        try:
            await self.api.post("registered-models/create", {"name": self.wanted["name"]})
        except ServerError as error:
            if error.code != "RESOURCE_ALREADY_EXISTS":
                raise

    async def _known(self, tags: Mapping[str, str]) -> Mapping[str, Any] | None:
        """The version of this run's model, if an earlier attempt has created it."""
        wanted = {name: tags[name] for name in IDENTITY}
        terms = [f"name = '{self.wanted['name']}'", *(f"tags.`{name}` = '{value}'" for name, value in wanted.items())]
        found = (await self.api.get("model-versions/search", filter=" AND ".join(terms), max_results="10")).get("model_versions") or []
        return min(found, key=lambda each: int(each["version"]), default=None)

    async def _run(self, metadata: Mapping[str, Any]) -> Mapping[str, Any]:
        """The run of MLflow that holds the files."""
        run, name = self.content["run"], self.wanted["experiment"]
        experiment = await self.api.experiment(name, f"{WHERE}: the experiment {name} is deleted; restore it")
        found = await self.api.find_run(experiment, run["uid"])
        made = found or await self.api.create_run(experiment, run, {MADE: "true"})
        if not found or _is_open(made):
            await self._finish(made["info"], metadata)
        return made

    async def _finish(self, info: Mapping[str, Any], metadata: Mapping[str, Any]) -> None:
        """Sends the metrics of the model, and ends the run. Another attempt sends the same points; MLflow keeps one."""
        number, round_, time_ = info["run_id"], round_of(metadata), int(info["start_time"])
        named = {name_of(name): value for name, value in metrics(metadata).items()}
        points = [{"key": name, "value": value, "timestamp": time_, "step": round_} for name, value in list(named.items())[:BATCH]]
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
