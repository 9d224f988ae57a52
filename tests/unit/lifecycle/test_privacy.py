"""Private runs: what is refused before it starts, and what the status says that sites have spent."""

from __future__ import annotations

import json
from typing import Any

import pytest

from panal.api.progress import SecureProgress, UpdateCounts
from panal.api.types import Phase, PrivacyStatus, SecureAggregationStatus
from panal.lifecycle.decide import decide
from panal.lifecycle.reasons import Reason
from panal.lifecycle.support import unsupported
from panal.privacy import accountant
from worlds import NOW, applied, done, fresh, manifests, progress, run, running, seen, status_after

SETTINGS = {"clippingNorm": 1.0, "noiseMultiplier": 1.0}


def private(**settings: Any) -> dict[str, Any]:
    return {"differentialPrivacy": SETTINGS | settings}


def counts(lost: int = 0, earlier: dict[str, int] | None = None, **own: int) -> UpdateCounts:
    return UpdateCounts(own=own, earlier=earlier or {}, lost=lost)


def variable(container: dict[str, Any], name: str) -> str | None:
    return next((each["value"] for each in container["env"] if each["name"] == name), None)


REFUSED = [
    ({"framework": "openfl"}, private(), "spec.privacy.differentialPrivacy: only with framework flower"),
    ({"framework": "flare"}, private(), "spec.privacy.differentialPrivacy: only with framework flower"),
    (
        {"framework": "other", "server": {"command": ["a"]}, "client": {"command": ["a"]}},
        private(),
        "spec.privacy.differentialPrivacy: only with framework flower",
    ),
    (
        {"mode": "Evaluate", "server": {"initialModel": {"run": "before"}}},
        private(),
        "spec.privacy.differentialPrivacy: not with mode Evaluate",
    ),
    ({"framework": "openfl"}, {"secureAggregation": {}}, "spec.privacy.secureAggregation: only with framework flower"),
    (
        {"mode": "Evaluate", "server": {"initialModel": {"run": "before"}}},
        {"secureAggregation": {}},
        "spec.privacy.secureAggregation: not with mode Evaluate",
    ),
    ({}, private(delta=0), "spec.privacy.differentialPrivacy.delta: must be larger than 0"),
    (
        {"server": {"rounds": 20}},
        private(maxEpsilon=8),
        "spec.privacy.differentialPrivacy.maxEpsilon: ε is 28.3735 for 20 rounds with noiseMultiplier 1, and 8 is the most: "
        "ask for at most 2 rounds (spec.server.rounds), or noiseMultiplier 2.685 or more",
    ),
    (
        {"server": {"rounds": 1}},
        private(maxEpsilon=1),
        "ε is 4.37718 for a round with noiseMultiplier 1, and 1 is the most: ask for noiseMultiplier 3.731 or more",
    ),
]


@pytest.mark.parametrize(("spec", "privacy", "words"), REFUSED)
def test_what_cannot_be_private_as_it_asks_does_not_start(spec: dict[str, Any], privacy: dict[str, Any], words: str) -> None:
    asked = run(**spec, privacy=privacy)
    trouble = unsupported(asked.name, asked.spec)
    assert trouble
    assert trouble.reason == Reason.INVALID_SPEC
    assert words in trouble.message


def test_the_remedies_are_accepted() -> None:
    for spec, settings in (
        ({"server": {"rounds": 2}}, {"maxEpsilon": 8}),
        ({"server": {"rounds": 20}}, {"maxEpsilon": 8, "noiseMultiplier": 2.685}),
    ):
        asked = run(**spec, privacy=private(**settings))
        assert unsupported(asked.name, asked.spec) is None


