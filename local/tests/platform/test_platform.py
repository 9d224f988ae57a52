"""`panal up`, `down` and `status`, and kill -9 of any part, of the supervisor, and of everything."""

from __future__ import annotations

import signal

import pytest

from api import api
from panal.client.access import contexts
from panal.kube import kinds
from panal_local.supervisor.folder import SUPERVISOR
from panal_local.supervisor.process import find, signal_process
from waiting import eventually

NOTE = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "note", "namespace": "default"}, "data": {"a": "b"}}


@pytest.fixture(scope="module")
def up(home):
    home.panal("up", "--clusters", "1")
    return home


def hub(home):
    return api(home.folder.admin("hub"))


def pids(home):
    return {name: process.pid for name, process in home.parts().items()}


def available(home):
    return {c["metadata"]["name"] for c in home.json("get", "clusters")["items"] if ready(c)}


def ready(cluster):
    conditions = {c["type"]: c["status"] for c in cluster.get("status", {}).get("conditions", [])}
    return conditions.get("ManagedClusterConditionAvailable") == "True"


def test_up_starts_missing_parts_and_keeps_the_others(up):
    before = pids(up)
    assert before.keys() == {SUPERVISOR, "hub", "hub-controller", "cluster1"}
    up.panal("up")
    assert pids(up) == before
    up.panal("up", "--clusters", "2", "--claim", "cluster2:digits.example.com=pvc://digits")
    after = pids(up)
    assert {name: after[name] for name in before} == before
    assert after.keys() - before.keys() == {"cluster2"}
    assert contexts(up.folder.kubeconfig) == ("hub", ["hub", "cluster1", "cluster2"])

    def claimed():
        cluster = next(c for c in up.json("get", "clusters")["items"] if c["metadata"]["name"] == "cluster2")
        return {"name": "digits.example.com", "value": "pvc://digits"} in cluster["status"].get("clusterClaims", [])

    eventually(claimed, "the claim is seen on the hub", 30)


def test_status(up):
    status = up.json("status")
    assert status["up"]
    assert {part["name"] for part in status["parts"]} == set(pids(up))
    assert all(part["megabytes"] > 1 for part in status["parts"])


def test_a_ready_cluster_is_usable(up):
    up.panal("up", "--clusters", "2")
    assert available(up) == {"cluster1", "cluster2"}


def test_killed_parts_restart_without_loss(up):
    hub(up).apply(NOTE)
    before = up.parts()
    for name in before:
        if name != SUPERVISOR:
            signal_process(up.folder, name, signal.SIGKILL)
            eventually(lambda name=name: (found := find(up.folder, name)) and found.pid != before[name].pid, f"{name} is back", 30)
    up.panal("up")
    assert hub(up).get(kinds.CONFIG_MAP, "default", "note")["data"] == {"a": "b"}
    assert available(up) == {"cluster1", "cluster2"}


def test_parts_end_with_the_supervisor_and_up_restarts_them(up):
    before = pids(up)
    signal_process(up.folder, SUPERVISOR, signal.SIGKILL)
    eventually(lambda: not up.parts(), "all have ended", 10)
    up.panal("status", code=7)
    up.panal("up")
    after = pids(up)
    assert after.keys() == before.keys()
    assert not set(after.values()) & set(before.values())


def test_up_restores_a_platform_after_kill_9_of_all_processes(up):
    before = pids(up)
    hub(up).apply(NOTE)
    for name in sorted(before, key=lambda name: name != SUPERVISOR):
        signal_process(up.folder, name, signal.SIGKILL)
    eventually(lambda: not up.parts(), "all have ended", 10)
    up.panal("up")
    assert pids(up).keys() == before.keys()
    assert hub(up).get(kinds.CONFIG_MAP, "default", "note")["data"] == {"a": "b"}
    assert available(up) == {"cluster1", "cluster2"}


def test_down_leaves_no_process_and_up_restores_everything(up):
    spec = {"containers": [{"name": "main", "image": "panal/pod-tools:0.1.0", "command": ["sleep", "1000"]}], "restartPolicy": "Never"}
    spoke = api(up.folder.admin("cluster1"))
    spoke.apply({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "sleeper", "namespace": "default"}, "spec": spec})
    eventually(lambda: spoke.get(kinds.POD, "default", "sleeper").get("status", {}).get("phase") == "Running", "it runs", 30)
    eventually(lambda: any("sleep 1000" in line for line in up.processes()), "its process is there", 10)
    up.panal("down")
    assert up.processes() == []
    up.panal("get", code=3)
    up.panal("up")
    assert hub(up).get(kinds.CONFIG_MAP, "default", "note")["data"] == {"a": "b"}
    assert available(up) == {"cluster1", "cluster2"}
