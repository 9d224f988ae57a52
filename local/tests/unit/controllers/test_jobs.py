"""The next step of a Job, depending on its Pods."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from panal.kube.objects import Object
from panal.kube.times import to_time
from panal_local.controllers.jobs import Plan, decide

NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)


def ago(seconds: float) -> str:
    return to_time(NOW - timedelta(seconds=seconds))


def job(status: dict[str, Any] | None = None, **spec: Any) -> Object:
    template = {"metadata": {"labels": {"app": "a"}}, "spec": {"containers": []}}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "j", "namespace": "ns", "uid": "u"},
        "spec": {"backoffLimit": 0, "template": template} | spec,
        "status": {"startTime": ago(60)} if status is None else status,
    }


def pod(phase: str, name: str = "p", **status: Any) -> Object:
    return {"metadata": {"name": name, "namespace": "ns"}, "status": {"phase": phase} | status}


def problems(plan: Plan) -> list[tuple[str, str]]:
    return [(c["type"], c["reason"]) for c in plan.status.get("conditions", []) if c["status"] == "True"]


def test_a_job_starts_with_one_pod_that_it_owns() -> None:
    plan = decide(job(status={}), [], NOW)
    (made,) = plan.create
    assert plan.status["startTime"] == to_time(NOW)
    assert made["metadata"]["labels"] == {
        "app": "a",
        "batch.kubernetes.io/controller-uid": "u",
        "controller-uid": "u",
        "batch.kubernetes.io/job-name": "j",
        "job-name": "j",
    }
    assert made["metadata"]["ownerReferences"][0]["uid"] == "u"
    assert decide(job(status={}), [], NOW).create[0]["metadata"]["name"] == made["metadata"]["name"]


def test_a_job_is_active_while_its_pod_runs() -> None:
    plan = decide(job(), [pod("Running", conditions=[{"type": "Ready", "status": "True"}])], NOW)
    assert (plan.create, plan.delete, problems(plan)) == ([], [], [])
    assert (plan.status["active"], plan.status["ready"]) == (1, 1)


@pytest.mark.parametrize(
    ("spec", "pods", "end"),
    [
        ({}, [pod("Succeeded")], ("Complete", "CompletionsReached")),
        ({}, [pod("Failed")], ("Failed", "BackoffLimitExceeded")),
        ({"backoffLimit": 3}, [pod("Failed")], ("Failed", "BackoffLimitExceeded")),
    ],
    ids=["success", "failure", "no retry"],
)
def test_the_end_of_a_job(spec: dict[str, Any], pods: list[Object], end: tuple[str, str]) -> None:
    plan = decide(job(**spec), pods, NOW)
    assert end in problems(plan)
    assert ("completionTime" in plan.status) == (end[0] == "Complete")
    assert not plan.create


def test_a_job_has_not_ended_while_a_pod_terminates() -> None:
    plan = decide(job(), [pod("Failed"), pod("Running", "q")], NOW)
    assert problems(plan) == [("FailureTarget", "BackoffLimitExceeded")]
    assert plan.delete == ["q"]


def test_a_pod_whose_failure_is_ignored_is_followed_by_another() -> None:
    policy = {"rules": [{"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget"}]}]}
    evicted = pod("Failed", conditions=[{"type": "DisruptionTarget", "status": "True"}])
    plan = decide(job(podFailurePolicy=policy), [evicted], NOW)
    assert (len(plan.create), problems(plan), plan.status.get("failed")) == (1, [], None)
    assert ("Failed", "BackoffLimitExceeded") in problems(decide(job(podFailurePolicy=policy), [evicted, pod("Failed", "q")], NOW))
    assert ("Complete", "CompletionsReached") in problems(decide(job(podFailurePolicy=policy), [evicted, pod("Succeeded", "q")], NOW))


@pytest.mark.parametrize(
    "spec",
    [
        {"completions": 2},
        {"parallelism": 3},
        {"suspend": True},
        {"managedBy": "x"},
        {"completionMode": "Indexed"},
        {"podFailurePolicy": {"rules": [{"action": "FailJob", "onPodConditions": [{"type": "DisruptionTarget"}]}]}},
        {"podFailurePolicy": {"rules": [{"action": "Ignore", "onExitCodes": {"operator": "In", "values": [3]}}]}},
    ],
)
def test_unsupported_fields_are_named(spec: dict[str, Any]) -> None:
    plan = decide(job(**spec), [], NOW)
    assert ("Failed", "NotSupported") in problems(plan)
    assert f"leave out spec.{next(iter(spec))}" in plan.status["conditions"][-1]["message"]
    assert plan.create == []


def test_a_job_ends_at_its_deadline() -> None:
    assert decide(job(activeDeadlineSeconds=100), [], NOW).look_again == 40
    early = decide(job(activeDeadlineSeconds=100), [pod("Running")], NOW)
    assert (early.look_again, early.delete, problems(early)) == (40, [], [])
    late = decide(job(activeDeadlineSeconds=60), [pod("Running")], NOW)
    assert (late.delete, problems(late)) == (["p"], [("FailureTarget", "DeadlineExceeded")])
    for pods in ([pod("Failed")], []):
        ended = decide(job(late.status, activeDeadlineSeconds=60), pods, NOW)
        assert problems(ended) == [("FailureTarget", "DeadlineExceeded"), ("Failed", "DeadlineExceeded")]
        assert ended.create == []
    assert ("Complete", "CompletionsReached") in problems(decide(job(activeDeadlineSeconds=60), [pod("Succeeded")], NOW))


def test_the_deadline_counts_from_the_start() -> None:
    assert decide(job(status={}, activeDeadlineSeconds=100), [], NOW).look_again == 100
    assert decide(job(status={}, activeDeadlineSeconds=1 << 62), [], NOW).look_again == 1 << 32
