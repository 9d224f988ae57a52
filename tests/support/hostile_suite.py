"""A site whose own user code turns against the run: real certificates, real gateways, the real Flower, on every engine.

In the first round the app at cluster3 stops its SuperNode and speaks to the hub in its place, and in every round after that it attacks. The
run has to complete with the honest clusters' work, and its status has to name the one who disturbed it.
A module of tests takes it with `from hostile_suite import *` and has a fixture `engine`.
"""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from engine import Engine
from runs import apply
from stories import story

NS = "runs"
HONEST = ["cluster1", "cluster2"]
# As tests/flower/test_hostile.py has all of them, with the reason that is said of the site.
ATTACKS = {
    "nothing comes": "ReplyIncomplete",
    "no form": "ReplyInvalid",
    "unfolds": "ReplyTooLarge",
    "lies within": "ReplyInvalid",
    "another shape": "ArraysDiffer",
    "not a number": "NotFinite",
    "an endless weight": "WeightInvalid",
    "another metric": "MetricsDiffer",
}
LAST = list(ATTACKS)[-1]  # it goes on with that one
ROUNDS = 1 + len(ATTACKS)  # at least; more where the attacker joins late or a round is trained again
DISTURBED = 10  # seconds that the attacks may cost the run


@story()
def test_a_hostile_site_costs_its_own_part_and_is_named(engine: Engine) -> None:
    env = [{"name": "STEPS_ATTACKS_ON", "value": "cluster3"}, {"name": "STEPS_ATTACKS", "value": ",".join([*ATTACKS, *[LAST] * 100])}]
    run = apply(engine, NS, "hostile", clusters=[*HONEST, "cluster3"], minimum=2, server={"rounds": ROUNDS}, client={"env": env})
    quiet = apply(engine, NS, "undisturbed", clusters=HONEST, server={"rounds": ROUNDS})
    with run.kept_going():
        run.until(lambda status: ATTACKS[LAST] in attacker(status).get("message", ""), "the last attack is refused")
    status = run.until_ended("Completed")
    rounds = status["rounds"]["total"]
    assert (status["rounds"]["completed"], status["rounds"]["failures"]) == (rounds, 1), run.story()
    named = attacker(status)
    assert (named["state"], named["reason"]) == ("Failed", "ReplyRefused"), run.story()
    assert ATTACKS[LAST] in named["message"], run.story()
    assert [e for e in run.events() if e[1] == "ReplyRefused" and "cluster3" in e[2]]
    logs = "\n".join(engine.logs(NS, pod, 2000) for pod in run.aggregators())
    for attack, reason in ATTACKS.items():
        assert f"reply of cluster3 is refused: reason={reason}: " in logs, attack
    path = str(status["model"]["uri"]).removeprefix("pvc://models/").replace("model.safetensors", "metadata.json")
    assert json.loads(engine.read(NS, "models", path))["clusters"] == {c: list(range(1, rounds + 1)) for c in HONEST}
    assert "\x1b[2J" not in run.story()
    undisturbed = quiet.until_ended("Completed")
    assert "ReplyRefused" not in {e[1] for e in quiet.events()}
    assert took(status) <= 1.5 * took(undisturbed) * rounds / ROUNDS + DISTURBED
    run.delete()
    quiet.delete()


def attacker(status: dict[str, Any]) -> dict[str, Any]:
    return next((c for c in status.get("collaborators", []) if c["cluster"] == "cluster3"), {})


def took(status: dict[str, Any]) -> float:
    return (datetime.fromisoformat(status["completionTime"]) - datetime.fromisoformat(status["startTime"])).total_seconds()
