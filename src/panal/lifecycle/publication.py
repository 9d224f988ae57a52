"""The publication of the model: `spec.publish`, after the run is Completed, and its export and its validation have succeeded.

The container `publish` is panal's: it gets the copy of the model and the credentials of the server, and registers a version with the model,
the exported files and what is known about the run (`panal.pod.registering`). It mounts no storage. What this Job has in common with the
others that follow a run is in `model_job`.
"""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from panal.api import names, publication
from panal.api.types import PublishMLflow, PublishStatus, Spec, Status
from panal.lifecycle import export, model_job, validation
from panal.lifecycle.model_job import MODEL_DIR, Finding, ModelJob
from panal.lifecycle.reasons import Reason, with_remedy
from panal.lifecycle.storage.bucket import CA_FILE, authorities
from panal.lifecycle.world import Object, Run, World

CONDITION = "Published"
PUBLISH = "publish"  # the container
SECONDS = 3600  # what it may take; a server that is away is asked again
FOLDER = "/panal/publish"  # the authorities


def problem(spec: Spec) -> str:
    """What is wrong with the field; empty if nothing is."""
    return model_job.problem(spec, "spec.publish") if spec.publish and spec.publish.mlflow else ""


def step(world: World, now: datetime) -> ModelJob | None:
    """None if nothing is published. Called when the steps before it have ended."""
    run = world.run
    wanted = run.spec.publish.mlflow if run.spec.publish else None
    if wanted is None:
        return None
    return ModelJob(
        condition=CONDITION,
        name=names.publication(run.name),
        view=world.publication,
        seconds=SECONDS,
        doing=f"the model is registered as {wanted.name} at {wanted.uri}",
        going=Reason.PUBLISHING,
        failed=Reason.PUBLISH_FAILED,
        last=PUBLISH,
        result=lambda message: _result(message, now),
        make=lambda: _job(world, wanted),
        without=_refusal(run.status),
    )


def _refusal(status: Status) -> Finding | None:
    failed = next((each for each in (export.CONDITION, validation.CONDITION) if model_job.truth(status, each) == "False"), None)
    if failed is None:
        return None
    why = f"the model is not published, because the condition {failed} is False"
    return Finding("False", Reason.NOT_PUBLISHED, with_remedy(Reason.NOT_PUBLISHED, why))


def _result(message: str, now: datetime) -> Finding | None:
    found = publication.read(message)
    if found is None:
        return None
    status = PublishStatus(mlflow=found, time=now)
    return Finding("True", Reason.PUBLISHED, f"version {found.version} of {found.name}: {found.uri}", {"publish": status})


def _job(world: World, wanted: PublishMLflow) -> Object:
    run = world.run
    env: list[Object] = [{"name": name, "value": value} for name, value in _variables(run, wanted).items()]
    secrets = ({"name": wanted.secret_name, "key": key, "optional": True} for key in names.MLFLOW_CREDENTIALS if wanted.secret_name)
    env += [{"name": each["key"], "valueFrom": {"secretKeyRef": each}} for each in secrets]
    mounts: list[Object] = [
        {"name": "model", "mountPath": MODEL_DIR, "readOnly": True},
        {"name": "scratch", "mountPath": "/tmp"},
        *([{"name": "publish", "mountPath": FOLDER, "readOnly": True}] if wanted.ca_bundle else []),
    ]
    volumes: list[Object] = [{"name": "publish", **authorities(wanted.ca_bundle)}] if wanted.ca_bundle else []
    main = model_job.ours(world, PUBLISH, "panal.pod.registering", env, mounts)
    pod = model_job.pod(world, [model_job.copying(world)], main, volumes)
    return model_job.job(run, names.publication(run.name), "publication", SECONDS, pod)


def _variables(run: Run, wanted: PublishMLflow) -> dict[str, str]:
    bundle, tracking = wanted.ca_bundle, run.spec.tracking.mlflow if run.spec.tracking else None
    content = {
        "uri": wanted.uri,
        "name": wanted.name,
        "experiment": tracking.experiment if tracking and tracking.uri.rstrip("/") == wanted.uri.rstrip("/") else wanted.name,
        "secret": wanted.secret_name,
        "bundle": f"key {bundle.key} of {bundle.kind} {bundle.name}" if bundle else "",
        "authorities": f"{FOLDER}/{CA_FILE}" if bundle else "",
        "seconds": SECONDS,
        "run": {"namespace": run.namespace, "name": run.name, "uid": run.uid},
        "about": _about(run),
    }
    return {"PANAL_PUBLISH": json.dumps(content), **model_job.variables(run), "HOME": "/"}


def _about(run: Run) -> dict[str, str]:
    """What only the hub knows, for the tags of the version."""
    status = run.status
    assert status.model is not None
    found: dict[str, Any] = {
        "model.digest": status.model.digest,
        "model.uri": status.model.uri,
        "model.round": str(status.model.round),
        "image.server": run.spec.server.image,
        "image.client": run.spec.client.image,
        "framework": run.spec.framework,
        "validated": model_job.truth(status, validation.CONDITION) if run.spec.validation else "",
        "validation.metrics": json.dumps(status.validation.metrics) if status.validation else "",
        "export.digest": status.export.digest if status.export else "",
    }
    return {name: value for name, value in found.items() if value}
