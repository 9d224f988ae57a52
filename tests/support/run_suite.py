"""Runs that go well, and what may happen to them meanwhile: the same tests on every engine, with the same expectations.

A module of tests takes them all with `from run_suite import *` and has a fixture `engine` (see `engine.Engine`). They are stories: told
side by side, so each has clusters, labels and names of its own where it changes them.
"""

from __future__ import annotations

import hashlib
import io
import json

import numpy as np
import pytest
from safetensors.numpy import load as load_model

from engine import Engine
from panal.kube import kinds
from panal.kube.errors import Invalid
from panal.kube.events import REPEATED_AFTER
from panal.kube.times import from_time, now_utc
from panal.lifecycle.reasons import Reason
from runs import APP_IMAGE, Run, apply, label_clusters
from stories import story
from waiting import eventually

NS = "runs"
SLOW = {"env": [{"name": "STEPS_SECONDS", "value": "4"}]}
STORY = ["AggregatorStarting", "ClusterAdded", "ClusterAdded", "Training", "RoundCompleted", "RoundCompleted", "ModelStored", "Completed"]


@story()
def test_a_run_tells_its_story_and_leaves_its_model(engine: Engine) -> None:
    server = {"listeners": [{"name": "main", "type": "NodePort"}], "runConfig": {"scale": 2}}
    run = apply(engine, NS, "story", clusters=["cluster1", "cluster2"], server=server)
    status = run.until_ended("Completed")
    rounds = status["rounds"]
    assert (rounds["summary"], rounds["replies"], rounds["failures"]) == ("2/2", 2, 0)
    assert rounds["seconds"] > 0
    assert status["clients"] == {"selected": 2, "ready": 2, "failed": 0, "summary": "2/2"}
    assert [c["cluster"] for c in status["collaborators"]] == ["cluster1", "cluster2"]
    assert all(c["round"] == 2 and c["metrics"]["loss"] == 1 for c in status["collaborators"])
    found = [[c["metrics"][name] for name in ("partition-id", "num-partitions", "scale")] for c in status["collaborators"]]
    assert found == [[0, 2, 2], [1, 2, 2]]
    assert status["model"]["uri"].startswith("pvc://models/runs/story/")
    assert status["listeners"][0]["address"].startswith(engine.aggregator_address())
    run.until_cleaned()
    assert [reason for _, reason, _ in run.events() if reason in STORY] == STORY
    assert not [e for e in run.events() if e[0] == "Warning"]
    stored(engine, run, status["model"])
    run.check_history(["cluster1", "cluster2"])
    traffic = [(each.received, each.sent) for row in run.history().rounds for each in (row.clusters or {}).values()]
    assert not [pair for pair in traffic if 0 in pair], traffic  # of a gateway that is busy they are not known
    run.delete()


def stored(engine: Engine, run: Run, model: dict[str, object]) -> None:
    """The digest in the status is that of the file on the volume."""
    path = str(model["uri"]).removeprefix("pvc://models/")
    digest = hashlib.sha256(engine.read(run.namespace, "models", path)).hexdigest()
    assert f"sha256:{digest}" == model["digest"]
    metadata = json.loads(engine.read(run.namespace, "models", path.replace("model.safetensors", "metadata.json")))
    assert metadata["clusters"] == {"cluster1": [1, 2], "cluster2": [1, 2]}
    assert metadata["model"]["digest"] == model["digest"]
    (kept,) = metadata["files"]["list"]
    assert run.status()["files"]["count"] == 1
    content = engine.read(run.namespace, "models", path.replace("model.safetensors", "files/final.npy"))
    assert (kept["path"], kept["sha256"]) == ("final.npy", hashlib.sha256(content).hexdigest())


@story("own-loop", "secure", "two-models")
def test_ways_of_using_flower(engine: Engine, kind: str) -> None:
    run = apply(engine, NS, kind, clusters=["cluster1", "cluster2", "cluster3"], server={"runConfig": {"kind": kind}})
    status = run.until_ended("Completed")
    rounds, model = status["rounds"], status.get("model")
    assert (rounds["completed"], rounds["replies"], rounds["failures"]) == (2, 3, 0)
    if kind == "own-loop":
        assert (status["files"]["count"], model) == (1, None)
        folder = str(status["files"]["uri"]).removeprefix("pvc://models/")
        assert np.load(io.BytesIO(engine.read(NS, "models", f"{folder}own.npy"))).tolist() == [2.0] * 3
    else:
        folder = str(model["uri"]).removeprefix("pvc://models/").removesuffix("model.safetensors")
        kept = {"secure": ["0"], "two-models": ["second"]}[kind]
        assert list(load_model(engine.read(NS, "models", f"{folder}model.safetensors"))) == kept
    if kind == "two-models":
        assert list(load_model(engine.read(NS, "models", f"{folder}start-1/model.safetensors"))) == ["first"]
    run.delete()


