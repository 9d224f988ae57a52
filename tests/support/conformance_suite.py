"""What every runtime owes a run, with its real framework, on any engine: the same stories and expectations for each.

A runtime takes part with a `Kit`, if PANAL_RUNTIMES names it; by default those whose app is in the image of all tests. What no Pod decides
(which paths pass the gateway, who is an impostor) is tested with the gateways, once for all.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from dataclasses import dataclass, field
from typing import Any

from safetensors.numpy import load as load_model

from engine import HUB, Engine
from panal.kube import kinds
from runs import APP_IMAGE, Run, apply, label_clusters
from stories import story

NS = "runs"
# By runtime: the folder below tests, the lock file, and the name of an image of its own.
IMAGES = {
    "flare": ("flare/jobs/digits", "flare-2.9.txt", "panal/test-flare:1"),
    "openfl": ("openfl/apps/digits", "openfl-1.9.txt", "panal/test-openfl:1"),
}
CUT_SECONDS = 15
LONGEST = 600.0  # seconds of a long run on a busy machine
RUNTIMES = os.environ.get("PANAL_RUNTIMES", "flower other").split()


@dataclass(frozen=True)
class Kit:
    """An app of a runtime: its settings, and how tests find its processes."""

    framework: str
    arrays: frozenset[str]  # of its model
    client_program: str  # the main process of a collaborator
    server_program: str  # the main process of the aggregator
    long: int  # rounds that take half a minute and more
    server: dict[str, Any] = field(default_factory=dict)
    client: dict[str, Any] = field(default_factory=dict)
    image: str = APP_IMAGE


KITS = {
    kit.framework: kit
    for kit in (
        Kit("flower", frozenset({"shared-weights"}), "run.py flower supernode", "run.py flower launcher", long=30),
        Kit(
            "other",
            frozenset("wb"),
            "plain/client.py",
            "run.py other aggregator",
            long=90,
            server={"command": ["python3", "plain/server.py"]},
            client={"command": ["python3", "plain/client.py"]},
        ),
        Kit("openfl", frozenset("wb"), "run.py openfl collaborator", "run.py openfl aggregator", long=60, image=IMAGES["openfl"][-1]),
        Kit("flare", frozenset("wb"), "run.py flare client", "run.py flare server", long=20, image=IMAGES["flare"][-1]),
    )
    if kit.framework in RUNTIMES
}
each = story(*KITS)


def begin(engine: Engine, framework: str, name: str, sites: list[str], *, rounds: int | None = None, **more: Any) -> Run:
    """A run of the runtime's app; without `rounds` a long one."""
    kit = KITS[framework]
    server = {"image": kit.image, **kit.server, "rounds": rounds or kit.long, **more.pop("server", {})}
    client = {"image": kit.image, **kit.client}
    return apply(engine, NS, f"{framework}-{name}", clusters=sites, framework=framework, server=server, client=client, **more)


@each
def test_rounds_metrics_and_the_model_with_its_digest(engine: Engine, framework: str) -> None:
    sites = ["cluster1", "cluster2"]
    run = begin(engine, framework, "whole", sites, rounds=3)
    run.until_every_round_counted(sites)
    status = run.status()
    assert (status["rounds"]["summary"], status["rounds"]["replies"]) == ("3/3", 2)
    assert [c["cluster"] for c in status["collaborators"]] == sites
    assert all(c["metrics"] and c["round"] == 3 for c in status["collaborators"])
    assert status["model"]["round"] == 3
    path = str(status["model"]["uri"]).removeprefix("pvc://models/")
    content = engine.read(NS, "models", path)
    assert f"sha256:{hashlib.sha256(content).hexdigest()}" == status["model"]["digest"]
    assert load_model(content).keys() == KITS[framework].arrays
    metadata = json.loads(engine.read(NS, "models", path.replace("model.safetensors", "metadata.json")))
    assert metadata["model"]["digest"] == status["model"]["digest"]
    run.until_cleaned()
    run.delete()


