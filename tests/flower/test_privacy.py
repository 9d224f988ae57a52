"""What leaves the sites of a private run, with real Flower.

An update of the app `private`, unprotected: 60 numbers of 1, 400 numbers of 300 in float16, one of 3 in float64, and a counter of 500.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from panal.api.progress import Progress, UpdateCounts
from panal.api.types import Spec
from panal.lifecycle import privacy
from reporting import ConfigMap, reporting

from .conftest import Pods

pytestmark = pytest.mark.flower

Make = Callable[..., Pods]
UPDATE = np.concatenate([np.full(60, 1.0), np.full(400, 300.0), [3.0]])
LIBRARY = 3.708634937  # what dp-accounting composes of three updates with noise 2, at δ = 1e-5
TINY = 1e-6  # a noise that hides nothing


PRIVATE = {"PANAL_PRIVATE": "true"}  # for the reporter


def settings(noise: float = TINY, norm: float = 1.0, metrics: str = "Weight", most: int | None = None) -> dict[str, str]:
    return {
        "PANAL_PRIVACY": json.dumps({"clippingNorm": norm, "noiseMultiplier": noise, "metrics": metrics, "mostUpdates": most}),
    }


def trained(make: Make, rounds: int = 1, min_clients: int = 2, mode: str = "", **privacy_: Any) -> tuple[Pods, ConfigMap, str]:
    """A run of two sites until its end. Returns the reason of its end as well."""
    env = settings(**privacy_)
    return ended(make(rounds=rounds, min_clients=min_clients, **env), env, PRIVATE, mode)


def ended(run: Pods, env: dict[str, str], reporter: dict[str, str], mode: str = "") -> tuple[Pods, ConfigMap, str]:
    app, config_map = run.app("private", mode=mode), ConfigMap()
    with reporting(run, config_map, **reporter):
        run.start_superlink()
        run.announce(app)
        for number in (1, 2):
            run.start_site(f"site{number}", env)
        reason = run.termination()[1]["reason"]
    return run, config_map, reason


def replies(run: Pods) -> list[dict[str, Any]]:
    return [json.loads(line.partition(" ")[2]) for line in run.log("superlink").splitlines() if line.startswith("reply ")]


def update(reply: dict[str, Any]) -> np.ndarray:
    return np.concatenate([reply["changes"][name] for name in ("weights", "half", "scale")])


def failed(config_map: ConfigMap) -> dict[str, str]:
    return {name: each.reason for name, each in config_map.progress.collaborators.items() if each.failed}


@pytest.mark.versions
@pytest.mark.parametrize("mode", ["", "same-message"])
def test_the_update_that_arrives_has_the_clipped_norm(pods: Make, mode: str) -> None:
    run, _, reason = trained(pods, mode=mode)
    assert reason == "Completed", run.log("superlink")[-3000:]
    assert len(replies(run)) == 2
    for reply in replies(run):
        assert np.linalg.norm(update(reply)) == pytest.approx(1.0, rel=1e-3)  # the precision of float16
        assert update(reply) == pytest.approx(UPDATE / np.linalg.norm(UPDATE), rel=1e-2, abs=1e-5)
        assert reply["changes"]["count"] == [0.0]
        assert reply["kinds"] == {
            "weights": ["float32", [20, 3]], "half": ["float16", [400]], "scale": ["float64", []], "count": ["int64", []],
            "none": ["float32", [0, 4]],
        }  # fmt: skip
        assert list(reply["metrics"]) == ["num-examples"]
        assert reply["records"] == ["arrays", "metrics"]
    assert sorted(reply["metrics"]["num-examples"] for reply in replies(run)) == [10, 20]
    assert "not sent, because noise cannot protect integers: what the app did to count" in run.log("site1")
    assert "accuracy" not in run.log("superlink").rpartition("evaluated ")[2]
    assert "patient 4711" not in run.log("superlink")


def test_a_run_without_privacy_gets_the_update_itself(pods: Make) -> None:
    run, config_map, reason = ended(pods(), {}, {})
    assert reason == "Completed"
    assert config_map.progress.updates is None
    assert all(update(reply) == pytest.approx(UPDATE) for reply in replies(run))
    assert all(reply["changes"]["count"] == [500.0] for reply in replies(run))


def test_noise_hides_the_update_and_epsilon_is_that_of_the_library(pods: Make) -> None:
    rounds, noise, delta = 3, 2.0, 1e-5
    run, config_map, reason = trained(pods, rounds=rounds, noise=noise, norm=0.5, metrics="None")
    assert reason == "Completed"
    assert len(replies(run)) == 2 * rounds
    found = np.concatenate([np.array(reply["changes"]["weights"]) for reply in replies(run)])
    assert 0.7 < found.std() / (noise * 0.5) < 1.3  # 360 numbers: eight standard deviations
    assert len({update(reply).tobytes() for reply in replies(run)}) == 2 * rounds
    assert all(reply["changes"]["count"] == [0.0] for reply in replies(run))
    assert [reply["metrics"] for reply in replies(run)] == [{"num-examples": 1}] * 2 * rounds
    assert config_map.progress.updates is not None
    assert config_map.progress.updates.by_cluster() == {"site1": rounds, "site2": rounds}
    spec = Spec.model_validate(
        {
            "framework": "flower",
            "server": {"rounds": rounds},
            "privacy": {"differentialPrivacy": {"clippingNorm": 0.5, "noiseMultiplier": noise, "delta": delta}},
        }
    )
    status = privacy.status(spec, config_map.progress, None)
    assert status is not None
    assert status.epsilon == status.planned_epsilon == pytest.approx(LIBRARY, rel=1e-5)


@pytest.mark.parametrize(("mode", "reason"), [("nan", "UpdateNotFinite"), ("shapes", "UpdateNotProtected"), ("more", "UpdateNotProtected")])
def test_a_reply_that_cannot_be_protected_is_withheld(pods: Make, mode: str, reason: str) -> None:
    run, config_map, ended = trained(pods, min_clients=1, mode=mode)
    assert ended == "Completed", run.log("superlink")[-3000:]
    assert failed(config_map) == {"site2": reason}
    assert [reply["metrics"]["num-examples"] for reply in replies(run)] == [10]
    assert config_map.progress.updates is not None
    assert config_map.progress.updates.by_cluster() == {"site1": 1, "site2": 0}  # nothing has left site2


def test_an_evaluation_brings_no_arrays(pods: Make) -> None:
    run, _, _ = trained(pods, mode="evaluates-arrays")
    assert [r["failed"] for r in run.records() if r["event"] == "round" and r["phase"] == "evaluate"] == [
        {"site1": "ReplyNotProtected", "site2": "ReplyNotProtected"}
    ]


def test_a_query_is_withheld(pods: Make) -> None:
    run, _, _ = trained(pods, mode="queries")
    assert "queried [False, False]" in run.log("superlink")


def test_a_site_withholds_an_update_that_would_overspend(pods: Make) -> None:
    """Whatever the hub asks for."""
    run, config_map, reason = ended(pods(rounds=3, **settings()), settings(most=2), PRIVATE)
    assert reason == "QuorumLost"
    assert len(replies(run)) == 4
    assert failed(config_map) == {"site1": "PrivacySpent", "site2": "PrivacySpent"}
    assert config_map.progress.updates is not None
    assert config_map.progress.updates.by_cluster() == {"site1": 2, "site2": 2}


def test_the_hub_asks_for_no_more_than_is_allowed(pods: Make) -> None:
    """Also if an earlier aggregator has asked for some."""
    run = pods(rounds=3, **settings(most=4))
    before = Progress(attempt="job-0", updates=UpdateCounts(own={"site1": 1, "site2": 2}))
    app, config_map = run.app("private"), ConfigMap(progress=before.model_dump_json(by_alias=True))
    with reporting(run, config_map, **PRIVATE):
        run.start_superlink()
        run.announce(app)
        for site in ("site1", "site2"):
            run.start_site(site, settings())
        assert run.termination()[1]["reason"] == "QuorumLost"
    assert len(replies(run)) == 2  # in the second round, only site1 was asked, and both are needed
    assert config_map.progress.updates is not None
    assert config_map.progress.updates.by_cluster() == {"site1": 4, "site2": 4}
    assert "site2: not asked for a further update" in config_map.progress.notices["PrivacySpent"]
    assert failed(config_map) == {"site2": "PrivacySpent"}


def test_a_site_with_settings_that_cannot_be_read_sends_nothing(pods: Make) -> None:
    run = pods(rounds=1, min_clients=1, **settings())
    app, config_map = run.app("private"), ConfigMap()
    with reporting(run, config_map, **PRIVATE):
        run.start_superlink()
        run.announce(app)
        run.start_site("site1", settings())
        run.start_site("site2", {"PANAL_PRIVACY": '{"clippingNorm": 1.0}'})
        assert run.termination()[1]["reason"] == "Completed"
    assert [reply["metrics"]["num-examples"] for reply in replies(run)] == [10]
    assert "FlowerNotSupported: spec.privacy: flwr.supernode.runtime.run_clientapp is not hooked" in run.log("site2")
