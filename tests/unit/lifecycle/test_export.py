"""The export of a model by a function of the app, after the run is Completed."""

import json
from dataclasses import replace

import pytest

from panal.api.export import Result, read
from panal.api.status import MAX_EXPORTED, ExportedFile, Phase
from panal.lifecycle.decide import decide
from panal.lifecycle.world import ContainerView, Refusal
from worlds import MODEL, NOW, ago, applied, deleted, done, job, pod, run, status_after

EXPORTING = MODEL.model_copy(update={"export": "app.export:onnx"})
DIGEST = f"sha256:{'a' * 64}"
FILE = ExportedFile(name="model.onnx", size=10, digest=DIGEST, check="loaded by onnxruntime 1.23.2")
RESULT = Result(files=[FILE], count=1, size=10, digest=DIGEST)
NOTEBOOK = {"image": "example/validate:1"}


def completed(model=EXPORTING, spec=None, **changes):
    before = done(run=run(done().run.status, **(spec or {})))
    status = status_after(before).model_copy(update={"model": model})
    return replace(before, **({"run": run(status, **(spec or {})), "works": {}} | changes))


def ended(message):
    containers = [ContainerView(name, "app:1", exit_code=0) for name in ("tools", "model", "export")]
    return job(
        pod(*containers, ContainerView("results", "panal/pod-tools:1", exit_code=0, message=message)), succeeded=True, created=ago(20)
    )


def condition(plan, name="Exported"):
    return next((c for c in plan.status.conditions if c.type == name), None)


def carried_on(world, plan):
    return replace(world, run=replace(world.run, status=plan.status))


def test_a_model_whose_app_names_an_export_gets_a_job():
    plan = decide(completed(), NOW)
    (made,) = applied(plan, "Job")
    assert made["metadata"]["name"] == "digits-export"
    assert (condition(plan).status, condition(plan).reason) == ("Unknown", "Exporting")
    assert plan.status.phase is Phase.COMPLETED
    assert decide(completed(MODEL), NOW).apply == (), "an app without an export"
    assert decide(completed(MODEL.model_copy(update={"export": "-m x"})), NOW).apply == (), "no function"


def test_the_apps_container_has_neither_storage_nor_token():
    server = {"env": [{"name": "A", "value": "b"}], "resources": {"limits": {"memory": "1Gi"}}, "imagePullPolicy": "Never"}
    (made,) = applied(decide(completed(spec={"server": server}), NOW), "Job")
    spec = made["spec"]["template"]["spec"]
    tools, copying, exporting = spec["initContainers"]
    (storing,) = spec["containers"]
    assert [each["name"] for each in (tools, copying, exporting, storing)] == ["tools", "model", "export", "results"]
    assert {m["name"]: m.get("readOnly", False) for m in exporting["volumeMounts"]} == {
        "tools": True, "model": True, "results": False, "tmp": False,
    }  # fmt: skip
    assert spec["automountServiceAccountToken"] is False
    assert exporting["image"] == "example/app:1"
    assert exporting["command"] == ["python3", "/panal/tools/run.py", "export", "run", "app.export:onnx", "/panal/results"]
    assert exporting["securityContext"]["allowPrivilegeEscalation"] is False
    env = {each["name"]: each.get("value") for each in exporting["env"]}
    assert (env["A"], env["PANAL_MODEL"]) == ("b", "/panal/model/model.safetensors")
    assert not any(name.startswith(("AWS_", "PANAL_STORAGE")) for name in env)
    assert exporting["resources"] == {"limits": {"memory": "1Gi"}}
    assert exporting["imagePullPolicy"] == "Never"


def test_the_files_become_the_status_once():
    world = completed(export=ended(RESULT.message()))
    plan = decide(world, NOW)
    assert (condition(plan).status, condition(plan).reason) == ("True", "Exported")
    found = plan.status.export
    assert (found.uri, found.count, found.size, found.digest) == ("pvc://digits-model/ns/digits/uid/export", 1, 10, DIGEST)
    assert found.files == [FILE]
    (event,) = plan.events
    assert (event.type, event.reason) == ("Normal", "Exported")
    assert "model.onnx (loaded by onnxruntime 1.23.2)" in event.message
    later = decide(carried_on(replace(world, export=None), plan), NOW)
    assert (later.status, later.apply, later.events) == (None, (), ())