@story()
def test_without_a_quorum_it_fails_in_time_and_says_how_many_are_missing(engine: Engine) -> None:
    """cluster4 is away, and hears of nothing."""
    engine.cut("cluster4")
    try:
        runs = [begin(engine, kit, "few", ["cluster1", "cluster4"], server={"quorumTimeoutSeconds": 30}) for kit in KITS]
        for run in runs:
            status = run.until_ended("Failed")
            assert run.reason() == "QuorumNotReached", run.story()
            assert "2 are needed (spec.server.minAvailableClients)" in status["message"]
            assert "1 collaborators" in status["message"]
    finally:
        engine.restore("cluster4")
    for run in runs:
        run.delete()


@each
def test_a_killed_collaborator_takes_part_again(engine: Engine, framework: str) -> None:
    sites = ["cluster1", "cluster2"]
    run = begin(engine, framework, "killed", sites)
    run.until_round(2)
    run.kill("cluster2", KITS[framework].client_program)
    run.until_no_round_is_lost(sites)
    run.delete()


@each
def test_a_cut_cable_costs_no_round(engine: Engine, framework: str) -> None:
    sites = ["cluster1", "cluster3"]
    run = begin(engine, framework, "cut", sites)
    run.until_round(2)
    engine.cut("cluster3")
    try:
        time.sleep(CUT_SECONDS)
    finally:
        engine.restore("cluster3")
    run.until_no_round_is_lost(sites, LONGEST)
    run.delete()


@each
def test_a_late_collaborator_takes_part(engine: Engine, framework: str) -> None:
    label = f"late-{framework}"
    label_clusters(engine, label, ["cluster1", "cluster2"])
    engine.hub.label(kinds.MANAGED_CLUSTER, "cluster2", **{label: "not-yet"})
    run = begin(engine, framework, "late", ["cluster1", "cluster2"], label=label, minimum=1)
    run.until_round(1)
    engine.hub.label(kinds.MANAGED_CLUSTER, "cluster2", **{label: "cluster2"})
    run.until(lambda s: any(c["cluster"] == "cluster2" and c.get("round") for c in s["collaborators"]), "cluster2 has replied")
    assert run.until_ended("Completed")["rounds"]["replies"] == 2
    run.delete()


@each
def test_after_the_loss_of_its_aggregator_it_goes_on(engine: Engine, framework: str) -> None:
    sites = ["cluster1", "cluster2"]
    run = begin(engine, framework, "lost", sites, server={"quorumTimeoutSeconds": 300})
    checkpoint = until_a_checkpoint(run)
    run.kill(HUB, KITS[framework].server_program)
    run.until(lambda s: s.get("restarts", {}).get("count"), "another aggregator")
    run.until_no_round_is_lost(sites, LONGEST)
    assert run.status()["restarts"]["count"] == 1, run.story()
    assert run.status()["rounds"].get("resumed", 0) >= checkpoint, run.story()
    run.until_cleaned()
    run.delete()


def until_a_checkpoint(run: Run) -> int:
    """The round of the last checkpoint."""
    status = run.until(lambda s: s.get("rounds", {}).get("checkpoint", 0) >= 1, "a checkpoint")
    return int(status["rounds"]["checkpoint"])


@each
def test_the_deadline_ends_it(engine: Engine, framework: str) -> None:
    run = begin(engine, framework, "deadline", ["cluster1", "cluster2"], activeDeadlineSeconds=20, server={"rounds": 5000})
    run.until_ended("Failed")
    assert run.reason() == "DeadlineExceeded", run.story()
    run.until_cleaned()
    run.delete()


@each
def test_suspended_and_resumed_it_completes(engine: Engine, framework: str) -> None:
    sites = ["cluster1", "cluster2"]
    run = begin(engine, framework, "pause", sites)
    checkpoint, total = until_a_checkpoint(run), KITS[framework].long
    run.patch(suspend=True)
    run.until(lambda s: s.get("phase") == "Waiting", "Waiting", 30)
    run.until_cleaned()
    run.patch(suspend=False)
    run.until_every_round_counted(sites, LONGEST)
    assert run.status()["rounds"]["summary"] == f"{total}/{total}"
    assert "restarts" not in run.status()
    assert run.status()["rounds"].get("resumed", 0) >= checkpoint, run.story()
    run.delete()