def test_the_plan_is_told_before_the_run_starts() -> None:
    status = status_after(fresh(run=run(privacy=private(maxEpsilon=20))))
    assert status.privacy is not None
    assert (status.privacy.epsilon, status.privacy.updates, status.privacy.max_rounds) == (0.0, 0, 11)
    assert status.privacy.planned_epsilon == pytest.approx(accountant.epsilon(3, 1.0, 1e-5), rel=1e-5)
    assert (status.privacy.mechanism, status.privacy.unit, status.privacy.delta) == ("Gaussian", "Site", 1e-5)


def test_other_runs_have_no_such_status() -> None:
    assert status_after(running()).privacy is None
    assert all(each.epsilon is None for each in status_after(running()).collaborators)


def spent(updates: UpdateCounts | None, before: Any = None) -> Any:
    asked = run(before, privacy=private())
    return status_after(running(run=asked, progress=progress(updates=updates)))


def test_the_site_that_has_spent_most_counts() -> None:
    status = spent(counts(cluster1=2, cluster2=3))
    assert status.privacy.updates == 3
    assert status.privacy.epsilon == pytest.approx(accountant.epsilon(3, 1.0, 1e-5), rel=1e-5)
    assert status.privacy.epsilon >= accountant.epsilon(3, 1.0, 1e-5)
    assert {c.cluster: c.updates for c in status.collaborators} == {"cluster1": 2, "cluster2": 3, "cluster3": 0}
    by_name = {c.cluster: c.epsilon for c in status.collaborators}
    assert by_name["cluster1"] == pytest.approx(accountant.epsilon(2, 1.0, 1e-5), rel=1e-5)
    assert by_name["cluster3"] == 0.0


def test_what_earlier_aggregators_have_asked_for_counts_and_one_more_of_each() -> None:
    status = spent(counts(lost=2, earlier={"cluster1": 4}, cluster1=1, cluster2=1))
    assert {c.cluster: c.updates for c in status.collaborators} == {"cluster1": 7, "cluster2": 3, "cluster3": 0}


def test_what_was_spent_does_not_come_back() -> None:
    before = spent(counts(cluster1=2, cluster2=3))
    after = status_after(running(run=run(before, privacy=private()), progress=None))
    assert after.privacy == before.privacy
    assert [c.updates for c in after.collaborators] == [c.updates for c in before.collaborators]
    fewer = spent(counts(cluster2=1), before)
    assert fewer.privacy.updates == 3
    assert next(c.updates for c in fewer.collaborators if c.cluster == "cluster2") == 3


def test_the_status_of_a_completed_run_keeps_it() -> None:
    asked = run(status_after(running(run=run(status_after(fresh()), privacy=private()))), privacy=private())
    ended = done(
        run=asked, progress=progress(rounds_completed=3, collaborators={}, model=done().progress.model, updates=counts(cluster1=3))
    )
    status = status_after(ended)
    assert status.phase is Phase.COMPLETED
    assert status.privacy is not None
    assert status.privacy.updates == 3


def test_both_sides_and_the_reporter_get_the_settings() -> None:
    world = running(run=run(status_after(fresh()), privacy=private(maxEpsilon=20, metrics="None")))
    plan = decide(fresh(run=run(privacy=private(maxEpsilon=20, metrics="None"))), NOW)
    wanted = {"clippingNorm": 1.0, "noiseMultiplier": 1.0, "metrics": "None", "mostUpdates": 11}
    template = applied(plan, "Job")[0]["spec"]["template"]["spec"]
    by_name = {c["name"]: c for c in (*template["initContainers"], *template["containers"])}
    assert json.loads(variable(by_name["superlink"], "PANAL_PRIVACY") or "") == wanted
    assert variable(by_name["reporter"], "PANAL_PRIVATE") == "true"
    assert json.loads(variable(supernode(world), "PANAL_PRIVACY") or "") == {**wanted, "plannedUpdates": 3}
    other = running()
    assert variable(supernode(other), "PANAL_PRIVACY") is None


def supernode(world: Any) -> dict[str, Any]:
    found = decide(world, NOW)
    pods = [m for m in manifests(found).values() if "template" in m.get("spec", {})]
    return next(c for m in pods for c in m["spec"]["template"]["spec"]["containers"] if c["name"] == "supernode")


