"""Secure aggregation with real Flower: the strategy gets the weighted mean, and the aggregator no update of a site."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from reporting import ConfigMap, reporting
from waiting import eventually

from .conftest import Pods, groups_of

pytestmark = pytest.mark.flower

Make = Callable[..., Pods]
INITIAL_SCALE = 2.0


def settings(threshold: int | None = 3, **more: object) -> dict[str, str]:
    return {"PANAL_PRIVACY": json.dumps({"secureAggregation": {"threshold": threshold}, **more})}


def begin(run: Pods, env: dict[str, str], sites: int, without: Collection[int] = (), mode: str = "", **config: object) -> None:
    """Starts a run of these sites, `without` any settings at some of them."""
    app = run.app("secure", mode=mode, **config)
    run.start_superlink()
    run.announce(app)
    for number in range(1, sites + 1):
        run.start_site(f"site{number}", {} if number in without else env)


def trained(make: Make, sites: int, rounds: int = 1, min_clients: int = 3, env: dict[str, str] | None = None, **more: Any) -> Pods:
    """A run until its end."""
    env = settings() if env is None else env
    run = make(rounds=rounds, min_clients=min_clients, **env)
    with reporting(run, ConfigMap()):
        begin(run, env, sites, **more)
        run.reason = run.termination()[1]["reason"]  # type: ignore[attr-defined]
    return run


def replies(run: Pods, round_: int = 1) -> list[dict[str, Any]]:
    lines = [json.loads(line.partition(" ")[2]) for line in run.log("superlink").splitlines() if line.startswith("reply ")]
    return [each for each in lines if each["round"] == round_]


def mean(sites: Collection[int], of: Callable[[int], float]) -> float:
    return sum(10 * n * of(n) for n in sites) / sum(10 * n for n in sites)


def check_round(
    run: Pods, sites: Collection[int], round_: int = 1, before: tuple[float, float] = (0.0, INITIAL_SCALE)
) -> tuple[float, float]:
    """Each reply of a round is the mean of these sites. Returns the mean weight and scale."""
    found = replies(run, round_)
    assert len(found) == len(sites), run.log("superlink")[-3000:]
    assert all(each == found[0] for each in found)
    (weights, half, scale, count) = (found[0]["arrays"][name] for name in ("weights", "half", "scale", "count"))
    assert (weights[:2], half[:2], scale[:2], count[:2]) == (
        ["float32", [20, 3]], ["float16", [400]], ["float64", []], ["int64", []],
    )  # fmt: skip
    assert weights[2] == pytest.approx([before[0] + mean(sites, lambda n: n * round_ / 8)] * 3, rel=1e-6)
    assert half[2] == [0.5 * round_] * 3
    assert scale[2][0] == pytest.approx(before[1] - mean(sites, lambda n: n), abs=1e-9)
    assert count[2] == [7.0]  # what the app counts stays at the site
    with_auc = [n for n in sites if n != 1]
    assert found[0]["records"] == ["arrays", "metrics"]
    assert found[0]["metrics"] == {
        "num-examples": pytest.approx(sum(10 * n for n in sites) / len(sites)),
        "loss": pytest.approx(mean(sites, lambda n: 1 / n)),
        "auc": pytest.approx(mean(with_auc, lambda n: 0.25 * n)),
    }
    return weights[2][0], scale[2][0]


@pytest.mark.oldest
def test_the_strategy_gets_the_mean(pods: Make) -> None:
    run = trained(pods, sites=3, rounds=2)
    assert run.reason == "Completed", run.log("superlink")[-3000:]
    after = check_round(run, (1, 2, 3))
    check_round(run, (1, 2, 3), 2, after)
    record = run.record(event="round", round=1, phase="train")
    assert record is not None
    assert record["secure"] == {"threshold": 3, "dropped": []}
    assert record["metrics"]["loss"] == pytest.approx(0.5)
    assert all(each["metrics"] == {} and each["seconds"] > 0 for each in record["collaborators"].values())
    assert "patient 4711" not in run.log("superlink")
    assert "not sent, because only floats are averaged: what the app did to count" in run.log("site1")
    assert not list(run.folder.glob("work-site*/state/secure-aggregation.json"))


# Drop-outs:


def failed(run: Pods) -> dict[str, str]:
    record = run.record(event="round", round=1, phase="train")
    assert record is not None
    return dict(record["failed"])


def session(run: Pods, site: str) -> dict[str, Any]:
    file = run.folder / f"work-{site}/state/secure-aggregation.json"
    return json.loads(file.read_text()) if file.exists() else {}


@pytest.mark.oldest
def test_two_of_five_sites_drop_out(pods: Make) -> None:
    """One before it has keys, and one while it trains, whose masks the others remove."""
    run = trained(pods, sites=5, without=[5], mode="dies-at-site2")
    assert run.reason == "Completed", run.log("superlink")[-3000:]
    check_round(run, (1, 3, 4))
    record = run.record(event="round", round=1, phase="train")
    assert record is not None
    assert record["secure"] == {"threshold": 3, "dropped": ["site2", "site5"]}
    assert failed(run) == {"site2": "KilledBySIGKILL", "site5": "ValueError"}
    assert "secure aggregation of 3 updates; 1 of 4 sites have dropped out" in run.log("superlink")


@contextmanager
def standing_still(run: Pods, site: str) -> Iterator[None]:
    groups = groups_of(run.processes[site].pid)
    for group in groups:
        os.killpg(group, signal.SIGSTOP)
    yield
    for group in groups:
        os.killpg(group, signal.SIGCONT)


def replace_pod(run: Pods, site: str, after: str) -> None:
    """Takes from a site, after this step, what a new Pod would not have."""
    eventually(lambda: session(run, site).get("step") == after, f"{site} has taken the step {after}")
    (run.folder / f"work-{site}/state/secure-aggregation.json").unlink()


def test_two_sites_are_replaced_before_and_after_their_masked_update(pods: Make) -> None:
    """Site 5 while site 1 has no keys yet; site 4 while site 1 trains. The update of site 4 has arrived and counts: the others have shares
    of its seed."""
    env = settings()
    run = pods(rounds=1, min_clients=3, **env)
    go = run.folder / "go"
    with reporting(run, ConfigMap()):
        begin(run, env, 5, mode="holds-at-site1", go=str(go))
        run.connected(*(f"site{n}" for n in range(1, 6)))
        with standing_still(run, "site1"):
            Path(f"{go}.begin").touch()
            replace_pod(run, "site5", "keys")
        replace_pod(run, "site4", "masked")
        go.touch()
        assert run.termination()[1]["reason"] == "Completed", run.log("superlink")[-3000:]
    check_round(run, (1, 2, 3, 4))
    assert failed(run) == {"site5": "UpdateNotMasked"}
    assert "this Pod has no session" in run.log("site5")
    assert "this Pod has no session" in run.log("site4")


def test_a_phase_that_is_repeated_begins_with_new_keys(pods: Make) -> None:
    """All three are needed, and one dies in its first training: all train again."""
    env = settings()
    run = pods(rounds=1, min_clients=3, **env)
    with reporting(run, ConfigMap()):
        begin(run, env, 3, mode="dies-once-at-site2", go=str(run.folder / "first"))
        assert run.termination()[1]["reason"] == "Completed", run.log("superlink")[-3000:]
    check_round(run, (1, 2, 3))
    found = [(r["replies"], r["failures"], r["secure"]) for r in run.records() if r["event"] == "round" and r["phase"] == "train"]
    assert found == [(2, 1, {"threshold": 3, "dropped": ["site2"]}), (3, 0, {"threshold": 3, "dropped": []})]


def test_fewer_sites_than_are_needed_give_no_sum(pods: Make) -> None:
    run = trained(pods, sites=4, min_clients=4, env=settings(None), mode="dies-at-site2+site3")
    assert run.reason == "QuorumLost"
    assert not replies(run)
    message = run.termination()[1]["message"]
    assert message.startswith("Round 1: 2 of 4 collaborators sent an update, 4 needed by secure aggregation (KilledBySIGKILL"), message


def test_a_run_goes_on_after_the_loss_of_its_aggregator(pods: Make) -> None:
    env = settings()
    run = pods(rounds=5, min_clients=3, **env)
    go = run.folder / "go"
    with reporting(run, ConfigMap(rounds="5")) as folder:
        begin(run, env, 3, mode="resumes", go=str(go))
        eventually(lambda: (folder / "checkpoints/000003").exists(), "the checkpoint of round 3")
        eventually(lambda: session(run, "site1").get("step") == "shares", "the session of round 4")
        run.lose_aggregator()
    go.touch()
    with reporting(run, ConfigMap(rounds="5")):
        run.start_superlink()
        run.announce(run.folder / "app")
        assert run.termination()[1]["reason"] == "Completed", run.log("superlink")[-3000:]
    assert run.record(event="resumed") is not None
    after_three = (6 * mean((1, 2, 3), lambda n: n / 8), INITIAL_SCALE - 3 * mean((1, 2, 3), lambda n: n))
    check_round(run, (1, 2, 3), 4, after_three)


# What leaves a site:


@pytest.mark.parametrize("env", [settings(), {}], ids=["secure", "plain"])
def test_no_update_is_on_the_wire(pods: Make, env: dict[str, str]) -> None:
    """As numbers in the form in which they are sent without secure aggregation."""
    run = pods(rounds=1, min_clients=3, **env)
    sent: list[bytes] = []

    def seen(_: str, __: str, asked: bytes) -> int:
        sent.append(asked)
        return 200

    run.gateways.allowed = seen
    with reporting(run, ConfigMap()):
        begin(run, env, 3)
        assert run.termination()[1]["reason"] == "Completed", run.log("superlink")[-3000:]
    updates = [np.full(60, n / 8, np.float32).tobytes() for n in (1, 2, 3)]
    plain = [any(update in each for each in sent) for update in updates]
    assert plain == [not env] * 3
    assert any(b"num-examples" in each for each in sent)


@pytest.mark.parametrize(
    ("mode", "code"), [("large", "UpdateOutOfRange"), ("nan", "UpdateNotFinite"), ("weight", "WeightInvalid")], ids=str
)
def test_an_update_that_cannot_be_masked_is_withheld(pods: Make, mode: str, code: str) -> None:
    run = trained(pods, sites=4, mode=f"{mode}-at-site4")
    assert run.reason == "Completed", run.log("superlink")[-3000:]
    check_round(run, (1, 2, 3))
    assert failed(run) == {"site4": code}


def test_a_site_masks_its_updates_whatever_the_aggregator_asks_for(pods: Make) -> None:
    run = pods(rounds=1, min_clients=2)
    with reporting(run, ConfigMap()):
        begin(run, settings(), 2)
        assert run.termination()[1]["reason"] == "QuorumLost"
    assert failed(run) == {"site1": "UpdateNotMasked", "site2": "UpdateNotMasked"}


def test_queries_are_withheld(pods: Make) -> None:
    run = trained(pods, sites=3, mode="queries")
    assert "queried [False, False, False]" in run.log("superlink")


def test_noise_first_and_masks_after(pods: Make) -> None:
    """Clipped to a norm of 1 at each site, with a noise that hides nothing."""
    env = settings(clippingNorm=1.0, noiseMultiplier=1e-6, metrics="Weight", mostUpdates=None)
    config_map = ConfigMap()
    run = pods(rounds=1, min_clients=3, **env)
    with reporting(run, config_map, PANAL_PRIVATE="true"):
        begin(run, env, 3)
        assert run.termination()[1]["reason"] == "Completed", run.log("superlink")[-3000:]
    (found, *_) = replies(run)
    norms = {n: np.sqrt(60 * (n / 8) ** 2 + 400 * 0.25 + n**2) for n in (1, 2, 3)}
    assert found["arrays"]["scale"][2][0] == pytest.approx(INITIAL_SCALE - mean((1, 2, 3), lambda n: n / norms[n]), abs=1e-4)
    assert found["metrics"] == {"num-examples": 20.0}
    assert config_map.progress.updates is not None
    assert config_map.progress.updates.by_cluster() == {"site1": 1, "site2": 1, "site3": 1}


@pytest.mark.parametrize(
    ("config", "why"),
    [
        ({"strategy": "FedMedian"}, "Printing does not average updates as FedAvg does"),
        ({"mode": "personal"}, "the messages of a training bring different arrays to the sites"),
    ],
)
def test_what_does_not_average_is_refused(pods: Make, config: dict[str, Any], why: str) -> None:
    run = trained(pods, sites=3, **config)
    assert run.termination()[1] == {"reason": "AggregationNotPossible", "message": f"spec.privacy.secureAggregation is not possible: {why}"}
    assert not replies(run)


def test_a_main_loop_of_the_app_is_refused(pods: Make) -> None:
    env = settings()
    run = pods(rounds=1, min_clients=3, **env)
    with reporting(run, ConfigMap()):
        run.start_superlink()
        run.announce(run.app("ways", mode="loop"))
        for number in range(1, 4):
            run.start_site(f"site{number}", env)
        message = run.termination()[1]
    assert (message["reason"], "spec.privacy.secureAggregation is not possible" in message["message"]) == ("AggregationNotPossible", True)
