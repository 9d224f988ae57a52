"""The next step of a StatefulSet."""

from __future__ import annotations

from typing import Any

from panal.kube.objects import Object
from panal_local.controllers.statefulsets import REVISION, decide, revision_of


def stateful_set(replicas: int = 1, **labels: str) -> Object:
    template = {"metadata": {"labels": {"app": "s"} | labels}, "spec": {"containers": []}}
    spec = {"replicas": replicas, "serviceName": "s", "template": template}
    return {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": {"name": "s", "namespace": "ns", "uid": "u", "generation": 3},
        "spec": spec,
    }


def pod(name: str, of: Object | None = None, ready: bool = True, phase: str = "Running", **metadata: Any) -> tuple[str, Object]:
    status = {"phase": phase, "conditions": [{"type": "Ready", "status": str(ready)}]}
    return name, {"metadata": {"name": name, "labels": {REVISION: revision_of(of or stateful_set())}} | metadata, "status": status}


def test_the_first_pod_has_name_and_owner() -> None:
    (made,) = decide(stateful_set(), {}).create
    assert made["metadata"]["name"] == made["spec"]["hostname"] == "s-0"
    assert made["metadata"]["labels"]["apps.kubernetes.io/pod-index"] == "0"
    assert made["metadata"]["ownerReferences"][0]["kind"] == "StatefulSet"


def test_pods_start_one_after_another() -> None:
    two = stateful_set(2)
    waiting = decide(two, dict([pod("s-0", two, ready=False)]))
    assert waiting.create == []
    (second,) = decide(two, dict([pod("s-0", two)])).create
    assert second["metadata"]["name"] == "s-1"


def test_a_pod_that_ended_or_is_of_an_older_template_is_replaced() -> None:
    assert decide(stateful_set(), dict([pod("s-0", phase="Failed")])).delete == ["s-0"]
    assert decide(stateful_set(new="yes"), dict([pod("s-0")])).delete == ["s-0"]
    going = dict([pod("s-0", deletionTimestamp="2026-03-01T12:00:00Z")])
    assert decide(stateful_set(), going).create == []


def test_surplus_pods_are_deleted() -> None:
    assert decide(stateful_set(1), dict([pod("s-0"), pod("s-1")])).delete == ["s-1"]


def test_the_status_counts_ready_pods() -> None:
    status = decide(stateful_set(), dict([pod("s-0")])).status
    assert (status["replicas"], status["readyReplicas"], status["observedGeneration"]) == (1, 1, 3)
