"""Which runs a SitePolicy allows, and why not."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import ValidationError

import site_pods
from panal.site.codes import Code
from panal.site.decide import Left, Verdict, covers, decide, next_change, told, within_hours
from panal.site.policy import Hours, SitePolicySpec
from panal.site.request import asked

NOW = datetime(2026, 11, 30, 12, 0, tzinfo=UTC)  # a Monday
ASKED = asked(site_pods.pod())
RULE: dict[str, Any] = {"name": "research", "data": ["pvc://digits"], "images": ["registry.example.com/app@*"]}


def policy(*rules: dict[str, Any], **fields: Any) -> SitePolicySpec:
    return SitePolicySpec.model_validate({"panalImages": [f"{site_pods.PANAL}/*"], "rules": rules or (RULE,)} | fields)


def test_a_run_that_a_rule_fits_is_allowed() -> None:
    found = decide(policy(), ASKED, NOW)
    assert (found.verdict, found.code, found.rule) == (Verdict.ALLOWED, None, "research")


def test_nothing_is_allowed_by_default() -> None:
    assert decide(None, ASKED, NOW).code is Code.NO_SITE_POLICY
    assert decide(SitePolicySpec(), ASKED, NOW).code is Code.PANAL_IMAGE_NOT_ALLOWED
    assert decide(SitePolicySpec.model_validate({"panalImages": ["*"]}), ASKED, NOW).code is Code.NO_SITE_POLICY
    assert decide(policy({"name": "empty"}), ASKED, NOW).code is Code.DATA_NOT_ALLOWED
    assert decide(policy({"name": "no images", "data": ["pvc://digits"]}), ASKED, NOW).code is Code.IMAGE_NOT_ALLOWED


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"data": ["pvc://scans"]}, Code.DATA_NOT_ALLOWED),
        ({"data": ["None"]}, Code.DATA_NOT_ALLOWED),
        ({"data": ["pvc://digits/held-out"]}, Code.DATA_NOT_ALLOWED),
        ({"namespaces": ["imaging"]}, Code.NAMESPACE_NOT_ALLOWED),
        ({"requesters": ["anna@example.com"]}, Code.REQUESTER_NOT_ALLOWED),
        ({"purposes": ["quality control"]}, Code.PURPOSE_NOT_ALLOWED),
        ({"images": ["registry.example.com/app@sha256:" + "b" * 64]}, Code.IMAGE_NOT_ALLOWED),
        ({"images": ["registry.example.com/ap"]}, Code.IMAGE_NOT_ALLOWED),
        ({"appHashes": ["c" * 64]}, Code.APP_NOT_ALLOWED),
        ({"minimumClusters": 3}, Code.TOO_FEW_CLUSTERS),
        ({"minimumExamples": 21}, Code.TOO_FEW_EXAMPLES),
        ({"minimumNoiseMultiplier": 1}, Code.PRIVACY_TOO_WEAK),
        ({"secureAggregation": "Required"}, Code.SECURE_AGGREGATION_REQUIRED),
    ],
)
def test_each_condition_of_a_rule_counts(changed: dict[str, Any], code: Code) -> None:
    found = decide(policy(RULE | changed), ASKED, NOW)
    assert (found.verdict, found.code) == (Verdict.REFUSED, code)


def test_updates_with_enough_noise_are_allowed() -> None:
    private = asked(site_pods.pod(privacy={"differentialPrivacy": {"clippingNorm": 1, "noiseMultiplier": 1.5}}))
    assert decide(policy(RULE | {"minimumNoiseMultiplier": 1.5}), private, NOW).code is None
    assert decide(policy(RULE | {"minimumNoiseMultiplier": 1.6}), private, NOW).code is Code.PRIVACY_TOO_WEAK


@pytest.mark.parametrize("secure", [{}, {"threshold": 3}])
def test_a_run_with_secure_aggregation_is_allowed_where_it_is_required(secure: dict[str, Any]) -> None:
    masked = asked(site_pods.pod(server={"minAvailableClients": 3}, privacy={"secureAggregation": secure}))
    assert decide(policy(RULE | {"secureAggregation": "Required"}), masked, NOW).code is None
    assert decide(policy(RULE | {"secureAggregation": "Required", "minimumNoiseMultiplier": 1}), masked, NOW).code is Code.PRIVACY_TOO_WEAK


def test_enough_clusters_are_allowed_and_the_threshold_counts_where_the_site_keeps_it() -> None:
    rule, server = RULE | {"minimumClusters": 5}, {"minAvailableClients": 5}
    assert decide(policy(rule), asked(site_pods.pod(server=server)), NOW).code is None
    rule |= {"secureAggregation": "Required"}
    for threshold, code in ((5, None), (4, Code.TOO_FEW_CLUSTERS), (None, Code.TOO_FEW_CLUSTERS)):
        secure = {"threshold": threshold} if threshold else {}
        masked = asked(site_pods.pod(server=server, privacy={"secureAggregation": secure}))
        assert decide(policy(rule), masked, NOW).code is code


def test_a_hub_that_says_no_number_of_clusters_has_none() -> None:
    for said in (0, -1, "5", 5.5, True, None, [5], 1 << 60):
        assert asked(site_pods.pod(said={"minimumClusters": said})).minimum_clusters == 0
    assert decide(policy(RULE | {"minimumClusters": 1}), asked(site_pods.pod(said={"minimumClusters": None})), NOW).code


@pytest.mark.parametrize("framework", ["openfl", "flare", "other"])
@pytest.mark.parametrize(
    ("demanded", "code", "variable"),
    [
        ({"appHashes": [site_pods.APP_HASH]}, Code.APP_NOT_ALLOWED, {"PANAL_APP_HASH": site_pods.APP_HASH}),
        ({"minimumExamples": 20}, Code.TOO_FEW_EXAMPLES, {"PANAL_MINIMUM_EXAMPLES": "20"}),
        ({"minimumNoiseMultiplier": 1}, Code.PRIVACY_TOO_WEAK, {"PANAL_PRIVACY": '{"clippingNorm": 1, "noiseMultiplier": 2}'}),
        ({"secureAggregation": "Required"}, Code.SECURE_AGGREGATION_REQUIRED, {"PANAL_PRIVACY": '{"secureAggregation": {}}'}),
    ],
)
def test_what_the_tools_of_a_framework_do_not_enforce_counts_as_absent(
    framework: str, demanded: dict[str, Any], code: Code, variable: dict[str, str]
) -> None:
    """A hub can put the variables into any Pod."""
    program = {"server": {"command": ["a"]}, "client": {"image": site_pods.IMAGE, "command": ["b"]}}
    pod = site_pods.pod(framework=framework, **(program if framework == "other" else {}))
    env = pod["spec"]["containers"][0]["env"]
    env[:] = [each for each in env if each["name"] not in variable] + [{"name": name, "value": value} for name, value in variable.items()]
    found = decide(policy(RULE | demanded), asked(pod), NOW)
    assert found.code is code
    assert f"the tools of {framework} do not enforce" in found.text
    assert decide(policy(), asked(pod), NOW).code is None


def test_secrets_must_be_named() -> None:
    pod = site_pods.pod()
    pod["spec"]["containers"][0]["env"].append({"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "keys", "key": "a"}}})
    assert decide(policy(), asked(pod), NOW).code is Code.SECRET_NOT_ALLOWED
    assert decide(policy(RULE | {"secrets": ["keys"]}), asked(pod), NOW).code is None


def test_the_first_rule_that_fits_applies_and_the_nearest_explains() -> None:
    strict = RULE | {"name": "strict", "approval": "Required"}
    assert decide(policy(RULE | {"name": "other data", "data": ["pvc://scans"]}, strict, RULE), ASKED, NOW).rule == "strict"
    found = decide(policy(RULE | {"name": "a", "data": ["pvc://scans"]}, RULE | {"name": "b", "purposes": ["marketing"]}), ASKED, NOW)
    assert (found.code, found.rule) == (Code.PURPOSE_NOT_ALLOWED, "b")


def test_approval_is_for_exactly_this_request() -> None:
    rule = RULE | {"approval": "Required"}
    assert decide(policy(rule), ASKED, NOW).code is Code.APPROVAL_REQUIRED
    assert decide(policy(rule, approved=[ASKED.id]), ASKED, NOW).verdict is Verdict.ALLOWED
    other = site_pods.pod()
    next(each for each in other["spec"]["containers"][0]["env"] if each["name"] == "PANAL_APP_HASH")["value"] = "c" * 64
    assert decide(policy(rule, approved=[ASKED.id]), asked(other), NOW).code is Code.APPROVAL_REQUIRED
    assert decide(policy(refused=[ASKED.id]), ASKED, NOW).code is Code.REFUSED_BY_OWNER
    assert decide(policy(rule, approved=[ASKED.id], refused=[ASKED.id]), ASKED, NOW).code is Code.REFUSED_BY_OWNER


def test_approval_alone_allows_nothing() -> None:
    assert decide(policy(RULE | {"data": ["pvc://scans"]}, approved=[ASKED.id]), ASKED, NOW).code is Code.DATA_NOT_ALLOWED


def test_suspended_waits_and_what_is_refused_anyway_says_so() -> None:
    assert decide(policy(suspend=True), ASKED, NOW).code is Code.SUSPENDED
    assert decide(policy(suspend=True), ASKED, NOW).verdict is Verdict.WAITS
    assert decide(policy(RULE | {"data": []}, suspend=True), ASKED, NOW).code is Code.DATA_NOT_ALLOWED


def test_limits_of_a_run() -> None:
    rule = RULE | {"maxRounds": 2, "maxBytes": "1Ki"}
    assert decide(policy(rule), ASKED, NOW, Left(1024, 2)).code is None
    assert decide(policy(rule), ASKED, NOW, Left(1024, 3)).code is Code.ROUNDS_EXHAUSTED
    assert decide(policy(rule), ASKED, NOW, Left(1025, 2)).code is Code.BYTES_EXHAUSTED


HOURS = {"start": "20:00", "end": "06:00", "timeZone": "Europe/Berlin"}


@pytest.mark.parametrize(
    ("hours", "at", "within"),
    [
        (HOURS, "2026-11-30T18:59:59+00:00", False),
        (HOURS, "2026-11-30T19:00:00+00:00", True),
        (HOURS, "2026-12-01T04:59:59+00:00", True),
        (HOURS, "2026-12-01T05:00:00+00:00", False),
        (HOURS | {"days": ["Monday"]}, "2026-12-01T04:00:00+00:00", True),
        (HOURS | {"days": ["Monday"]}, "2026-12-01T20:00:00+00:00", False),
        (HOURS | {"days": ["Tuesday"]}, "2026-12-01T04:00:00+00:00", False),
        (HOURS | {"start": "08:00", "end": "18:00"}, "2026-07-01T06:00:00+00:00", True),  # summer time
        (HOURS | {"start": "08:00", "end": "18:00"}, "2026-12-01T06:30:00+00:00", False),
        (HOURS | {"start": "08:00", "end": "08:00"}, "2026-12-01T03:00:00+00:00", True),
    ],
)
def test_hours(hours: dict[str, Any], at: str, within: bool) -> None:
    assert within_hours(Hours.model_validate(hours), datetime.fromisoformat(at)) is within
    found = decide(policy(RULE | {"hours": hours}), ASKED, datetime.fromisoformat(at))
    assert found.code is (None if within else Code.OUTSIDE_HOURS)


def test_the_next_change_is_the_next_edge_of_any_rule() -> None:
    rules = (RULE | {"hours": HOURS}, RULE | {"hours": HOURS | {"start": "13:30", "end": "14:00", "timeZone": "UTC"}})
    assert next_change(policy(*rules), NOW) == NOW + timedelta(minutes=90)
    assert next_change(policy(*rules), NOW + timedelta(minutes=90)) == NOW + timedelta(hours=2)
    assert next_change(policy(), NOW) is None
    assert next_change(None, NOW) is None


@pytest.mark.parametrize(
    ("allowed", "location", "covered"),
    [
        ("pvc://digits", "pvc://digits", True),
        ("pvc://digits", "pvc://digits/train", True),
        ("pvc://digits/", "pvc://digits/train", True),
        ("pvc://digits", "pvc://digits2", False),
        ("pvc://digits/train", "pvc://digits", False),
        ("/data", "/data/scans", True),
        ("/data", "/database", False),
        ("s3://scans", "s3://scans/train?endpoint=https://192.0.2.9", True),
        ("None", "", True),
        ("None", "pvc://digits", False),
        ("pvc://digits", "", False),
        ("/", "/data", False),
        ("/data", "/data?x/y", False),
        ("pvc://digits/train", "pvc://digits/train?x", False),
    ],
)
def test_a_location_covers_what_is_below_it(allowed: str, location: str, covered: bool) -> None:
    assert covers(allowed, location) is covered


def test_the_hub_is_told_what_the_owner_discloses() -> None:
    assert told(policy(), Code.DATA_NOT_ALLOWED) is Code.DATA_NOT_ALLOWED
    assert told(policy(disclosure="None"), Code.DATA_NOT_ALLOWED) is Code.UNDISCLOSED
    assert told(None, Code.NO_SITE_POLICY) is Code.NO_SITE_POLICY


@pytest.mark.parametrize(
    "wrong",
    [
        {"approved": ["no id"]},
        {"privacyBudgets": [{"data": "pvc://digits"}]},
        {"rules": [{"name": ""}]},
        {"rules": [RULE | {"hours": {"start": "25:00", "end": "1"}}]},
        {"rules": [RULE | {"hours": HOURS | {"timeZone": "Nowhere/Else"}}]},
    ],
)
def test_a_wrong_policy_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        SitePolicySpec.model_validate(wrong)
