"""The publication of a model, after its export and its validation."""

import json
from dataclasses import replace

import pytest

from panal.api.names import MLFLOW_CREDENTIALS
from panal.api.status import ExportStatus, Phase, Published, PublishedMLflow, PublishedModelRegistry, ValidationStatus
from panal.lifecycle.decide import decide
from panal.lifecycle.support import unsupported
from panal.lifecycle.world import ContainerView
from worlds import MODEL, NOW, ago, applied, done, job, pod, run, status_after

MLFLOW = {"uri": "https://mlflow.example.com", "name": "digits", "secretName": "mlflow", "caBundle": {"name": "ca"}}
DIGEST = f"sha256:{'a' * 64}"


def completed(spec=None, status=None, **changes):
    spec = {"publish": {"mlflow": MLFLOW}} | (spec or {})
    before = done(run=run(done().run.status, **spec))
    after = status_after(before)
    conditions = [*after.conditions, *(c for c in (status or {}).pop("more", []))]
    after = after.model_copy(update={"conditions": conditions, **(status or {})})
    return replace(before, **({"run": run(after, **spec), "works": {}} | changes))


def decided(name, truth):
    some = done().run.status.conditions[0]
    return some.model_copy(update={"type": name, "status": truth})


def condition(plan):
    return next(c for c in plan.status.conditions if c.type == "Published")


def said(job):
    """What the container `publish` is told."""
    (publish,) = job["spec"]["template"]["spec"]["containers"]
    return json.loads(next(each["value"] for each in publish["env"] if each["name"] == "PANAL_PUBLISH"))


def published(message):
    return job(pod(ContainerView("model", "x", exit_code=0), ContainerView("publish", "x", exit_code=0, message=message)), succeeded=True)


def test_the_servers_credentials_are_for_our_container_that_has_no_storage():
    plan = decide(completed(), NOW)
    (made,) = applied(plan, "Job")
    assert made["metadata"]["name"] == "digits-publication"
    assert (condition(plan).status, condition(plan).reason) == ("Unknown", "Publishing")
    spec = made["spec"]["template"]["spec"]
    (copying,), (publish,) = spec["initContainers"], spec["containers"]
    assert {copying["image"], publish["image"]} == {"panal/pod-tools:1"}
    mounts = {"model": True, "scratch": False, "mlflow-authorities": True}
    assert {m["name"]: m.get("readOnly", False) for m in publish["volumeMounts"]} == mounts
    assert "MLFLOW_TRACKING_TOKEN" in {each["name"] for each in publish["env"]}
    assert not any("MLFLOW" in each["name"] or "PUBLISH" in each["name"] for each in copying["env"])
    assert spec["automountServiceAccountToken"] is False
    content = said(made)
    server = content["mlflow"]
    assert (server["uri"], server["name"], server["experiment"]) == ("https://mlflow.example.com", "digits", "digits")
    assert server["authorities"] == "/panal/publish/mlflow/ca.crt"
    assert "modelRegistry" not in content
    assert content["run"] == {"namespace": "ns", "name": "digits", "uid": done().run.uid}
    assert content["about"]["model.digest"] == MODEL.digest
    assert content["about"]["image.server"] == "example/app:1"


def test_the_run_of_the_tracking_is_used_if_it_is_on_the_same_server():
    for uri, experiment in (("https://mlflow.example.com/", "rounds"), ("https://other.example.com", "digits")):
        tracking = {"mlflow": {"uri": uri, "experiment": "rounds"}}
        (made,) = applied(decide(completed(spec={"tracking": tracking}), NOW), "Job")
        assert said(made)["mlflow"]["experiment"] == experiment


def test_both_registries_are_one_job_with_the_credentials_of_each():
    registry = {"uri": "https://registry.example.com", "name": "scores", "secretName": "registry", "caBundle": {"name": "other-ca"}}
    export = ExportStatus(uri="pvc://x/export", count=1, size=1, digest=DIGEST, time=NOW)
    plan = decide(completed(spec={"publish": {"mlflow": MLFLOW, "modelRegistry": registry}}, status={"export": export}), NOW)
    (made,) = applied(plan, "Job")
    spec = made["spec"]["template"]["spec"]
    (publish,) = spec["containers"]
    secrets = {each["name"]: each["valueFrom"]["secretKeyRef"]["name"] for each in publish["env"] if "valueFrom" in each}
    assert secrets == {**dict.fromkeys(MLFLOW_CREDENTIALS, "mlflow"), "MODEL_REGISTRY_TOKEN": "registry"}
    sources = {each["name"]: each["configMap"]["name"] for each in spec["volumes"] if "configMap" in each}
    assert sources == {"mlflow-authorities": "ca", "modelregistry-authorities": "other-ca"}
    assert said(made)["modelRegistry"] == {
        "uri": "https://registry.example.com",
        "name": "scores",
        "secret": "registry",
        "bundle": "key ca.crt of ConfigMap other-ca",
        "authorities": "/panal/publish/modelRegistry/ca.crt",
        "model": MODEL.uri,
        "export": "pvc://x/export",
    }
    alone = decide(completed(spec={"publish": {"modelRegistry": {"uri": registry["uri"], "name": "scores"}}}), NOW)
    content = said(applied(alone, "Job")[0])
    assert "mlflow" not in content
    assert content["modelRegistry"]["export"] == ""


