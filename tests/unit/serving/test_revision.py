"""What the Pods of a service do, and which model has answered."""

import pytest

from panal.serving.predictor import REVISION
from panal.serving.revision import RESTARTS, Answer, Pods, answer, digests, look, only, path
from panal.serving.version import Version

A, B = (f"sha256:{digit * 64}" for digit in "ab")
VERSION = Version("digits", "u", "pvc://m/d", (A,), {})
OLD = Version("old", "v", "pvc://m/e", (B,), {})


def pod(name, version=VERSION, ready=False, restarts=0, leaving=False, conditions=(), **state):
    metadata = {"name": name, "annotations": {REVISION: version.revision}} | ({"deletionTimestamp": "now"} if leaving else {})
    container = {"name": "kserve-container", "restartCount": restarts, "state": state}
    found = [{"type": "Ready", "status": str(ready)}, *conditions]
    return {"metadata": metadata, "status": {"phase": "Running", "conditions": found, "containerStatuses": [container]}}


CRASHED = {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 20s"}}
UNSCHEDULABLE = {"type": "PodScheduled", "status": "False", "message": "0/1 nodes are available"}
REFUSED = {"status": {"conditions": [{"type": "ReplicaFailure", "status": "True", "message": "exceeded quota"}]}}


@pytest.mark.parametrize(
    ("pods", "expected"),
    [
        ([pod("new", ready=True)], Pods(("new",))),
        ([pod("new", ready=True), pod("old", OLD, ready=True)], Pods(("new",), ("old",))),
        ([pod("new", ready=True), pod("old", OLD)], Pods(("new",))),
        ([pod("new", ready=True), pod("old", OLD, ready=True, leaving=True)], Pods(("new",), ("old",))),
        # KServe says Ready=True here: the old version answers.
        (
            [pod("new", restarts=1, **CRASHED), pod("old", OLD, ready=True)],
            Pods(
                (),
                ("old",),
                "its Pod new is not ready: the container kserve-container crashes (1 restarts, exit code unknown)",
                False,
                "new",
            ),
        ),
        (
            [pod("new", restarts=RESTARTS, terminated={"exitCode": 1, "message": "no model"})],
            Pods(
                (), (), "its Pod new is not ready: the container kserve-container crashes (3 restarts, exit code 1): no model", True, "new"
            ),
        ),
        (
            [pod("new", waiting={"reason": "ErrImagePull", "message": "no such image"})],
            Pods((), (), "its Pod new is not ready: ErrImagePull no such image"),
        ),
        (
            [pod("new", waiting={"reason": "ContainerCreating"}, conditions=[UNSCHEDULABLE])],
            Pods((), (), "its Pod new is not ready: 0/1 nodes are available"),
        ),
        ([pod("new")], Pods((), (), "its Pod new is not ready: it starts")),
        ([pod("new", leaving=True)], Pods((), (), "its Pod is refused: exceeded quota")),
    ],
)
def test_what_the_pods_of_a_version_do(pods, expected):
    assert look(pods, REFUSED, VERSION) == expected


def test_without_pods_the_deployment_says_why():
    assert look([], None, VERSION).problem == "KServe has created no Deployment"
    assert look([], {}, VERSION).problem == "it has no Pod yet"


@pytest.mark.parametrize(
    ("headers", "body", "expected"),
    [
        ({"model-digest": A}, {"predictions": [1]}, {A}),
        ({}, {"model_version": A}, {A}),
        ({}, {"model_version": "a" * 64}, {A}),
        ({}, {"parameters": {"model_digest": A}}, {A}),
        ({}, {"versions": ["1", A]}, {A}),
        ({}, {"model_version": "1", "versions": ["2"], "parameters": []}, set()),
        ({"model-digest": "sha256:short"}, {}, set()),
        ({"model-digest": A}, {"model_version": B}, {A, B}),
    ],
)
def test_the_digest_that_a_response_states(headers, body, expected):
    assert digests(headers, body) == expected


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (200, {"outputs": [1], "model_version": A}, Answer(A)),
        (200, {"outputs": [1]}, Answer()),
        (200, {"predictions": [1]}, Answer()),
        (200, {"outputs": []}, Answer(problem="it answers without `outputs` or `predictions`")),
        (200, "text", Answer(problem="it answers without a JSON object")),
        (200, {"outputs": [1], "model_version": B}, Answer(B, f"the model {B} answers, and the model of digits is {A}", wrong=True)),
        (400, {"error": "bad shape"}, Answer(problem="it answers with status 400: bad shape")),
        (503, "no endpoints", Answer(problem="it answers with status 503: no endpoints")),
    ],
)
def test_what_an_answer_shows(status, body, expected):
    assert answer(status, {}, body, VERSION, predicts=True) == expected


def test_metadata_needs_no_outputs():
    assert answer(200, {}, {"name": "digits", "versions": [A]}, VERSION, predicts=False) == Answer(A)


def test_paths_of_both_protocols():
    assert [path("m", "v2", True), path("m", "v2", False)] == ["/v2/models/m/infer", "/v2/models/m"]
    assert [path("m", "v1", True), path("m", "v1", False)] == ["/v1/models/m:predict", "/v1/models/m"]


def test_a_service_is_asked_when_only_pods_of_the_version_are_ready():
    assert only(Pods(("a",)), {"a"})
    assert not only(Pods(("a", "b")), {"a"})
    assert not only(Pods(("a",), ("old",)), {"a"})
    assert not only(Pods(), set())