SECURE: dict[str, Any] = {"secureAggregation": {"threshold": 3}}


def test_both_sides_get_the_settings_of_secure_aggregation() -> None:
    """Updates are not counted: they cost no ε."""
    plan = decide(fresh(run=run(privacy=SECURE)), NOW)
    template = applied(plan, "Job")[0]["spec"]["template"]["spec"]
    by_name = {c["name"]: c for c in (*template["initContainers"], *template["containers"])}
    wanted = {"secureAggregation": {"threshold": 3}}
    assert json.loads(variable(by_name["superlink"], "PANAL_PRIVACY") or "") == wanted
    assert variable(by_name["reporter"], "PANAL_PRIVATE") is None
    assert json.loads(variable(supernode(running(run=run(status_after(fresh()), privacy=SECURE))), "PANAL_PRIVACY") or "") == wanted
    both = running(run=run(status_after(fresh()), privacy=private() | {"secureAggregation": {}}))
    settings = json.loads(variable(supernode(both), "PANAL_PRIVACY") or "")
    assert settings.pop("secureAggregation") == {"threshold": None}
    assert settings == {"clippingNorm": 1.0, "noiseMultiplier": 1.0, "metrics": "Weight", "mostUpdates": None, "plannedUpdates": 3}


def test_the_status_says_who_has_dropped_out_of_the_last_training() -> None:
    before = status_after(fresh(run=run(privacy=SECURE)))
    assert before.privacy == PrivacyStatus(secure_aggregation=SecureAggregationStatus())
    seen_ = progress(secure=SecureProgress(threshold=3, dropped=["cluster2"]))
    status = status_after(running(run=run(before, privacy=SECURE), progress=seen_))
    assert status.privacy == PrivacyStatus(secure_aggregation=SecureAggregationStatus(threshold=3, dropped=["cluster2"]))
    assert all(each.epsilon is None for each in status.collaborators)
    lost = status_after(running(run=run(status, privacy=SECURE), progress=None))
    assert lost.privacy == status.privacy


def test_with_noise_the_status_says_both() -> None:
    asked = run(privacy=private() | SECURE)
    status = status_after(running(run=asked, progress=progress(updates=counts(cluster1=1), secure=SecureProgress(threshold=4))))
    assert status.privacy is not None
    assert status.privacy.secure_aggregation == SecureAggregationStatus(threshold=4)
    assert (status.privacy.updates, status.privacy.unit) == (1, "Site")


@pytest.mark.parametrize(
    "code",
    ["UpdateNotProtected", "UpdateNotFinite", "ReplyNotProtected", "PrivacySpent", "UpdateNotMasked", "UpdateOutOfRange", "WeightInvalid"],
)
def test_a_site_that_withholds_an_update_says_why(code: str) -> None:
    known = {"cluster1": seen(round=2, failed=True, reason=code, time=NOW.timestamp())}
    status = status_after(running(run=run(status_after(fresh()), privacy=private()), progress=progress(collaborators=known)))
    first = status.collaborators[0]
    assert (first.cluster, first.reason) == ("cluster1", "UpdateWithheld")
    assert f"withholds its reply of round 2 ({code})" in first.message
    assert "spec.privacy lets only what it protects leave a site" in first.message


def test_the_job_of_a_private_run_is_the_same_as_before_otherwise() -> None:
    with_privacy = applied(decide(fresh(run=run(privacy=private())), NOW), "Job")[0]
    without = applied(decide(fresh(), NOW), "Job")[0]
    names = {"PANAL_PRIVACY", "PANAL_PRIVATE"}
    for each in (with_privacy, without):
        spec = each["spec"]["template"]["spec"]
        for container in (*spec["initContainers"], *spec["containers"]):
            container["env"] = [e for e in container.get("env", []) if e["name"] not in names]
    assert with_privacy == without
