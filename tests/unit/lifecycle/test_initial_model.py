"""The model with which a run begins: when the run starts, and what its reporter gets."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from panal.api.types import InitialModelStatus, Phase, Status
from panal.lifecycle import initial_model
from panal.lifecycle.aggregator import objects
from panal.lifecycle.decide import decide
from panal.lifecycle.support import unsupported
from panal.lifecycle.world import Run
from worlds import MODEL as OWN
from worlds import NOW, ago, fresh, run, running

OTHER = "sha256:" + "0" * 64
MODEL = OWN.model_copy(update={"uri": "pvc://before-model/ns/before/uid/model.safetensors"})


def parent(status: Status, **server: Any) -> Run:
    return replace(run(status, server=server), name="before", uid="other")


COMPLETED = parent(Status(phase=Phase.COMPLETED, model=MODEL))


def successor(created: float = 60.0, **initial: str) -> Run:
    return replace(run(server={"initialModel": initial or {"run": "before"}}), created=ago(created))


@pytest.mark.parametrize(
    ("before", "created", "phase", "words"),
    [
        (None, 60.0, "Waiting", "before does not exist in namespace ns"),
        (None, 301.0, "Failed", "does not exist in namespace ns, 5 minutes after this run was created"),
        (parent(Status(phase=Phase.RUNNING)), 9999.0, "Waiting", "before is Running; this run waits until it is Completed"),
        (parent(Status(phase=Phase.FAILED)), 60.0, "Failed", "before has failed. Correct"),
        (parent(Status(phase=Phase.FAILED, model=MODEL)), 60.0, "Failed", f"has left {MODEL.uri}: uri can name it"),
        (parent(Status(phase=Phase.COMPLETED)), 60.0, "Failed", "Completed without a model"),
        (replace(COMPLETED, deleting_since=NOW), 60.0, "Waiting", "does not exist"),
    ],
)
def test_a_run_waits_for_the_one_that_it_names(before: Run | None, created: float, phase: str, words: str) -> None:
    plan = decide(fresh(run=successor(created), parent=before), NOW)
    assert plan.status is not None
    assert (plan.status.phase, words in plan.status.message) == (phase, True), plan.status.message
    reasons = {c.type: c.reason for c in plan.status.conditions}
    assert reasons["Failed"] == ("InitialModelUnusable" if phase == "Failed" else "InitialModelPending")
    assert not [each for each in plan.apply if each["kind"] == "Job"]
    if before is None and phase == "Waiting":
        assert plan.look_again == pytest.approx(240.1)


def test_a_run_starts_when_the_other_is_completed() -> None:
    plan = decide(fresh(run=successor(), parent=COMPLETED), NOW)
    assert [each["kind"] for each in plan.apply if each["kind"] == "Job"] == ["Job"]


def content(made: Run, before: Run | None) -> tuple[dict[str, Any], dict[str, Any]]:
    """What the reporter reads, and the Pod's volumes by name."""
    (job,) = (each for each in objects(fresh(run=made, parent=before), []) if each["kind"] == "Job")
    pod = job["spec"]["template"]["spec"]
    (reporter,) = (each for each in pod["initContainers"] if each["name"] == "reporter")
    others = [*(each for each in pod["initContainers"] if each is not reporter), *pod["containers"]]
    assert not [each for other in others for each in other.get("env") or () if each["name"].startswith("PANAL_INITIAL")]
    assert not [each for other in others for each in other.get("volumeMounts") or () if each["name"].startswith("initial")]
    (env,) = (each for each in reporter["env"] if each["name"] == "PANAL_INITIAL_MODEL")
    (warm,) = {each["value"] for other in others for each in other.get("env") or () if each["name"] == "PANAL_WARM_START"}
    assert warm == "true"
    (mount,) = (each["value"] for each in reporter["env"] if each["name"] == "PANAL_INITIAL_DIR")
    return json.loads(env["value"]) | {"mount": mount}, {each.pop("name"): each for each in pod["volumes"]}


