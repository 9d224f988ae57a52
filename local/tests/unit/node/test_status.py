"""The status of a Pod, with the reasons and messages of a kubelet."""

from pathlib import Path

import pytest

from panal_local.node.decide import Container, Plan, decide
from panal_local.node.records import Attempt, Ended
from panal_local.node.status import Facts, pod_status

NOW = 1_700_000_000.0


def pod(*conditions, inits=(), **fields):
    main = {"name": "m", "image": "i:1", **fields}
    return {
        "metadata": {"name": "p", "namespace": "ns", "uid": "u"},
        "spec": {"containers": [main], "initContainers": [{"name": n, "image": "i:1"} for n in inits]},
        "status": {"conditions": list(conditions)},
    }


def status_of(pod_, *containers, waiting=None, mounted=True, plan=None):
    plan = plan or decide(containers, NOW, ending=False)
    facts = Facts("127.1.0.1", "127.0.0.9", NOW - 60, containers, plan, waiting or {}, {"i:1": "sha256:1"}, mounted)
    return pod_status(pod_, facts, NOW)


def conditions(status):
    return {c["type"]: c["status"] for c in status["conditions"]}


def attempt(folder=Path("x"), number=0, code=None):
    return Attempt(number, folder, NOW - 10, None if code is None else Ended(code, 0, NOW - 5))


def main(*attempts, ready=True, policy="Never"):
    return Container("m", "main", policy, attempts, started=True, ready=ready)


def state(status, which="containerStatuses"):
    return status[which][0]["state"]


def test_a_pod_that_waits_for_its_volumes():
    status = status_of(pod(), main(), mounted=False)
    assert (status["phase"], state(status)) == ("Pending", {"waiting": {"reason": "ContainerCreating"}})
    assert conditions(status)["PodReadyToStartContainers"] == "False"
    assert conditions(status)["Initialized"] == "True"


def test_a_pod_that_initializes():
    init = Container("a", "init", "Never", (attempt(),))
    status = status_of(pod(inits=["a"]), init, main())
    assert (status["phase"], state(status)) == ("Pending", {"waiting": {"reason": "PodInitializing"}})
    assert "running" in state(status, "initContainerStatuses")
    assert conditions(status)["Initialized"] == "False"


@pytest.mark.parametrize("ready", [True, False])
def test_a_running_pod(ready):
    status = status_of(pod(), main(attempt(), ready=ready))
    (found,) = status["containerStatuses"]
    assert (status["phase"], found["ready"], found["started"], found["restartCount"]) == ("Running", ready, True, 0)
    assert conditions(status)["Ready"] == conditions(status)["ContainersReady"] == str(ready)
    assert (found["containerID"], found["imageID"]) == ("panal://u/m/0", "sha256:1")
    assert (status["podIP"], status["podIPs"], status["hostIP"]) == ("127.1.0.1", [{"ip": "127.1.0.1"}], "127.0.0.9")


@pytest.mark.parametrize(("code", "phase", "reason"), [(0, "Succeeded", "Completed"), (3, "Failed", "Error")])
def test_an_ended_pod(code, phase, reason):
    status = status_of(pod(), main(attempt(code=code)))
    assert (status["phase"], state(status)["terminated"]["reason"], state(status)["terminated"]["exitCode"]) == (phase, reason, code)
    assert {c["type"]: c.get("reason") for c in status["conditions"]}["Ready"] == "PodCompleted"


def test_the_pod_ends_after_its_sidecars():
    sidecar = Container("s", "sidecar", "Always", (attempt(),), started=True, ready=True)
    assert status_of(pod(inits=["s"]), sidecar, main(attempt(code=0)))["phase"] == "Running"
    ended = Container("s", "sidecar", "Always", (attempt(code=143),))
    assert status_of(pod(inits=["s"]), ended, main(attempt(code=0)))["phase"] == "Succeeded"


def test_an_init_container_that_fails_finally():
    init = Container("a", "init", "Never", (attempt(code=1),))
    assert status_of(pod(inits=["a"]), init, main())["phase"] == "Failed"


def test_back_off():
    status = status_of(pod(), main(attempt(code=1), attempt(number=1, code=2), policy="Always"))
    (found,) = status["containerStatuses"]
    assert status["phase"] == "Running"
    assert found["state"]["waiting"]["reason"] == "CrashLoopBackOff"
    assert (found["restartCount"], found["lastState"]["terminated"]["exitCode"]) == (1, 2)


def test_the_reason_why_a_container_cannot_start():
    status = status_of(pod(), main(), waiting={"m": ("ErrImageNeverPull", "make it")})
    assert state(status) == {"waiting": {"reason": "ErrImageNeverPull", "message": "make it"}}


def test_other_conditions_stay_and_transition_times_are_kept():
    scheduled = {"type": "PodScheduled", "status": "True", "lastTransitionTime": "then"}
    ready = {"type": "Ready", "status": "True", "lastTransitionTime": "before"}
    status = status_of(pod(scheduled, ready), main(attempt()))
    assert status["conditions"][0] == scheduled
    assert next(c for c in status["conditions"] if c["type"] == "Ready")["lastTransitionTime"] == "before"
    status = status_of(pod(scheduled, ready), main(attempt(), ready=False))
    assert next(c for c in status["conditions"] if c["type"] == "Ready")["lastTransitionTime"] == "2023-11-14T22:13:20Z"


@pytest.mark.parametrize(
    ("file", "policy", "code", "message"),
    [
        ("termination", "File", 0, "x" * 4096),
        ("log", "File", 1, None),
        ("log", "FallbackToLogsOnError", 0, None),
        ("log", "FallbackToLogsOnError", 1, "x" * 2048),
    ],
)
def test_termination_messages(tmp_path, file, policy, code, message):
    (tmp_path / file).write_text("y" + "x" * 5000)
    status = status_of(pod(terminationMessagePolicy=policy), main(attempt(tmp_path, code=code)), plan=Plan(over=True))
    assert state(status)["terminated"].get("message") == message
