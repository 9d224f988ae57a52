"""The validation of a model by a notebook, after the run is Completed."""

import json
from dataclasses import replace

import pytest

from panal.api.status import Phase
from panal.api.validation import MOST, Result
from panal.lifecycle.decide import decide
from panal.lifecycle.reasons import REMEDY
from panal.lifecycle.support import unsupported
from panal.lifecycle.world import ContainerView, Refusal
from worlds import MODEL, NOW, ago, applied, deleted, done, job, pod, run, status_after

SPEC = {"image": "example/validate:1", "timeoutSeconds": 100}


def completed(**changes):
    """A run with a notebook that has just completed."""
    before = done(run=run(done().run.status, validation=SPEC))
    world = replace(before, run=run(status_after(before), validation=changes.pop("spec", SPEC), server=changes.pop("server", {})))
    return replace(world, **({"works": {}} | changes))


def container(name, code=None, message="", **more):
    return ContainerView(name, "example/validate:1", running=code is None and not more, exit_code=code, message=message, **more)


def ended(message, **changes):
    """The Job after its last container."""
    containers = [container(name, 0) for name in ("tools", "model", "notebook")]
    return job(pod(*containers, container("results", 0, message)), succeeded=True, created=ago(20), **changes)


def condition(plan):
    return next(c for c in plan.status.conditions if c.type == "Validated")


def carried_on(world, plan):
    """The world with the status of the plan."""
    return replace(world, run=replace(world.run, status=plan.status))


def test_a_completed_run_gets_a_job_and_stays_completed():
    world = completed()
    plan = decide(world, NOW)
    (made,) = applied(plan, "Job")
    assert made["metadata"]["name"] == "digits-validation"
    assert made["metadata"]["ownerReferences"][0]["name"] == "digits"
    assert (condition(plan).status, condition(plan).reason) == ("Unknown", "Validating")
    assert plan.status.phase is Phase.COMPLETED
    assert plan.status.model == MODEL
    assert plan.events == ()
    again = decide(carried_on(world, plan), NOW)
    assert again.status is None, "an unchanged status is not written again"
    assert applied(again, "Job") == [made]


def test_only_a_completed_run_with_a_model_and_a_notebook_is_validated():
    world = completed()
    for status in (
        world.run.status.model_copy(update={"phase": Phase.FAILED}),
        world.run.status.model_copy(update={"model": None}),
    ):
        plan = decide(replace(world, run=replace(world.run, status=status)), NOW)
        assert plan.status is None
        assert plan.apply == ()
    assert decide(completed(spec=None), NOW).apply == ()


def test_the_notebooks_container_can_change_nothing_and_knows_nothing():
    (made,) = applied(decide(completed(), NOW), "Job")
    spec = made["spec"]["template"]["spec"]
    tools, copying, notebook = spec["initContainers"]
    (storing,) = spec["containers"]
    assert [each["name"] for each in (tools, copying, notebook, storing)] == ["tools", "model", "notebook", "results"]
    mounts = {each["name"]: {m["name"]: m.get("readOnly", False) for m in each["volumeMounts"]} for each in (copying, notebook, storing)}
    assert mounts["model"]["storage"] is True
    assert mounts["notebook"] == {"tools": True, "model": True, "results": False, "tmp": False}
    assert mounts["results"]["storage"] is False
    assert mounts["results"]["results"] is True
    assert spec["automountServiceAccountToken"] is False
    assert "serviceAccountName" not in spec
    assert notebook["image"] == "example/validate:1"
    assert {copying["image"], storing["image"]} == {"panal/pod-tools:1"}
    for each in (copying, notebook, storing):
        assert each["securityContext"]["readOnlyRootFilesystem"] is True
        assert each["terminationMessagePolicy"] == "FallbackToLogsOnError"
    assert notebook["command"][3:] == [
        "execute", "notebooks/validate.ipynb", "/panal/results/notebook.ipynb", "/panal/results/report.html", "0", "100",
    ]  # fmt: skip
    env = {each["name"]: each.get("value") for each in notebook["env"]}
    assert env["PANAL_MODEL"] == "/panal/model/model.safetensors"
    assert not any(name.startswith(("AWS_", "PANAL_STORAGE")) for name in env)
    assert {each["name"]: each.get("value") for each in copying["env"]}["PANAL_MODEL_DIGEST"] == MODEL.digest