@story()
def test_any_container_that_keeps_the_contract(engine: Engine) -> None:
    """examples/plain: a server and clients without a framework."""
    server = {"command": ["python3", "plain/server.py"], "rounds": 3}
    client = {"command": ["python3", "plain/client.py"]}
    run = apply(engine, NS, "plain", clusters=["cluster1", "cluster2"], framework="other", server=server, client=client)
    run.until_every_round_counted(["cluster1", "cluster2"])
    status = run.status()
    assert (status["rounds"]["summary"], status["rounds"]["replies"]) == ("3/3", 2)
    assert all(c["metrics"]["loss"] < 2.4 for c in status["collaborators"])
    path = str(status["model"]["uri"]).removeprefix("pvc://models/")
    assert load_model(engine.read(NS, "models", path))["w"].shape == (20, 10)
    run.delete()


@story()
def test_waiting_says_what_is_missing_and_goes_on_when_it_comes(engine: Engine) -> None:
    engine.hub.label(kinds.MANAGED_CLUSTER, "cluster1", waits="cluster1")
    run = apply(engine, NS, "waits", label="waits", clusters=["cluster1", "cluster2"], server={"rounds": 1})
    status = run.until(lambda s: "cluster2 lacks label waits" in s.get("message", ""), "cluster2 is named", 30)
    assert status["phase"] == "Waiting"
    assert "1 of 4 clusters qualify" in status["message"]
    engine.hub.label(kinds.MANAGED_CLUSTER, "cluster2", waits="cluster2")
    run.until_ended("Completed")
    run.delete()


@story()
def test_clusters_that_leave_lose_their_work_and_those_that_come_take_part(engine: Engine) -> None:
    label_clusters(engine, "moves", ["cluster1", "cluster2"])
    run = apply(engine, NS, "moves", label="moves", clusters=["cluster1", "cluster2"], minimum=1, server={"rounds": 4}, client=SLOW)
    run.until_round(1)
    engine.hub.label(kinds.MANAGED_CLUSTER, "cluster2", moves="gone")
    engine.hub.label(kinds.MANAGED_CLUSTER, "cluster3", moves="cluster2")
    eventually(lambda: run.works() == ["cluster1", "cluster3"], "cluster3 for cluster2", 60)
    eventually(lambda: not run.collaborators("cluster2"), "the collaborator of cluster2 is gone", 60)
    status = run.until_ended("Completed")
    assert [c["cluster"] for c in status["collaborators"]] == ["cluster1", "cluster3"]
    assert ("Normal", "ClusterRemoved", "cluster2 no longer takes part") in run.events()
    assert ("Normal", "ClusterAdded", "cluster3 takes part") in run.events()
    run.delete()


@story()
def test_two_runs_of_one_name_never_touch_each_other(engine: Engine) -> None:
    engine.hub.make_namespace("other")
    first = apply(engine, NS, "twin", clusters=["cluster1"], server={"rounds": 2}, client=SLOW)
    second = apply(engine, "other", "twin", clusters=["cluster1"], server={"rounds": 3})
    first.until_running()
    second.until_running()
    assert len(first.collaborators("cluster1")) == len(second.collaborators("cluster1")) == 1
    second.delete()
    assert first.until_ended("Completed")["rounds"]["summary"] == "2/2"
    first.delete()
    engine.hub.delete(kinds.NAMESPACE, "", "other")


@story()
def test_more_rounds_and_nothing_else_while_it_runs(engine: Engine) -> None:
    run = apply(engine, NS, "longer", clusters=["cluster3"], server={"rounds": 2}, client=SLOW)
    run.until_running()
    with pytest.raises(Invalid, match=r"spec\.client\.image"):
        run.patch(client={"image": "other"})
    with pytest.raises(Invalid, match="rounds"):
        run.patch(server={"rounds": 1})
    run.patch(server={"rounds": 3})
    assert run.until_ended("Completed")["rounds"]["summary"] == "3/3"
    run.delete()


