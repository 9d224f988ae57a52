"""The publication of a model, after its export and its validation."""

import json
from dataclasses import replace

import pytest

from panal.api.status import ExportStatus, Phase, PublishedMLflow, ValidationStatus
from panal.lifecycle.decide import decide
from panal.lifecycle.support import unsupported
from panal.lifecycle.world import ContainerView
from worlds import MODEL, NOW, ago, applied, done, job, pod, run, status_after

MLFLOW = {"uri": "https://mlflow.example.com", "name": "digits", "secretName": "mlflow", "caBundle": {"name": "ca"}}
DIGEST = f"sha256:{'a' * 64}"


def completed(mlflow=MLFLOW, spec=None, status=None, **changes):
    spec = {"publish": {"mlflow": mlflow}} | (spec or {})
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
    assert {m["name"]: m.get("readOnly", False) for m in publish["volumeMounts"]} == {"model": True, "scratch": False, "publish": True}
    assert "MLFLOW_TRACKING_TOKEN" in {each["name"] for each in publish["env"]}
    assert not any("MLFLOW" in each["name"] or "PUBLISH" in each["name"] for each in copying["env"])
    assert spec["automountServiceAccountToken"] is False
    content = json.loads(next(each["value"] for each in publish["env"] if each["name"] == "PANAL_PUBLISH"))
    assert (content["uri"], content["name"], content["experiment"]) == ("https://mlflow.example.com", "digits", "digits")
    assert content["authorities"] == "/panal/publish/ca.crt"
    assert content["run"] == {"namespace": "ns", "name": "digits", "uid": done().run.uid}
    assert content["about"]["model.digest"] == MODEL.digest
    assert content["about"]["image.server"] == "example/app:1"


def test_the_run_of_the_tracking_is_used_if_it_is_on_the_same_server():
    for uri, experiment in (("https://mlflow.example.com/", "rounds"), ("https://other.example.com", "digits")):
        tracking = {"mlflow": {"uri": uri, "experiment": "rounds"}}
        (made,) = applied(decide(completed(spec={"tracking": tracking}), NOW), "Job")
        env = {each["name"]: each.get("value") for each in made["spec"]["template"]["spec"]["containers"][0]["env"]}
        assert json.loads(env["PANAL_PUBLISH"])["experiment"] == experiment


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
    world = completed(publication=published(found.model_dump_json(by_alias=True)))
    plan = decide(world, NOW)
    assert (condition(plan).status, condition(plan).reason) == ("True", "Published")
    assert plan.status.publish.mlflow == found
    assert [(e.type, e.reason, e.message) for e in plan.events] == [("Normal", "Published", "version 3 of digits: models:/digits/3")]
    later = decide(replace(world, publication=None, run=replace(world.run, status=plan.status)), NOW)
    assert (later.status, later.apply, later.events) == (None, (), ())


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
    env = {each["name"]: each.get("value") for each in made["spec"]["template"]["spec"]["containers"][0]["env"]}
    about = json.loads(env["PANAL_PUBLISH"])["about"]
    assert about["validated"] == "True"
    assert json.loads(about["validation.metrics"]) == {"accuracy": 0.9}
    assert about["export.digest"] == DIGEST


def test_a_bucket_without_a_secret_cannot_be_read_after_the_run():
    spec = {"publish": {"mlflow": MLFLOW}, "server": {"storage": {"type": "S3Bucket", "s3": {"bucketName": "models"}}}}
    found = unsupported("digits", run(**spec).spec)
    assert found
    assert found.message.startswith("spec.publish: a bucket needs spec.server.storage.s3.secretName")
