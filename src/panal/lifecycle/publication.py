"""The publication of the model: `spec.publish`, after the run is Completed, and its export and its validation have succeeded.

The container `publish` is panal's: it gets the copy of the model and the credentials of the servers, and registers a version at each with
what is known about the run (`panal.pod.registering`). It mounts no storage. The condition is True when all servers that the run names have
their version. What this Job has in common with the others that follow a run is in `model_job`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from panal.api import names, publication
from panal.api.types import Publish, PublishMLflow, PublishModelRegistry, PublishStatus, Spec, Status
from panal.lifecycle import export, model_job, validation
from panal.lifecycle.model_job import MODEL_DIR, Finding, ModelJob
from panal.lifecycle.reasons import Reason, with_remedy
from panal.lifecycle.storage.bucket import CA_FILE, authorities
from panal.lifecycle.world import Object, Run, World

CONDITION = "Published"
PUBLISH = "publish"  # the container
SECONDS = 3600  # what it may take; a server that is away is asked again
FOLDER = "/panal/publish"  # the authorities, by server


def problem(spec: Spec) -> str:
    """What is wrong with the field; empty if nothing is."""
    return model_job.problem(spec, "spec.publish") if _asked(spec) else ""


def step(world: World, now: datetime) -> ModelJob | None:
    """None if nothing is published. Called when the steps before it have ended."""
    run, wanted = world.run, _asked(world.run.spec)
    if wanted is None:
        return None
    servers = " and ".join(f"as {each.name} at {each.uri}" for each in (wanted.mlflow, wanted.model_registry) if each)
    return ModelJob(
        condition=CONDITION,
        name=names.publication(run.name),
        view=world.publication,
        seconds=SECONDS,
        doing=f"the model is registered {servers}",
        going=Reason.PUBLISHING,
        failed=Reason.PUBLISH_FAILED,
        last=PUBLISH,
        result=lambda message: _result(message, wanted, now),
        make=lambda: _job(world, wanted),
        without=_refusal(run.status),
    )


def _asked(spec: Spec) -> Publish | None:
    return spec.publish if spec.publish and (spec.publish.mlflow or spec.publish.model_registry) else None


def _refusal(status: Status) -> Finding | None:
    failed = next((each for each in (export.CONDITION, validation.CONDITION) if model_job.truth(status, each) == "False"), None)
    if failed is None:
        return None
    why = f"the model is not published, because the condition {failed} is False"
    return Finding("False", Reason.NOT_PUBLISHED, with_remedy(Reason.NOT_PUBLISHED, why))


def _result(message: str, wanted: Publish, now: datetime) -> Finding | None:
    found = publication.read(message, wanted)
    if found is None:
        return None
    versions = [f"version {each.version} of {each.name}: {each.uri}" for each in (found.mlflow, found.model_registry) if each]
    status = PublishStatus(mlflow=found.mlflow, model_registry=found.model_registry, time=now)
    return Finding("True", Reason.PUBLISHED, "; ".join(versions), {"publish": status})


# --- the Job ----------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class _Server:
    """A server that gets the model: its key in PANAL_PUBLISH, what is said there besides where it is, and the keys of its Secret."""

    key: str
    wanted: PublishMLflow | PublishModelRegistry
    about: Mapping[str, str]
    credentials: Sequence[str]

    @property
    def volume(self) -> str:
        """That of the authorities."""
        return f"{self.key.lower()}-authorities"

    @property
    def folder(self) -> str:
        return f"{FOLDER}/{self.key}"

    def said(self) -> Object:
        wanted, bundle = self.wanted, self.wanted.ca_bundle
        return {
            "uri": wanted.uri,
            "name": wanted.name,
            "secret": wanted.secret_name,
            "bundle": f"key {bundle.key} of {bundle.kind} {bundle.name}" if bundle else "",
            "authorities": f"{self.folder}/{CA_FILE}" if bundle else "",
            **self.about,
        }

    def secrets(self) -> list[Object]:
        keys = ({"name": self.wanted.secret_name, "key": key, "optional": True} for key in self.credentials if self.wanted.secret_name)
        return [{"name": each["key"], "valueFrom": {"secretKeyRef": each}} for each in keys]


def _servers(run: Run, wanted: Publish) -> list[_Server]:
    found: list[_Server] = []
    if wanted.mlflow:
        found.append(_Server("mlflow", wanted.mlflow, {"experiment": _experiment(run, wanted.mlflow)}, names.MLFLOW_CREDENTIALS))
    if wanted.model_registry:
        assert run.status.model is not None
        stored = {"model": run.status.model.uri, "export": run.status.export.uri if run.status.export else ""}
        found.append(_Server("modelRegistry", wanted.model_registry, stored, (names.MODEL_REGISTRY_TOKEN,)))
    return found


def _experiment(run: Run, wanted: PublishMLflow) -> str:
    """That of the tracking if it is on the same server."""
    tracking = run.spec.tracking.mlflow if run.spec.tracking else None
    return tracking.experiment if tracking and tracking.uri.rstrip("/") == wanted.uri.rstrip("/") else wanted.name


def _job(world: World, wanted: Publish) -> Object:
    run = world.run
    servers = _servers(run, wanted)
    env: list[Object] = [{"name": name, "value": value} for name, value in _variables(run, servers).items()]
    env += [secret for each in servers for secret in each.secrets()]
    mounts: list[Object] = [
        {"name": "model", "mountPath": MODEL_DIR, "readOnly": True},
        {"name": "scratch", "mountPath": "/tmp"},
        *({"name": each.volume, "mountPath": each.folder, "readOnly": True} for each in servers if each.wanted.ca_bundle),
    ]
    volumes = [{"name": each.volume, **authorities(each.wanted.ca_bundle)} for each in servers if each.wanted.ca_bundle]
    main = model_job.ours(world, PUBLISH, "panal.pod.registering", env, mounts)
    pod = model_job.pod(world, [model_job.copying(world)], main, volumes)
    return model_job.job(run, names.publication(run.name), "publication", SECONDS, pod)


def _variables(run: Run, servers: Sequence[_Server]) -> dict[str, str]:
    content = {
        "seconds": SECONDS,
        "run": {"namespace": run.namespace, "name": run.name, "uid": run.uid},
        "about": _about(run),
        **{each.key: each.said() for each in servers},
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
