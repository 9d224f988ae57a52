"""`panal models` and the Pod by which it reads the storage of a run on a hub."""

import json

import pytest

from fake_client import FakeClient
from panal.cli import models
from panal.client import download
from panal.client.problem import Code, Problem
from stored import CONTENT, DIGEST, Access, Hub, hub, job, run


def test_the_model_is_downloaded_by_a_pod_that_is_deleted(tmp_path, capsys):
    client = hub()
    assert models.download(Access({"hub": client}), "digits", None, None, tmp_path) == Code.OK
    assert (tmp_path / "digits.safetensors").read_bytes() == CONTENT
    assert client.asked == [("ns", "reading-1", "reading", ["python3", "-m", "panal.pod.giving", "model.safetensors"])]
    assert not [kind for kind, _, _ in client.objects if kind == "Pod"]
    assert f"{len(CONTENT)} bytes, {DIGEST}, as in status.model" in capsys.readouterr().out


def test_a_model_that_was_changed_is_not_kept(tmp_path):
    with pytest.raises(Problem, match="it is not the model that the run has stored"):
        models.download(Access({"hub": hub(digest="sha256:other")}), "digits", None, None, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_missing_leaves_nothing(tmp_path):
    client = hub()
    client.content = None
    with pytest.raises(Problem, match="the storage has no x of this run"):
        models.download(Access({"hub": client}), "digits", None, "x", tmp_path / "x")
    assert list(tmp_path.iterdir()) == []
    assert not [kind for kind, _, _ in client.objects if kind == "Pod"]


def test_a_run_without_a_model_is_named():
    client = Hub(run(model=None), job())
    with pytest.raises(Problem, match="digits has no stored model"):
        models.download(Access({"hub": client}), "digits", None, None, None)


def test_a_file_of_a_run_without_a_model_is_downloaded(tmp_path):
    files = {"uri": "pvc://models/fl/ns/digits/u/files/", "count": 1, "size": 10}
    client = Hub(run(model=None, files=files), job())
    assert models.download(Access({"hub": client}), "digits", None, "files/out.bin", tmp_path) == Code.OK
    assert (tmp_path / "out.bin").read_bytes() == CONTENT
    evaluation = {"uri": "pvc://models/fl/ns/digits/u/evaluation.json"}
    client = Hub(run(model=None, evaluation=evaluation), job())
    assert models.download(Access({"hub": client}), "digits", None, "evaluation.json", tmp_path) == Code.OK
    with pytest.raises(Problem, match="digits has stored nothing"):
        models.download(Access({"hub": Hub(run(model=None), job())}), "digits", None, "files/out.bin", tmp_path)


def test_a_run_whose_job_is_gone_is_named(tmp_path):
    with pytest.raises(Problem, match="the aggregator's Job"):
        models.download(Access({"hub": Hub(run())}), "digits", None, None, tmp_path)


def test_the_pod_reads_the_volume_and_has_no_token():
    pod = download.reading_pod(job(), run())
    spec, (container,) = pod["spec"], pod["spec"]["containers"]
    assert container["image"] == "panal/pod-tools:1"
    assert spec["automountServiceAccountToken"] is False
    assert {mount["name"]: mount.get("readOnly") for mount in container["volumeMounts"]} == {"storage": True, "tmp": None}
    assert [volume["name"] for volume in spec["volumes"]] == ["storage", "tmp"]
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert spec["activeDeadlineSeconds"] == download.DEADLINE


def test_a_bucket_is_read_with_the_secret_of_the_run_and_not_without():
    found = job()
    reporter = next(c for c in found["spec"]["template"]["spec"]["initContainers"] if c["name"] == "reporter")
    reporter["env"].append({"name": "PANAL_STORAGE_S3", "value": "{}"})
    with pytest.raises(Problem, match="identity of the run's Pod"):
        download.reading_pod(found, run())
    secret = {"secretKeyRef": {"name": "s3", "key": "AWS_ACCESS_KEY_ID"}}
    reporter["env"].append({"name": "AWS_ACCESS_KEY_ID", "valueFrom": secret})
    (container,) = download.reading_pod(found, run())["spec"]["containers"]
    assert {"name": "AWS_ACCESS_KEY_ID", "valueFrom": secret} in container["env"]
    assert next(mount for mount in container["volumeMounts"] if mount["name"] == "storage")["readOnly"] is False


def template(found):
    return found["spec"]["template"]["spec"]


def test_the_pod_gets_no_rights_of_a_job_that_was_replaced():
    found = job()
    template(found)["securityContext"] = {"runAsUser": 0, "fsGroup": 7, "supplementalGroups": [8], "sysctls": [{"name": "a", "value": "b"}]}
    template(found)["hostPID"] = True
    reporter = next(c for c in template(found)["initContainers"] if c["name"] == "reporter")
    reporter["securityContext"] = {"privileged": True}
    next(m for m in reporter["volumeMounts"] if m["name"] == "storage")["mountPropagation"] = "Bidirectional"
    spec = download.reading_pod(found, run())["spec"]
    assert spec["securityContext"] == {
        "runAsNonRoot": True,
        "seccompProfile": {"type": "RuntimeDefault"},
        "fsGroup": 7,
        "supplementalGroups": [8],
    }
    assert "hostPID" not in spec
    (container,) = spec["containers"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert container["volumeMounts"][0].keys() == {"name", "mountPath", "readOnly"}


def test_on_openshift_the_pod_has_no_group():
    found = job()
    template(found)["securityContext"] = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
    spec = download.reading_pod(found, run())["spec"]
    assert spec["securityContext"] == {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}


@pytest.mark.parametrize("owners", [[], [{"kind": "FederatedLearning", "uid": "other", "controller": True}], [{"kind": "Job", "uid": "u"}]])
def test_a_job_that_does_not_belong_to_the_run_is_refused(owners):
    found = job()
    found["metadata"]["ownerReferences"] = owners
    with pytest.raises(Problem, match="the Job digits-aggregator is not as panal has made it: it does not belong to the run"):
        download.reading_pod(found, run())
    template(found)["initContainers"] = []
    found["metadata"]["ownerReferences"] = [{"kind": "FederatedLearning", "uid": "u", "controller": True}]
    with pytest.raises(Problem, match="it has no reporter"):
        download.reading_pod(found, run())


HOST = {"hostPath": {"path": "/data", "type": "DirectoryOrCreate"}}
CLAIM = {"persistentVolumeClaim": {"claimName": "models"}}


@pytest.mark.parametrize(
    ("storage", "volume", "allowed"),
    [
        ({}, CLAIM, True),
        ({"type": "S3Bucket"}, {"emptyDir": {}}, True),
        ({"type": "HostPath", "path": "/data"}, HOST, True),
        ({"type": "HostPath", "path": "/data"}, {"hostPath": {"path": "/"}}, False),
        ({"type": "HostPath", "path": "/data"}, CLAIM, False),
        ({"path": "/data"}, HOST, False),
        ({}, CLAIM | HOST, False),
        ({}, {"csi": {"driver": "x"}}, False),
        ({}, {}, False),
    ],
)
def test_only_the_storage_of_the_run_is_mounted(storage, volume, allowed):
    found = job()
    volumes = template(found)["volumes"]
    volumes[:] = [volume | {"name": "storage"} if each["name"] == "storage" else each for each in volumes]
    of = run() | {"spec": {"server": {"storage": storage}}}
    if allowed:
        assert download.reading_pod(found, of)["spec"]["volumes"][0] == volume | {"name": "storage"}
    else:
        with pytest.raises(Problem, match="a volume storage that is none of the run's storage"):
            download.reading_pod(found, of)


@pytest.mark.parametrize(("source", "allowed"), [("configMap", True), ("secret", True), ("hostPath", False)])
def test_the_authorities_come_from_the_namespace(source, allowed):
    found = job()
    template(found)["volumes"].append({"name": "authorities", source: {}})
    reporter = next(c for c in template(found)["initContainers"] if c["name"] == "reporter")
    reporter["volumeMounts"].append({"name": "authorities", "mountPath": "/panal/authorities"})
    if allowed:
        assert [each["name"] for each in download.reading_pod(found, run())["spec"]["volumes"]] == ["storage", "authorities", "tmp"]
    else:
        with pytest.raises(Problem, match="a volume authorities"):
            download.reading_pod(found, run())


def test_a_pod_that_waits_says_why():
    waiting = {"containerStatuses": [{"state": {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}}}]}
    unscheduled = {"conditions": [{"type": "PodScheduled", "status": "False", "message": "0/1 nodes"}]}
    said = [download.waiting_for({"status": status}) for status in (waiting, unscheduled, {"phase": "Pending"}, {})]
    assert said == ["ImagePullBackOff no such image", "0/1 nodes", "Pending", "not scheduled yet"]


def test_models_are_compared(capsys):
    first, second = (
        run("old", metrics={"accuracy": 0.9, "loss": 0.5}),
        run("new", metrics={"accuracy": 0.95}, nonFiniteMetrics={"loss": "NaN"}),
    )
    access = Access({"hub": FakeClient(first, second)})
    assert models.compare(access, ("old", "ns/new"), None, False) == Code.OK
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["old", "ns/new", "DIFFERENCE"]
    assert lines[1].split()[-1] == "same"
    assert lines[4].split() == ["accuracy", "0.9", "0.95", "+0.05", "(better)"]
    assert lines[5].split() == ["loss", "0.5", "NaN"]
    models.compare(access, ("old", "new"), None, True)
    found = json.loads(capsys.readouterr().out)
    assert found["differences"] == {"accuracy": pytest.approx(0.05)}
    assert [each["run"] for each in found["models"]] == ["old", "new"]


def test_models_are_listed_in_the_order_of_their_runs_ends(capsys):
    late, early = run("late", completionTime="2026-02-01T00:00:00Z"), run("early")
    models.listed(Access({"hub": FakeClient(late, early, run("none", model=None))}), None, False)
    assert [line.split()[1] for line in capsys.readouterr().out.splitlines()] == ["RUN", "early", "late"]


def test_an_export_and_a_publication_are_shown(capsys):
    files = [{"name": "model.onnx", "size": 2048, "digest": "sha256:a", "check": "loaded by onnxruntime 1.2"}]
    export = {"uri": "pvc://x/export", "files": files, "count": 2, "size": 4096, "digest": "sha256:b", "time": "2026-01-01T00:00:00Z"}
    conditions = [
        {"type": "Exported", "status": "True", "reason": "Exported", "message": "2 files at pvc://x/export"},
        {"type": "Published", "status": "False", "reason": "PublishFailed", "message": "the server answers 404"},
    ]
    found = run(conditions=conditions, export=export)
    models.show(Access({"hub": FakeClient(found)}), "digits", None, False)
    text = capsys.readouterr().out
    assert (
        "exported  True, 2 files at pvc://x/export\n          model.onnx  2.0 KiB  loaded by onnxruntime 1.2\n          and 1 more" in text
    )
    assert "published False, the server answers 404" in text
    models.show(Access({"hub": FakeClient(found)}), "digits", None, True)
    assert json.loads(capsys.readouterr().out)["export"] == export


def test_a_validation_is_shown(capsys):
    conditions = [{"type": "Validated", "status": "False", "reason": "NotebookFailed", "message": "cell 2: AssertionError"}]
    found = run(conditions=conditions, validation={"metrics": {"accuracy": 0.5}, "report": "pvc://r", "time": "2026-01-01T00:00:00Z"})
    models.show(Access({"hub": FakeClient(found)}), "digits", None, False)
    text = capsys.readouterr().out
    assert "validated False, cell 2: AssertionError\n          accuracy 0.5\n" in text
    models.show(Access({"hub": FakeClient(found)}), "digits", None, True)
    assert json.loads(capsys.readouterr().out)["validation"]["metrics"] == {"accuracy": 0.5}
    models.show(Access({"hub": FakeClient(run())}), "digits", None, False)
    assert "validated" not in capsys.readouterr().out
