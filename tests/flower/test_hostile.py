"""One hostile site among honest ones, with the real Flower: it affects only its own replies, and it is named."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from safetensors.numpy import load_file

from panal.pod.tools.flower.arrivals import SHORTEST
from reporting import ConfigMap, reporting
from waiting import eventually

from .conftest import Pods

pytestmark = pytest.mark.flower

Make = Callable[..., Pods]
HOSTILE = Path(__file__).parents[1] / "real/app/steps/hostile.py"

# What the status says of the site in the round of each attack; "": nothing, the reply counts.
PUSHES = {
    "honest": "",
    "nothing comes": "ReplyIncomplete",
    "one is missing": "ReplyIncomplete",
    "repeated": "",
    "a strange object": "ReplyInvalid",
    "not a name": "ReplyInvalid",
    "too deep": "ReplyInvalid",
    "another content": "ReplyInvalid",
    "no form": "ReplyInvalid",
    "unfolds": "ReplyTooLarge",
    "a false length": "ReplyInvalid",
    "many names": "ReplyTooLarge",
    "long requests": "",
    "lies within": "ReplyInvalid",
    "in a batch": "",
    "a batch too short": "ReplyInvalid",
    "a batch of references": "ReplyInvalid",
    "two replies": "ReplyInvalid",
    "expired": "ReplyInvalid",
    "others": "",
}
REPLIES = {
    "honest": "",
    "another shape": "ArraysDiffer",
    "a shape that spreads": "ArraysDiffer",
    "another type": "ArraysDiffer",
    "text": "ArraysDiffer",
    "one array more": "ArraysDiffer",
    "not a number": "NotFinite",
    "false header": "ReplyInvalid",
    "another storage": "ReplyInvalid",
    "no type": "ReplyInvalid",
    "no header": "ReplyInvalid",
    "no such version": "ReplyInvalid",
    "another order": "",
    "no arrays": "ArraysDiffer",
    "config for arrays": "ArraysDiffer",
    "another metric": "MetricsDiffer",
    "a list for a metric": "MetricsDiffer",
    "no weight": "MetricsDiffer",
    "a negative weight": "WeightInvalid",
    "an endless weight": "WeightInvalid",
}


def start(run: Pods, attacks: list[str], **config: object) -> None:
    app = run.app(**config)
    run.start_superlink()
    run.app_hash = run.bundle(app)
    run.start_site("site1")
    run.start_site("site2")
    eventually(lambda: "Uvicorn running" in run.log("superlink"), "it serves")
    start_hostile(run, attacks)
    run.connected("site1", "site2", "hostile")
    run.start_launcher(app)


def start_hostile(run: Pods, attacks: list[str]) -> None:
    script = [str(run.venv / "bin/python"), str(HOSTILE), f"127.0.0.1:{run.gateways.port('hostile')}", *attacks]
    env = {"PATH": "/usr/bin:/bin", "HOME": str(run.folder), "FLWR_TELEMETRY_ENABLED": "0"}
    with (run.folder / "hostile.log").open("ab") as log:
        run.processes["hostile"] = subprocess.Popen(script, env=env, stdout=log, stderr=log, start_new_session=True)


def statuses(run: Pods) -> dict[str, list[int]]:
    lines = [json.loads(line) for line in run.log("hostile").splitlines() if line.startswith("{")]
    return {line["attack"]: line["met"] for line in lines}


@pytest.mark.parametrize("expected", [PUSHES, REPLIES], ids=["objects", "replies"])
def test_each_attack_affects_only_the_site_itself(pods: Make, expected: dict[str, str]) -> None:
    rounds = len(expected)
    run = pods(rounds=rounds, min_clients=2)
    with reporting(run, ConfigMap()) as folder:
        start(run, list(expected), evaluate=True)
        code, message = run.termination()
        assert code == 0, (message, run.log("superlink")[-3000:])
    trained = {r["round"]: r for r in run.records() if r.get("phase") == "train"}
    assert sorted(trained) == list(range(1, rounds + 1))
    undisturbed = max(trained[number]["seconds"] for number, reason in enumerate(expected.values(), 1) if not reason)
    for (attack, reason), record in zip(expected.items(), trained.values(), strict=True):
        assert record["failed"] == ({"hostile": reason} if reason else {}), attack
        assert {"site1", "site2"} <= set(record["collaborators"]), attack
        assert bool(record.get("messages", {}).get("hostile")) == bool(reason), attack  # and why, in words
        assert record["seconds"] <= 1.5 * undisturbed + SHORTEST + 2, attack  # under 10 s more, on a machine that is busy or not
    assert load_file(folder / "model.safetensors")["w"].tolist() == pytest.approx([float(rounds)] * 3)  # each site added one a round
    for reason in {r for r in expected.values() if r}:
        assert f"reply of hostile is refused: reason={reason}: " in run.log("superlink")
    assert "\x1b[2J" not in run.log("superlink") + (run.run_dir / "progress.jsonl").read_text()
    met = statuses(run)
    assert set(met) == set(expected)
    assert all(each == 200 for attack in ("honest", "repeated") for each in met.get(attack, []))
    if "others" in expected:
        assert met["others"][:4] == [401, 401, 200, 200]  # the last two report that there is no such object


def test_an_invalid_announcement_leaves_nothing_behind(pods: Make) -> None:
    """The site then counts as not having replied; the round ends after roundTimeoutSeconds."""
    run = pods(rounds=1, min_clients=2, PANAL_ROUND_TIMEOUT="20")
    with reporting(run, ConfigMap()):
        start(run, ["another root", "two at a time"])
        assert run.termination()[0] == 0
    (record,) = [r for r in run.records() if r.get("phase") == "train"]
    assert record["failed"] == {"hostile": "NoReply"}
    assert statuses(run)["another root"] == [401]
    assert "refused: cluster=hostile reason=ForeignMessage" in run.log("superlink")


def test_messages_of_a_site_that_leaves_fail_at_once(pods: Make) -> None:
    run = pods(rounds=2, min_clients=2)
    participants = run.run_dir / "participants.json"
    participants.write_text(json.dumps({"clusters": ["site1", "site2", "hostile"]}))
    with reporting(run, ConfigMap()):
        start(run, ["nothing comes"], mode="slow-a-little")
        eventually(lambda: "nothing comes" in run.log("hostile"), "the attack")
        participants.write_text(json.dumps({"clusters": ["site1", "site2"]}))
        assert run.termination()[0] == 0
    first, second = [r for r in run.records() if r.get("phase") == "train"]
    assert first["failed"] == {"hostile": "NodeUnavailable"}
    assert second["failed"] == {}
    assert "hostile no longer takes part" in run.log("superlink")
    assert [r["count"] for r in run.records() if r["event"] == "connected"][-1] == 2
