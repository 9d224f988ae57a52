"""The InferenceService for the model of a run."""

import json

import pytest

from panal.serving.predictor import (
    DIGEST,
    MODE,
    NAME,
    REVISION,
    Content,
    Runtime,
    folder,
    inference_service,
    is_image,
    protocol,
    version,
)

IMAGE = Runtime("v2", image="registry/predictor:1")
SPEC = {
    "supportedModelFormats": [{"name": "onnx", "version": "1", "autoSelect": True}, {"name": "sklearn", "version": "1"}],
    "protocolVersions": ["v2"],
    "containers": [
        {
            "name": "kserve-container",
            "args": ["--model_name={{.Name}}", "--model_dir=/mnt/models"],
            "env": [{"name": "MODEL", "value": "{{.Name}}"}, {"name": "X", "value": "1"}],
        }
    ],
}
EXPORT = {
    "uri": "pvc://models/fl/ns/digits/u/export/",
    "count": 2,
    "files": [{"name": "model.onnx", "digest": "sha256:o"}, {"name": "x", "digest": "sha256:x"}],
}
NAMED = Runtime("v2", name="server", spec=SPEC, format="onnx")


def run(uri="pvc://models/fl/ns/digits/u/model.safetensors", **status):
    model = {"uri": uri, "digest": "sha256:m", "size": 1, "round": 3}
    return {"metadata": {"name": "digits", "uid": "u"}, "status": {"model": model} | status}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (run(), ("pvc://models/fl/ns/digits/u", ("sha256:m",))),
        (run("s3://bucket/fl/ns/digits/u/model.safetensors"), ("s3://bucket/fl/ns/digits/u", ("sha256:m",))),
        (run(export={"files": []}), ("pvc://models/fl/ns/digits/u", ("sha256:m",))),
        (run(export=EXPORT), ("pvc://models/fl/ns/digits/u/export", ("sha256:o", "sha256:x"))),
        (run(export=EXPORT | {"count": 3}), ("pvc://models/fl/ns/digits/u/export", ())),  # the status does not list all files
    ],
)
def test_the_folder_of_the_run_is_served_or_what_the_app_has_exported(given, expected):
    assert folder(given) == expected


def test_either_is_served_if_it_is_named():
    assert folder(run(export=EXPORT), Content.MODEL) == ("pvc://models/fl/ns/digits/u", ("sha256:m",))
    assert folder(run(export=EXPORT), Content.EXPORT) == folder(run(export=EXPORT))
    with pytest.raises(ValueError, match="digits has exported nothing"):
        folder(run(), Content.EXPORT)


def test_an_export_that_is_not_there_is_not_replaced_by_the_model():
    waits = run(conditions=[{"type": "Exported", "status": "False", "message": "it has no torch"}])
    waits["status"]["model"]["export"] = "app.export:onnx"
    with pytest.raises(ValueError, match="exports its model, and its condition Exported is False: it has no torch"):
        folder(waits)
    assert folder(waits, Content.MODEL) == ("pvc://models/fl/ns/digits/u", ("sha256:m",))
    del waits["status"]["conditions"]
    with pytest.raises(ValueError, match="Exported is Unknown: it has not begun"):
        folder(waits)


def test_a_folder_of_a_node_is_refused():
    with pytest.raises(ValueError, match="a folder of a node, which KServe does not serve"):
        folder(run("file:///srv/models/u/model.safetensors"))


def test_an_image_gets_the_folder_and_few_permissions():
    served = version(run(), "digits", IMAGE, {})
    (container,) = served.predictor["containers"]
    assert {"name": "STORAGE_URI", "value": "pvc://models/fl/ns/digits/u"} in container["env"]
    assert container["args"] == ["--model_name=digits", "--model_dir=/mnt/models", "--http_port=8080"]
    assert container["readinessProbe"]["httpGet"]["path"] == "/v2/health/ready"
    assert container["securityContext"]["runAsNonRoot"] is True
    assert served.predictor["automountServiceAccountToken"] is False
    assert "serviceAccountName" not in served.predictor
    assert protocol(served.predictor) == "v2"
    first = version(run(), "digits", Runtime("v1", image="i:1", service_account="reader"), {})
    assert first.predictor["serviceAccountName"] == "reader"
    assert first.predictor["containers"][0]["readinessProbe"]["httpGet"]["path"] == "/v1/models/digits"
    assert protocol(first.predictor) == "v1"


def test_a_runtime_is_told_the_model_name_also_in_a_canary():
    served = version(run(), "digits", NAMED, {})
    assert served.predictor["model"] == {
        "modelFormat": {"name": "onnx", "version": "1"},
        "runtime": "server",
        "protocolVersion": "v2",
        "storageUri": "pvc://models/fl/ns/digits/u",
        "args": ["--model_name=digits"],
        "env": [{"name": "MODEL", "value": "digits"}],
    }
    assert protocol(served.predictor) == "v2"


@pytest.mark.parametrize(
    ("runtime", "why"),
    [
        (Runtime("v2", name="server", spec=SPEC), "supports the model formats onnx, sklearn; give one of them with --format"),
        (Runtime("v2", name="server", spec=SPEC, format="pytorch"), "supports the model formats onnx, sklearn"),
        (Runtime("v1", name="server", spec=SPEC, format="onnx"), "supports the protocols v2, not v1"),
        (Runtime("v1", name="server", spec={}), "supports the model formats none"),
    ],
)
def test_a_runtime_that_does_not_fit_is_refused(runtime, why):
    with pytest.raises(ValueError, match=why):
        version(run(), "digits", runtime, {})


def test_only_the_pods_say_which_version_they_are():
    """An annotation of an InferenceService would be copied to its Pods, and replace them."""
    served = version(run(), "digits", IMAGE, {"rounds": {"accuracy": 0.9}})
    made = inference_service("digits", "ns", served)
    assert set(made["metadata"]["annotations"]) == {MODE}
    assert made["spec"]["predictor"]["annotations"] == {REVISION: served.revision, DIGEST: "sha256:m"}
    assert "ownerReferences" not in made["metadata"]
    assert "accuracy" not in json.dumps(made)
    owner = {"apiVersion": "a", "kind": "b", "name": "c", "uid": "d"}
    assert inference_service("digits-canary", "ns", served, owner)["metadata"]["ownerReferences"] == [owner]


@pytest.mark.parametrize(
    ("text", "image"), [("a/b", True), ("b:1", True), ("b@sha256:0", True), ("kserve-mlserver", False), ("a.b", False)]
)
def test_an_image_has_a_tag_or_a_registry(text, image):
    assert is_image(text) is image


@pytest.mark.parametrize(
    ("name", "valid"),
    [("digits", True), ("d", True), ("d-2", True), ("a" * 46, True), ("a" * 47, False), ("2d", False), ("d-", False), ("D", False)],
)
def test_names_leave_room_for_what_is_added(name, valid):
    assert bool(NAME.fullmatch(name)) is valid