@story()
def test_stopped_it_ends_and_its_record_stays(engine: Engine) -> None:
    run = apply(engine, NS, "halt", clusters=["cluster3"], server={"rounds": 99}, client=SLOW)
    run.until_round(1)
    run.patch(stop=True)
    status = run.until_ended("Failed", 30)
    assert run.reason() == "Stopped"
    assert "the run was Running: round " in status["message"]
    assert status["rounds"]["completed"] >= 1
    run.until_cleaned()
    eventually(lambda: not run.collaborators("cluster3") and not run.aggregators(), "its Pods are gone", 60)
    with pytest.raises(Invalid, match="the run has ended"):
        run.patch(stop=False)
    run.delete()


@story()
def test_suspended_and_resumed(engine: Engine) -> None:
    run = apply(engine, NS, "pause", clusters=["cluster3"], server={"rounds": 4}, client=SLOW)
    run.until(lambda s: s.get("rounds", {}).get("checkpoint", 0) >= 1, "a checkpoint")
    run.patch(suspend=True)
    status = run.until(lambda s: s.get("phase") == "Waiting", "Waiting", 30)
    assert "spec.suspend" in status["message"]
    run.until_cleaned()
    eventually(lambda: not run.collaborators("cluster3"), "the collaborator is gone", 60)
    said = from_time(run.event("ClusterAdded")["lastTimestamp"])
    eventually(lambda: now_utc() - said > REPEATED_AFTER, "what is said again by now is no echo", 30)
    run.patch(suspend=False, server={"rounds": 5})
    rounds = run.until_ended("Completed")["rounds"]
    assert (rounds["summary"], rounds["resumed"] >= 1) == ("5/5", True)
    assert run.rounds_of("cluster3") == [1, 2, 3, 4, 5]
    assert [e for e in run.events() if e[1] == "ClusterAdded"] == [("Normal", "ClusterAdded", "cluster3 takes part")]
    assert run.event("ClusterAdded")["count"] == 2
    run.delete()


@story()
def test_deletion_removes_everything_of_the_run(engine: Engine) -> None:
    run = apply(engine, NS, "short", clusters=["cluster1"], client=SLOW)
    run.until_running()
    run.delete()
    run.until_nothing_is_left()
    eventually(lambda: not run.collaborators("cluster1"), "nothing is left on the spoke", 60)
    assert engine.hub.get(kinds.PERSISTENT_VOLUME_CLAIM, NS, "models")


@story()
def test_deletion_while_a_spoke_is_unreachable_gives_up_in_time(engine: Engine) -> None:
    run = apply(engine, NS, "stuck", clusters=["cluster4"], client=SLOW)
    run.until_running()
    engine.cut("cluster4")
    try:
        run.delete(seconds=90)
        given_up = [e for e in run.events() if e[1] == "CleanupIncomplete"]
        assert len(given_up) == 1
        assert "cluster4" in given_up[0][2]
    finally:
        engine.restore("cluster4")


@story()
def test_a_quiet_hub_is_not_written_to(engine: Engine) -> None:
    """No-op reconciles write nothing: a waiting run, looked at again because the controller starts anew."""
    engine.hub.make_namespace("quiet")
    run = apply(engine, "quiet", "quiet", clusters=["cluster1", "nowhere"], minimum=2)
    run.until(lambda s: "2 needed" in s.get("message", ""), "it waits", 30)

    def versions() -> list[str]:
        found = [*engine.hub.list(kinds.FEDERATED_LEARNING, "quiet"), *engine.hub.list(kinds.PLACEMENT, "quiet")]
        return [f"{o['metadata']['name']} {o['metadata']['resourceVersion']}" for o in found]

    before = versions()
    engine.restart_controller()
    assert versions() == before
    run.delete()
    engine.hub.delete(kinds.NAMESPACE, "", "quiet")


@story()
def test_old_resources_apply_and_say_what_cannot_be_run(engine: Engine) -> None:
    old = {"framework": "other", "server": {"image": APP_IMAGE, "listeners": [{"name": "r", "type": "Route", "port": 443}]}}
    run = apply(engine, NS, "former", clusters=["cluster1"], **old)
    status = run.until(lambda s: "spec.server.listeners[0].type: " in s.get("message", ""), "the run says what it cannot have", 30)
    assert (status["phase"], run.reason()) == ("Waiting", Reason.LISTENER_NOT_SUPPORTED), run.story()
    assert "which only OpenShift has" in status["message"]
    run.delete()
