"""Feedback of a collaborator's Pod, as a work agent reads it."""

from __future__ import annotations

from typing import Any

from panal.kube.objects import Object
from panal.lifecycle.decide import decide
from panal_local.ocm.feedback import read
from worlds import NOW, applied, fresh, job, pod, progress, service, work, works


def rules(world: Any) -> list[dict[str, Any]]:
    found: Object = applied(decide(world, NOW), "ManifestWork")[0]
    (config,) = found["spec"]["manifestConfigs"]
    rules: list[dict[str, Any]] = config["feedbackRules"]
    return rules


def started(**changes: Any) -> Any:
    return fresh(exposed=(service(),), job=job(pod()), progress=progress(connected=0, started=False), **changes)


def values(status: dict[str, Any], asked: list[dict[str, Any]]) -> dict[str, Any]:
    found, condition = read({"apiVersion": "v1", "kind": "Pod", "status": status}, asked)  # type: ignore[arg-type]
    assert condition["status"] == "True"
    return {each["name"]: next(v for k, v in each["fieldValue"].items() if k != "type") for each in found}


def waiting(name: str, why: str) -> dict[str, Any]:
    return {"name": name, "state": {"waiting": {"reason": why, "message": f"{why} of {name}"}}, "ready": False, "restartCount": 0}


def test_containers_are_found_by_name() -> None:
    ended = {"terminated": {"exitCode": 1, "reason": "Error", "message": "said"}}
    status = {
        "phase": "Pending",
        "conditions": [{"type": "Ready", "message": "no"}, {"type": "PodScheduled", "message": "no node"}],
        "initContainerStatuses": [waiting("injected", "A"), waiting("gateway", "G"), waiting("tools", "T")],
        "containerStatuses": [waiting("proxy", "P"), waiting("supernode", "S") | {"restartCount": 3, "lastState": ended}],
    }
    assert values(status, rules(started())) == {
        "phase": "Pending",
        "unschedulable": "no node",
        "toolsWaiting": "T",
        "gatewayWaiting": "G",
        "waiting": "S",
        "waitingMessage": "S of supernode",
        "ready": False,
        "restarts": 3,
        "lastExitCode": 1,
        "lastReason": "Error",
        "lastMessage": "said",
    }


def test_a_pod_without_container_statuses_is_no_error() -> None:
    assert values({"phase": "Pending"}, rules(started())) == {"phase": "Pending"}


def test_feedback_of_an_older_work_uses_its_container_names() -> None:
    template = {"spec": {"containers": [{"name": "of-old", "image": "i"}]}}
    stateful_set = {"kind": "StatefulSet", "metadata": {"name": "s"}, "spec": {"template": template}}
    wanted = decide(started(works=works(work(1))), NOW).works
    assert wanted
    found = wanted.render(next(s for s in wanted.sites if s.cluster == "cluster1"), existing=[stateful_set])
    assert stateful_set in found["spec"]["workload"]["manifests"]
    asked = found["spec"]["manifestConfigs"][0]["feedbackRules"]
    assert values({"containerStatuses": [waiting("supernode", "S"), waiting("of-old", "O")]}, asked)["waiting"] == "O"