def test_nothing_is_published_if_no_registry_is_named():
    assert applied(decide(completed(spec={"publish": {}}), NOW), "Job") == []


def test_it_waits_for_the_export_and_the_validation():
    validation = {"image": "example/validate:1"}
    exporting = MODEL.model_copy(update={"export": "a:b"})
    for more, name in (
        ([], "digits-export"),
        ([decided("Exported", "True")], "digits-validation"),
        ([decided("Exported", "True"), decided("Validated", "Unknown")], "digits-validation"),
        ([decided("Exported", "True"), decided("Validated", "True")], "digits-publication"),
    ):
        world = completed(spec={"validation": validation}, status={"model": exporting, "more": more})
        assert [each["metadata"]["name"] for each in applied(decide(world, NOW), "Job")] == [name]


@pytest.mark.parametrize("failed", ["Exported", "Validated"])
def test_a_model_whose_export_or_validation_failed_is_not_published(failed):
    exporting = MODEL.model_copy(update={"export": "a:b"})
    other = "Validated" if failed == "Exported" else "Exported"
    more = [decided(failed, "False"), decided(other, "True")]
    plan = decide(completed(spec={"validation": {"image": "x"}}, status={"model": exporting, "more": more}), NOW)
    assert plan.apply == ()
    assert (condition(plan).status, condition(plan).reason) == ("False", "NotPublished")
    assert f"because the condition {failed} is False" in condition(plan).message
    assert plan.status.phase is Phase.COMPLETED


def test_the_version_becomes_the_status_once():
    found = PublishedMLflow(name="digits", version="3", uri="models:/digits/3")
    world = completed(publication=published(Published(mlflow=found).model_dump_json(by_alias=True)))
    plan = decide(world, NOW)
    assert (condition(plan).status, condition(plan).reason) == ("True", "Published")
    assert plan.status.publish.mlflow == found
    assert [(e.type, e.reason, e.message) for e in plan.events] == [("Normal", "Published", "version 3 of digits: models:/digits/3")]
    later = decide(replace(world, publication=None, run=replace(world.run, status=plan.status)), NOW)
    assert (later.status, later.apply, later.events) == (None, (), ())


def test_it_is_published_when_all_registries_have_their_version():
    registry = {"uri": "https://registry.example.com", "name": "scores"}
    asked = {"publish": {"mlflow": MLFLOW, "modelRegistry": registry}}
    one = PublishedMLflow(name="digits", version="3", uri="models:/digits/3")
    other = PublishedModelRegistry(
        name="scores", version="digits-a-b", id="7", uri="model-registry://registry.example.com/scores/digits-a-b"
    )
    half = published(Published(mlflow=one).model_dump_json(by_alias=True))
    assert condition(decide(completed(spec=asked, publication=half), NOW)).status == "False"
    whole = published(Published(mlflow=one, model_registry=other).model_dump_json(by_alias=True))
    plan = decide(completed(spec=asked, publication=whole), NOW)
    assert condition(plan).status == "True"
    assert (plan.status.publish.mlflow, plan.status.publish.model_registry) == (one, other)
    (event,) = plan.events
    assert event.message == f"version 3 of digits: models:/digits/3; version digits-a-b of scores: {other.uri}"


def test_a_publication_that_fails_says_why():
    refused = ContainerView("publish", "x", exit_code=1, message="spec.publish.mlflow.secretName: the server refuses the credentials")
    plan = decide(completed(publication=job(pod(refused), failed=True, created=ago(20))), NOW)
    assert (condition(plan).status, condition(plan).reason) == ("False", "PublishFailed")
    assert "spec.publish.mlflow.secretName: the server refuses" in condition(plan).message
    forged = decide(completed(publication=published("{}")), NOW)
    assert "its result cannot be read" in condition(forged).message


def test_what_was_found_is_told():
    export = ExportStatus(uri="pvc://x/export", count=1, size=1, digest=DIGEST, time=NOW)
    validation = ValidationStatus(metrics={"accuracy": 0.9}, time=NOW)
    more = [decided("Validated", "True")]
    world = completed(spec={"validation": {"image": "x"}}, status={"export": export, "validation": validation, "more": more})
    (made,) = applied(decide(world, NOW), "Job")
    about = said(made)["about"]
    assert about["validated"] == "True"
    assert json.loads(about["validation.metrics"]) == {"accuracy": 0.9}
    assert about["export.digest"] == DIGEST


@pytest.mark.parametrize("publish", [{"mlflow": MLFLOW}, {"modelRegistry": {"uri": "https://registry.example.com", "name": "digits"}}])
def test_a_bucket_without_a_secret_cannot_be_read_after_the_run(publish):
    spec = {"publish": publish, "server": {"storage": {"type": "S3Bucket", "s3": {"bucketName": "models"}}}}
    found = unsupported("digits", run(**spec).spec)
    assert found
    assert found.message.startswith("spec.publish: a bucket needs spec.server.storage.s3.secretName")
