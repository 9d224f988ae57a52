"""The model with which a run begins: `spec.server.initialModel`.

A run that names another one waits until that one is Completed; it fails if that one has failed, ends without a model, or does not exist
PATIENCE after this run was created. Then the reporter gets the address of the model, and mounts the volume with it read-only. It copies the
model for the aggregator (`panal.pod.initial_model`), unless the run goes on after a checkpoint.

The digest is that of the other run's status when this run starts. If the aggregator is lost, the next one begins with the same model.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import PurePosixPath
from typing import Any

from panal.api import names
from panal.api.types import S3, InitialModel, Mode, Phase, Spec, StorageType
from panal.lifecycle.reasons import Reason, Trouble
from panal.lifecycle.storage.bucket import CA_FILE, KEYS, address, authorities
from panal.lifecycle.storage.claim import claim_name
from panal.lifecycle.storage.kind import NOTHING, ReporterNeeds, environment
from panal.lifecycle.world import Run, World

FIELD = "spec.server.initialModel"
PATIENCE = timedelta(minutes=5)  # for the run that is named, which may be applied after this one
MOUNT, AUTHORITIES = "/panal/initial", "/panal/initial-authorities"  # in the reporter


@dataclass(frozen=True, slots=True)
class Missing:
    """Why the run does not start. `final`: it never will. `look_again` in seconds."""

    trouble: Trouble
    final: bool
    look_again: float | None = None


def problem(name: str, spec: Spec, *, possible: bool) -> str:
    """What is wrong with the field of the run `name`, or with a mode that needs it; empty if nothing is. `possible`: whether the runtime
    can begin with a given model."""
    wanted = spec.server.initial_model
    if spec.mode is Mode.EVALUATE and not possible:
        return f"spec.mode: Evaluate is not possible with framework {spec.framework}, only with flower"
    if wanted is None:
        return f"{FIELD}: required with mode Evaluate; name the model that is evaluated" if spec.mode is Mode.EVALUATE else ""
    if not possible:
        return f"{FIELD}: not possible with framework {spec.framework}, whose app reads its own initial model; remove it"
    if wanted.run == name:
        return f"{FIELD}.run: the run names itself; name a run that is Completed"
    own = spec.server.storage.s3 if spec.server.storage.type is StorageType.S3_BUCKET else None
    if wanted.uri.startswith("s3://") and (own is None or own.bucket_name != _bucket(wanted.uri)):
        return f"{FIELD}.uri: {_bucket(wanted.uri)} is not the bucket of spec.server.storage, for which the run has credentials"
    return ""


def missing(world: World, now: datetime) -> Missing | None:
    """Why a run that has not started cannot start yet; None if its initial model is there, or if it wants none."""
    wanted = world.run.spec.server.initial_model
    if wanted is None or not wanted.run:
        return None
    what, parent = f"{FIELD}.run: {wanted.run}", world.parent
    if parent is None or parent.deleting_since:
        left = (world.run.created + PATIENCE - now).total_seconds()
        text = f"{what} does not exist in namespace {world.run.namespace}"
        return _never(f"{text}, {PATIENCE.total_seconds() / 60:.0f} minutes after this run was created") if left <= 0 else _wait(text, left)
    if parent.status.phase is Phase.FAILED:
        stored = parent.status.model
        return _never(f"{what} has failed{f', and has left {stored.uri}: uri can name it' if stored else ''}")
    if parent.status.phase is not Phase.COMPLETED:
        return _wait(f"{what} is {parent.status.phase}; this run waits until it is Completed")
    return None if parent.status.model else _never(f"{what} is Completed without a model")


def _wait(text: str, left: float | None = None) -> Missing:
    return Missing(Trouble.of(Reason.INITIAL_MODEL_PENDING, text), False, None if left is None else left + 0.1)


def _never(text: str) -> Missing:
    return Missing(Trouble.of(Reason.INITIAL_MODEL_UNUSABLE, text), True)


def reporter(world: World) -> ReporterNeeds:
    """What the reporter gets to read the model."""
    wanted = world.run.spec.server.initial_model
    if wanted is None:
        return NOTHING
    uri, digest = _model(world, wanted)
    found: dict[str, Any] = {"run": wanted.run, "uri": uri, "digest": digest}
    if not uri:  # the run that it named was deleted before this one could read its model
        return _needs({**found, "path": ""})
    if uri.startswith("s3://"):
        return _in_bucket(world, found)
    if uri.startswith("pvc://"):
        claim, _, path = uri.removeprefix("pvc://").partition("/")
        own = world.run.spec.server.storage.type is StorageType.PERSISTENT_VOLUME_CLAIM and claim == claim_name(world.run)
        if own:  # the kubelet mounts a claim once in a Pod
            return _needs({**found, "path": path}, folder=names.STORAGE_DIR)
        return _needs({**found, "path": path}, {"persistentVolumeClaim": {"claimName": claim, "readOnly": True}})
    file = PurePosixPath(uri.removeprefix("file://"))
    return _needs({**found, "path": file.name}, {"hostPath": {"path": str(file.parent), "type": "Directory"}})


def _model(world: World, wanted: InitialModel) -> tuple[str, str]:
    """URI and expected digest: those with which the run began, if it did."""
    if known := world.run.status.initial_model:
        return known.uri, known.digest
    if wanted.uri:
        return wanted.uri, wanted.digest
    model = world.parent.status.model if world.parent else None
    return (model.uri, model.digest) if model else ("", "")


def _needs(content: dict[str, Any], volume: dict[str, Any] | None = None, folder: str = MOUNT) -> ReporterNeeds:
    env = environment(PANAL_INITIAL_MODEL=json.dumps(content), PANAL_INITIAL_DIR=folder)
    return ReporterNeeds(env, {"initial": (volume, MOUNT)} if volume else {})


def _in_bucket(world: World, found: dict[str, Any]) -> ReporterNeeds:
    """The bucket is that of the run that is named, else the run's own."""
    uri = found["uri"]
    s3 = next((s3 for run in (world.parent, world.run) if run and (s3 := _s3(run)) and s3.bucket_name == _bucket(uri)), None)
    if s3 is None:
        return _needs({**found, "path": ""})
    env = environment(
        PANAL_INITIAL_MODEL=json.dumps({**found, "key": uri.removeprefix("s3://").partition("/")[2], "bucket": address(s3)}),
        PANAL_INITIAL_AUTHORITIES=f"{AUTHORITIES}/{CA_FILE}" if s3.ca_bundle else "",
    )
    keys = KEYS if s3.secret_name else ()
    refs = {key: {"name": s3.secret_name, "key": key, "optional": True} for key in keys}  # without them the reporter says what is wrong
    secrets = tuple({"name": f"{names.INITIAL_PREFIX}{key}", "valueFrom": {"secretKeyRef": ref}} for key, ref in refs.items())
    volumes = {"initial-authorities": (authorities(s3.ca_bundle), AUTHORITIES)} if s3.ca_bundle else {}
    return ReporterNeeds((*env, *secrets), volumes, identity=not s3.secret_name)


def _s3(run: Run) -> S3 | None:
    return run.spec.server.storage.s3 if run.spec.server.storage.type is StorageType.S3_BUCKET else None


def _bucket(uri: str) -> str:
    return uri.removeprefix("s3://").partition("/")[0]