def test_the_settings_of_the_notebook_are_its_own_and_its_node_is_the_aggregators():
    spec = SPEC | {"env": [{"name": "A", "value": "b"}, {"name": "PANAL_MODEL", "value": "x"}], "resources": {"limits": {"memory": "1Gi"}}}
    server = {"nodeSelector": {"disk": "ssd"}, "env": [{"name": "TRAINING", "value": "1"}], "imagePullPolicy": "Never"}
    (made,) = applied(decide(completed(spec=spec, server=server), NOW), "Job")
    pod_spec = made["spec"]["template"]["spec"]
    notebook = pod_spec["initContainers"][2]
    env = {each["name"]: each["value"] for each in notebook["env"]}
    assert (env["A"], env["PANAL_MODEL"], "TRAINING" in env) == ("b", "/panal/model/model.safetensors", False)
    assert notebook["resources"] == {"limits": {"memory": "1Gi"}}
    assert notebook["imagePullPolicy"] == "Never"
    assert pod_spec["nodeSelector"] == {"disk": "ssd"}


def test_the_credentials_of_a_bucket_are_for_our_containers():
    s3 = {"bucketName": "models", "secretName": "s3", "endpoint": "https://minio", "caBundle": {"name": "ca"}}
    world = completed(server={"storage": {"type": "S3Bucket", "s3": s3}})
    (made,) = applied(decide(world, NOW), "Job")
    spec = made["spec"]["template"]["spec"]
    for each in (spec["initContainers"][1], spec["containers"][0]):
        assert "AWS_SECRET_ACCESS_KEY" in {e["name"] for e in each["env"]}
        assert "authorities" in {m["name"] for m in each["volumeMounts"]}
    assert "AWS_SECRET_ACCESS_KEY" not in str(spec["initContainers"][2])
    assert "authorities" not in {m["name"] for m in spec["initContainers"][2]["volumeMounts"]}


def test_a_bucket_without_a_secret_cannot_be_read_after_the_run():
    s3 = {"bucketName": "models", "secretName": ""}
    found = unsupported("digits", run(validation=SPEC, server={"storage": {"type": "S3Bucket", "s3": s3}}).spec)
    assert found
    assert found.reason == "InvalidSpec"
    assert "spec.server.storage.s3.secretName" in found.message
    assert unsupported("digits", run(server={"storage": {"type": "S3Bucket", "s3": s3}}).spec) is None


def test_the_numbers_become_the_status_once():
    text = Result(metrics={"accuracy": 0.94, "loss": "NaN"}).message()
    world = completed(validation=ended(text))
    plan = decide(world, NOW)
    assert (condition(plan).status, condition(plan).reason) == ("True", "Validated")
    found = plan.status.validation
    assert (found.metrics, found.non_finite_metrics, found.time) == ({"accuracy": 0.94}, {"loss": "NaN"}, NOW)
    assert found.report == "pvc://digits-model/ns/digits/uid/validation/report.html"
    (event,) = plan.events
    assert (event.type, event.reason) == ("Normal", "Validated")
    assert "accuracy 0.94" in event.message
    later = decide(carried_on(replace(world, validation=None), plan), NOW)
    assert (later.status, later.apply, later.events) == (None, (), ())


def test_a_notebook_that_fails_is_a_condition_and_the_model_stays():
    text = Result(metrics={"accuracy": 0.5}, failure="cell 7 (assert x): AssertionError: \x1b[31mtoo few").message()
    plan = decide(completed(validation=ended(text)), NOW)
    found = condition(plan)
    assert (found.status, found.reason) == ("False", "NotebookFailed")
    assert found.message == f"cell 7 (assert x): AssertionError: \\x1b[31mtoo few. {REMEDY['NotebookFailed']}"
    assert plan.status.phase is Phase.COMPLETED
    assert plan.status.model == MODEL
    assert plan.status.validation.metrics == {"accuracy": 0.5}
    assert [(e.type, e.reason) for e in plan.events] == [("Warning", "NotebookFailed")]


CHANGED = container("model", 1, "a line\nmodel.safetensors in the storage has sha256:x")
KILLED = container("notebook", 137, terminated="OOMKilled")
WITHOUT = container("notebook", 2, "python3 cannot execute a notebook: No module named nbclient")


