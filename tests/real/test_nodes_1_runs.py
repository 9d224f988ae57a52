"""Runs that go well, and what may happen to them meanwhile: everything real, on a hub and four spokes with nodes."""

from __future__ import annotations

import json

import pytest

from fleet import Fleet
from runs import APP_IMAGE, Run, apply, eventually, label_clusters

pytestmark = [pytest.mark.real, pytest.mark.nodes]

NS = "runs"
SLOW = {"env": [{"name": "STEPS_SECONDS", "value": "4"}]}


def collaborator_pods(fleet: Fleet, name: str) -> list[str]:
    selector = "fl.panal/component=collaborator"
    return fleet[name].kubectl("-n", "panal-collaborator", "get", "pods", "-l", selector, "-o", "name", check=False).split()


def test_a_run_tells_its_story_and_leaves_its_model(runs: Fleet) -> None:
    run = apply(runs.hub, NS, "story", clusters=["cluster1", "cluster2"], server={"listeners": [{"name": "main", "type": "NodePort"}]})
    status = run.until_ended("Completed")
    rounds = status["rounds"]
    assert (rounds["summary"], rounds["replies"], rounds["failures"]) == ("2/2", 2, 0)
    assert rounds["seconds"] > 0
    assert status["clients"] == {"selected": 2, "ready": 2, "failed": 0, "summary": "2/2"}
    assert [c["cluster"] for c in status["collaborators"]] == ["cluster1", "cluster2"]
    assert all(c["round"] == 2 and c["metrics"]["loss"] == 1 for c in status["collaborators"])
    assert status["model"]["uri"].startswith("pvc://models/runs/story/")
    assert status["listeners"][0]["address"].startswith("10.77.")
    run.until_cleaned()
    told = [reason for _, reason, _ in run.events()]
    story = [
        "AggregatorStarting",
        "ClusterAdded",
        "ClusterAdded",
        "Training",
        "RoundCompleted",
        "RoundCompleted",
        "ModelStored",
        "Completed",
    ]
    assert [r for r in told if r in story] == story
    assert not [e for e in run.events() if e[0] == "Warning"]
    shown = runs.hub.kubectl("-n", NS, "get", "fl", "story").splitlines()[1].split()
    assert shown[:4] == ["story", "Completed", "2/2", "2/2"]
    stored(runs, run, status["model"])
    run.delete()


def stored(fleet: Fleet, run: Run, model: dict[str, object]) -> None:
    """The digest in the status is that of the file on the volume."""
    claim = json.loads(fleet.hub.kubectl("-n", run.namespace, "get", "pvc", "models", "-o", "json"))["spec"]["volumeName"]
    folder = str(model["uri"]).removeprefix("pvc://models/")
    assert fleet.enter("hub", "sha256sum", f"/srv/{claim}/{folder}").split()[0] == str(model["digest"]).removeprefix("sha256:")
    metadata = json.loads(fleet.enter("hub", "cat", f"/srv/{claim}/{folder.replace('model.safetensors', 'metadata.json')}"))
    assert metadata["clusters"] == {"cluster1": [1, 2], "cluster2": [1, 2]}
    assert metadata["model"]["digest"] == model["digest"]


def test_waiting_says_what_is_missing_and_goes_on_when_it_comes(runs: Fleet) -> None:
    runs.hub.kubectl("label", "managedcluster", "cluster2", "name-")
    run = apply(runs.hub, NS, "waits", clusters=["cluster1", "cluster2"], server={"rounds": 1})
    status = run.until(lambda s: "cluster2 lacks label name" in s.get("message", ""), "cluster2 is named", 30)
    assert status["phase"] == "Waiting"
    assert "1 of 4 clusters qualify" in status["message"]
    runs.hub.kubectl("label", "managedcluster", "cluster2", "name=cluster2")
    run.until_ended("Completed")
    run.delete()


def test_clusters_that_leave_lose_their_work_and_those_that_come_take_part(runs: Fleet) -> None:
    run = apply(runs.hub, NS, "moves", clusters=["cluster1", "cluster2", "cluster3"], minimum=1, server={"rounds": 4}, client=SLOW)
    run.until_round(1)
    try:
        runs.hub.kubectl("label", "managedcluster", "cluster2", "name=gone", "--overwrite")
        runs.hub.kubectl("label", "managedcluster", "cluster4", "name=cluster3", "--overwrite")
        eventually(lambda: run.works() == ["cluster1", "cluster3", "cluster4"], "cluster4 for cluster2", 60)
        eventually(lambda: not collaborator_pods(runs, "cluster2"), "the collaborator of cluster2 is gone", 60)
        status = run.until_ended("Completed")
    finally:
        label_clusters(runs)
    assert [c["cluster"] for c in status["collaborators"]] == ["cluster1", "cluster3", "cluster4"]
    assert ("Normal", "ClusterRemoved", "cluster2 no longer takes part") in run.events()
    assert ("Normal", "ClusterAdded", "cluster4 takes part") in run.events()
    run.delete()