@pytest.mark.parametrize(
    ("view", "said"),
    [
        (
            job(
                pod(ContainerView("export", "app:1", exit_code=1, message="Traceback\napp.export:onnx raised ValueError: no")), failed=True
            ),
            "app.export:onnx raised ValueError: no",
        ),
        (ended(json.dumps({"files": "x"})), "its result cannot be read"),
        (job(pod(ContainerView("export", "app:1", exit_code=137, terminated="OOMKilled")), failed=True), "exit code 137 (OOMKilled)"),
    ],
)
def test_an_export_that_fails_leaves_the_model(view, said):
    plan = decide(completed(export=view), NOW)
    assert (condition(plan).status, condition(plan).reason) == ("False", "ExportFailed")
    assert said in condition(plan).message
    assert plan.status.phase is Phase.COMPLETED
    assert plan.status.model == EXPORTING
    assert plan.status.export is None
    assert [(e.type, e.reason) for e in plan.events] == [("Warning", "ExportFailed")]


def test_a_pod_that_was_evicted_is_followed_by_another():
    (made,) = applied(decide(completed(), NOW), "Job")
    assert made["spec"]["podFailurePolicy"] == {"rules": [{"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget"}]}]}
    assert made["spec"]["template"]["spec"]["restartPolicy"] == "Never", "which the policy requires"
    lost = pod(ContainerView("export", "app:1", exit_code=137), reason="Evicted", created=ago(40))
    running = pod(ContainerView("export", "app:1", running=True), created=ago(10))
    for pods in ((lost,), (lost, running), (running, lost)):
        assert condition(decide(completed(export=job(*pods)), NOW)).status == "Unknown"
    second = replace(ended(RESULT.message()), pods=(lost, replace(ended(RESULT.message()).pods[0], created=ago(10))))
    assert condition(decide(completed(export=second), NOW)).status == "True"
    broken = pod(ContainerView("export", "app:1", exit_code=1, message="no"), created=ago(10))
    assert "exit code 1" in condition(decide(completed(export=job(lost, broken, failed=True)), NOW)).message


def test_an_export_that_does_not_end_is_given_up():
    running = ContainerView("export", "app:1", running=True)
    plan = decide(completed(export=job(pod(running), created=ago(4201))), NOW)
    assert "it did not end within 3600 s" in condition(plan).message
    assert deleted(plan, "Job") == ["digits-export"]


def test_a_refused_job_names_the_field_of_the_server():
    refusal = Refusal("Job", "ns", "digits-export", "spec.template.spec.initContainers[2].resources: Invalid value", invalid=True)
    plan = decide(completed(refused=(refusal,)), NOW)
    assert condition(plan).status == "False"
    assert "spec.server.resources: the hub refuses Job digits-export" in condition(plan).message


def test_a_bucket_without_a_secret_cannot_be_read_after_the_run():
    server = {"storage": {"type": "S3Bucket", "s3": {"bucketName": "models"}}}
    plan = decide(completed(spec={"server": server}), NOW)
    assert (condition(plan).status, condition(plan).reason) == ("False", "ExportFailed")
    assert "spec.server.storage.s3.secretName" in condition(plan).message


def test_the_validation_follows_the_export_and_gets_its_files():
    world = completed(spec={"validation": NOTEBOOK})
    first = decide(world, NOW)
    assert [each["metadata"]["name"] for each in applied(first, "Job")] == ["digits-export"]
    assert condition(first, "Validated") is None
    exported = decide(replace(world, export=ended(RESULT.message())), NOW)
    assert exported.apply == ()
    second = decide(carried_on(world, exported), NOW)
    (made,) = applied(second, "Job")
    assert made["metadata"]["name"] == "digits-validation"
    _, copying, notebook = made["spec"]["template"]["spec"]["initContainers"]
    assert {"name": "PANAL_EXPORT", "value": "/panal/model/export"} in notebook["env"]
    assert {"name": "PANAL_EXPORT_DIGEST", "value": DIGEST} in copying["env"]
    assert condition(second, "Exported").status == "True"


def test_a_model_whose_export_failed_is_validated():
    world = completed(spec={"validation": NOTEBOOK}, export=job(pod(), failed=True))
    (made,) = applied(decide(carried_on(world, decide(world, NOW)), NOW), "Job")
    assert made["metadata"]["name"] == "digits-validation"
    assert "PANAL_EXPORT" not in {each["name"] for each in made["spec"]["template"]["spec"]["initContainers"][2]["env"]}


def test_a_message_fits_into_what_kubernetes_keeps():
    many = [FILE.model_copy(update={"name": "n" * 128, "check": "c" * 128}) for _ in range(MAX_EXPORTED)]
    text = Result(files=many, count=MAX_EXPORTED, size=1, digest=DIGEST).message()
    assert len(text.encode()) <= 4000
    found = read(text)
    assert 0 < len(found.files) < MAX_EXPORTED == found.count