@pytest.mark.parametrize(
    ("containers", "said"),
    [
        ([CHANGED], "container model ended with exit code 1 (): model.safetensors in the storage has sha256:x"),
        ([container("model", 0), KILLED], "container notebook ended with exit code 137 (OOMKilled)"),
        ([container("model", 0), WITHOUT], "exit code 2 (): python3 cannot execute a notebook: No module named nbclient"),
    ],
)
def test_a_validation_that_cannot_be_done_says_why(containers, said):
    plan = decide(completed(validation=job(pod(*containers), failed=True, failure="BackoffLimitExceeded")), NOW)
    assert (condition(plan).status, condition(plan).reason) == ("False", "ValidationFailed")
    assert said in condition(plan).message
    assert plan.status.validation is None
    assert plan.status.model == MODEL


def test_a_lost_pod_and_a_result_that_is_none_are_failures():
    lost = decide(completed(validation=job(pod(container("model"), reason="Evicted", message="no space"), failed=True)), NOW)
    assert "its Pod was lost (Evicted no space)" in condition(lost).message
    forged = decide(completed(validation=ended(json.dumps({"metrics": {"a": "text"}}))), NOW)
    assert "its result cannot be read" in condition(forged).message


def test_a_result_is_expected_for_a_while_after_the_job():
    world = completed(validation=job(succeeded=True, created=ago(20)))
    plan = decide(world, NOW)
    assert condition(plan).status == "Unknown"
    assert plan.look_again == 1.0
    late = decide(completed(validation=job(succeeded=True, created=ago(100 + 600 + 241))), NOW)
    assert "the Pod with the result is gone" in condition(late).message


def test_a_pod_that_does_not_start_is_named_and_given_up():
    waiting = container("notebook", waiting="ImagePullBackOff", waiting_message="no such image")
    plan = decide(completed(validation=job(pod(container("model", 0), waiting), created=ago(20))), NOW)
    assert condition(plan).status == "Unknown"
    assert "container notebook (example/validate:1): ImagePullBackOff no such image" in condition(plan).message
    assert plan.look_again == pytest.approx(680.1)
    plan = decide(completed(validation=job(pod(container("model", 0), waiting), created=ago(701))), NOW)
    assert (condition(plan).status, condition(plan).reason) == ("False", "ValidationFailed")
    assert "ImagePullBackOff" in condition(plan).message
    assert deleted(plan, "Job") == ["digits-validation"]


def test_a_job_whose_controller_was_killed_ends_by_itself():
    (made,) = applied(decide(completed(), NOW), "Job")
    assert made["spec"]["activeDeadlineSeconds"] == 100 + 600 + 60
    failure = "DeadlineExceeded Job was active longer than specified deadline"
    ended = container("notebook", 143, terminated="Error")
    for each in (pod(container("model", 0), ended), pod(container("model", 0), reason="DeadlineExceeded")):
        plan = decide(completed(validation=job(each, failed=True, failure=failure, created=ago(770))), NOW)
        assert (condition(plan).status, condition(plan).reason) == ("False", "ValidationFailed")
        assert condition(plan).message.startswith("it did not end within 100 s")
    waiting = container("notebook", waiting="ImagePullBackOff", waiting_message="no such image")
    plan = decide(completed(validation=job(pod(container("model", 0), waiting), failed=True, failure=failure, created=ago(770))), NOW)
    assert "ImagePullBackOff" in condition(plan).message


def test_a_job_that_is_refused_is_reported():
    refusal = Refusal("Job", "ns", "digits-validation", "spec.template.spec.initContainers[2].resources: Invalid value", invalid=True)
    plan = decide(completed(refused=(refusal,)), NOW)
    assert (condition(plan).status, condition(plan).reason) == ("False", "ValidationFailed")
    assert "spec.validation.resources: the hub refuses Job digits-validation" in condition(plan).message
    assert plan.apply == ()
    forbidden = decide(completed(refused=(replace(refusal, invalid=False, message="exceeded quota"),)), NOW)
    assert condition(forbidden).status == "Unknown"
    assert "exceeded quota" in condition(forbidden).message
    assert applied(forbidden, "Job")


def test_a_message_fits_into_what_kubernetes_keeps():
    many = {f"{'ü' * 60}{number}": 0.1 * number for number in range(MOST)}
    text = Result(metrics=many, failure="é" * 600).message()
    assert len(text.encode()) <= 4000
    assert 0 < len(json.loads(text)["metrics"]) < MOST