def test_the_reporter_mounts_the_other_claim_read_only() -> None:
    found, volumes = content(successor(), COMPLETED)
    path = "ns/before/uid/model.safetensors"
    assert found == {"run": "before", "uri": MODEL.uri, "digest": MODEL.digest, "mount": "/panal/initial", "path": path}
    assert volumes["initial"] == {"persistentVolumeClaim": {"claimName": "before-model", "readOnly": True}}


def test_a_claim_is_mounted_once() -> None:
    found, volumes = content(successor(uri="pvc://digits-model/a/model.safetensors"), None)
    assert (found["mount"], found["path"]) == ("/panal/storage", "a/model.safetensors")
    assert "initial" not in volumes
    found, volumes = content(successor(uri="pvc://elsewhere/a/model.safetensors", digest=OTHER), None)
    assert (found["mount"], found["digest"]) == ("/panal/initial", OTHER)
    assert volumes["initial"] == {"persistentVolumeClaim": {"claimName": "elsewhere", "readOnly": True}}


def test_a_folder_of_the_node() -> None:
    found, volumes = content(successor(uri="file:///srv/models/model.safetensors"), None)
    assert (found["mount"], found["path"]) == ("/panal/initial", "model.safetensors")
    assert volumes["initial"] == {"hostPath": {"path": "/srv/models", "type": "Directory"}}


def test_the_bucket_of_the_other_run_with_its_credentials() -> None:
    s3 = {"bucketName": "models", "endpoint": "https://minio.example.com", "secretName": "theirs", "caBundle": {"name": "ca"}}
    model = MODEL.model_copy(update={"uri": "s3://models/ns/before/uid/model.safetensors"})
    before = parent(Status(phase=Phase.COMPLETED, model=model), storage={"type": "S3Bucket", "s3": s3})
    needs = initial_model.reporter(fresh(run=successor(), parent=before))
    env = {each["name"]: each for each in needs.env}
    found = json.loads(env["PANAL_INITIAL_MODEL"]["value"])
    assert (found["key"], found["bucket"]["endpoint"]) == ("ns/before/uid/model.safetensors", "https://minio.example.com")
    assert env["PANAL_INITIAL_AWS_ACCESS_KEY_ID"]["valueFrom"]["secretKeyRef"]["name"] == "theirs"
    assert env["PANAL_INITIAL_AUTHORITIES"]["value"] == "/panal/initial-authorities/ca.crt"
    assert list(needs.volumes) == ["initial-authorities"]


def test_the_next_aggregator_begins_with_the_same_model() -> None:
    known = Status(initial_model=InitialModelStatus(run="before", uri="pvc://x/model.safetensors", digest=OTHER))
    began = replace(successor(), status=known)
    for before in (COMPLETED, None):
        found, _ = content(began, before)
        assert (found["uri"], found["digest"]) == ("pvc://x/model.safetensors", OTHER)


def test_a_run_that_was_deleted_too_early_is_named_by_the_reporter() -> None:
    found, volumes = content(successor(), None)
    assert (found["uri"], found["path"]) == ("", "")
    assert "initial" not in volumes


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"server": {"initialModel": {"run": "digits"}}}, "the run names itself"),
        ({"server": {"initialModel": {"uri": "s3://other/model.safetensors"}}}, "other is not the bucket of spec.server.storage"),
        ({"framework": "openfl", "server": {"initialModel": {"run": "before"}}}, "not possible with framework openfl"),
    ],
)
def test_what_cannot_be_is_refused_with_the_field(spec: dict[str, Any], words: str) -> None:
    found = unsupported("digits", run(**spec).spec)
    assert found is not None
    assert found.message.startswith("spec.server.initialModel")
    assert words in found.message


def test_a_reporter_that_cannot_read_the_model_ends_the_run_with_that_reason() -> None:
    world = running()
    assert world.progress is not None
    progress = world.progress.model_copy(update={"unusable": "spec.server.initialModel.uri: x", "unusable_reason": "InitialModelUnusable"})
    plan = decide(replace(world, progress=progress), NOW)
    assert plan.status is not None
    assert next(c.reason for c in plan.status.conditions if c.type == "Failed") == "InitialModelUnusable"