def test_two_runs_of_one_name_never_touch_each_other(runs: Fleet) -> None:
    runs.hub.kubectl("create", "namespace", "other")
    first = apply(runs.hub, NS, "twin", clusters=["cluster1"], server={"rounds": 2}, client=SLOW)
    second = apply(runs.hub, "other", "twin", clusters=["cluster1"], server={"rounds": 3})
    first.until_running()
    second.until_running()
    assert len(collaborator_pods(runs, "cluster1")) == 2
    second.delete()
    status = first.until_ended("Completed")
    assert status["rounds"]["summary"] == "2/2"
    first.delete()
    runs.hub.kubectl("delete", "namespace", "other")


def test_more_rounds_and_nothing_else_while_it_runs(runs: Fleet) -> None:
    run = apply(runs.hub, NS, "longer", clusters=["cluster3"], server={"rounds": 2}, client=SLOW)
    run.until_running()
    with pytest.raises(RuntimeError, match=r"spec\.client\.image"):
        run.patch(client={"image": "other"})
    with pytest.raises(RuntimeError, match="rounds"):
        run.patch(server={"rounds": 1})
    run.patch(server={"rounds": 3})
    assert run.until_ended("Completed")["rounds"]["summary"] == "3/3"
    run.delete()


def test_suspended_and_resumed(runs: Fleet) -> None:
    run = apply(runs.hub, NS, "pause", clusters=["cluster4"], server={"rounds": 2}, client=SLOW)
    run.until_running()
    run.patch(suspend=True)
    status = run.until(lambda s: s.get("phase") == "Waiting", "Waiting", 30)
    assert "spec.suspend" in status["message"]
    run.until_cleaned()
    eventually(lambda: not collaborator_pods(runs, "cluster4"), "the collaborator is gone", 60)
    run.patch(suspend=False, server={"rounds": 1})
    assert run.until_ended("Completed")["rounds"]["summary"] == "1/1"
    run.delete()


def test_deletion_removes_everything_of_the_run(runs: Fleet) -> None:
    run = apply(runs.hub, NS, "short", clusters=["cluster1"], client=SLOW)
    run.until_running()
    run.delete()
    kinds = "jobs,services,configmaps,serviceaccounts,roles,rolebindings,placements,manifestworks,pods"
    left = ("get", kinds, "-A", "-l", "fl.panal/run=short", "-o", "name")
    eventually(lambda: runs.hub.kubectl(*left) == "", "nothing is left on the hub", 60)
    eventually(lambda: not collaborator_pods(runs, "cluster1"), "nothing is left on the spoke", 60)
    assert "models" in runs.hub.kubectl("-n", NS, "get", "pvc", "-o", "name")


def test_deletion_while_a_spoke_is_unreachable_gives_up_in_time(runs: Fleet) -> None:
    run = apply(runs.hub, NS, "stuck", clusters=["cluster4"], client=SLOW)
    run.until_running()
    runs.cut("cluster4")
    try:
        run.delete(seconds=90)
        given_up = [e for e in run.events() if e[1] == "CleanupIncomplete"]
        assert len(given_up) == 1
        assert "cluster4" in given_up[0][2]
    finally:
        runs.restore("cluster4")


def test_a_quiet_hub_is_not_written_to(runs: Fleet) -> None:
    """No-op reconciles write nothing: an ended and a waiting run, looked at again because the controller starts anew."""
    run = apply(runs.hub, NS, "quiet", clusters=["cluster1", "nowhere"], minimum=2)
    run.until(lambda s: "2 needed" in s.get("message", ""), "it waits", 30)
    versions = ("-n", NS, "get", "fl,placements", "-o", "jsonpath={.items[*].metadata.resourceVersion}")
    before = runs.hub.kubectl(*versions)
    runs.hub.kubectl("-n", "panal-system", "delete", "pod", "-l", "app.kubernetes.io/name=panal", "--wait")
    runs.hub.kubectl("-n", "panal-system", "rollout", "status", "deployment/panal-controller", "--timeout=120s")
    eventually(lambda: leads(runs), "the new controller leads", 60)
    assert runs.hub.kubectl(*versions) == before
    run.delete()


def leads(fleet: Fleet) -> bool:
    logs = fleet.hub.kubectl("-n", "panal-system", "logs", "deployment/panal-controller", check=False)
    return " leads " in logs


def test_old_resources_apply_and_say_what_cannot_be_run(runs: Fleet) -> None:
    old = {"framework": "other", "server": {"image": APP_IMAGE, "listeners": [{"name": "r", "type": "Route", "port": 443}]}}
    run = apply(runs.hub, NS, "former", clusters=["cluster1"], **old)
    status = run.until_ended("Failed", 30)
    assert "spec.framework" in status["message"]
    run.delete()
