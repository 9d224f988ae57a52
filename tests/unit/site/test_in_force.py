"""What is told to the hub about a Pod, and what counts as the policy."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

import site_pods
from gated_pods import policy, rule
from panal.site.accounts import Accounts, decided, kind_of, rounds_of
from panal.site.codes import SENTENCES, WAITS, Code
from panal.site.decide import Decision, Left
from panal.site.in_force import InForce, condition, gated, in_force, judgement, request_of
from panal.site.request import Asked, NotRecognizedError

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def asked(**more: str) -> Asked:
    found = request_of(site_pods.pod(data=None, **more))  # type: ignore[arg-type]
    assert isinstance(found, Asked)
    return found


def code(
    spec: dict[str, object] | None, request: Asked | NotRecognizedError | None = None, left: Left | None = None, unable: str = ""
) -> Code | None:
    return judgement(in_force(spec), request or asked(), NOW, left or Left(), unable).decision.code


def test_every_code_has_a_sentence_and_only_what_waits_is_unknown() -> None:
    assert set(SENTENCES) == set(Code)
    for each in Code:
        found = condition(InForce(), Decision(each, "rule a: the owner's secret"))
        assert found["status"] == ("Unknown" if each in WAITS else "False")
        assert found["reason"] == each.value
        assert "secret" not in found["message"]
    assert condition(InForce(), Decision(None, "rule a"))["status"] == "True"


def test_an_owner_who_discloses_nothing_tells_neither_the_code_nor_a_sentence() -> None:
    found = condition(in_force(policy(rule(), disclosure="None")), Decision(Code.IMAGE_NOT_ALLOWED, "why"))
    assert (found["status"], found["reason"], found["message"]) == ("False", "Undisclosed", "")


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        (None, Code.NO_SITE_POLICY),
        (policy(), Code.NO_SITE_POLICY),
        (policy(rule()), None),
        (policy(rule(name="")), Code.POLICY_INVALID),
        (policy(rule(), suspend=True), Code.SUSPENDED),
        (policy(rule(maxBytes="1Gi")), None),
    ],
)
def test_the_policy_that_is_in_force_decides(spec: dict[str, object] | None, expected: Code | None) -> None:
    assert code(spec) == expected


def test_an_invalid_policy_names_the_field() -> None:
    assert in_force(policy(rule(maxRounds=0))).problem.startswith("spec.rules.0.maxRounds: ")


def test_without_a_ledger_nothing_is_allowed_and_a_pod_that_is_not_recognized_never_is() -> None:
    assert code(policy(rule()), unable="the disk is full") == Code.LEDGER_UNAVAILABLE
    stranger = request_of({"metadata": {"name": "p"}, "spec": {"hostNetwork": True}})
    assert isinstance(stranger, NotRecognizedError)
    assert code(policy(rule()), stranger) == Code.POD_NOT_RECOGNIZED
    for strange in (
        {"metadata": {}, "spec": {}},
        {"metadata": {"name": "p"}, "spec": {"initContainers": [{}]}},
        {"metadata": {}, "spec": None},
    ):
        assert isinstance(request_of(strange), NotRecognizedError)


@pytest.mark.parametrize("field", ["maxRounds", "maxBytes"])
def test_limits_that_cannot_be_kept_refuse(field: str) -> None:
    spec = policy(rule(**{field: 5 if field == "maxRounds" else "5Gi"}))
    assert code(spec) is None
    assert code(spec, asked(framework="flare")) == Code.LIMITS_NOT_SUPPORTED


def test_a_pod_with_another_gate_alone_is_not_gated() -> None:
    pod = site_pods.pod()
    assert gated(pod)
    pod["spec"]["schedulingGates"] = [{"name": "other"}]
    assert not gated(pod)


# --- accounts -----------------------------------------------------------------------------------------------------------
POD = {"pod": "p", "podUid": "1", "request": "r", "run": "ns/run", "uid": "u"}


def test_accounts_follow_the_entries() -> None:
    accounts = Accounts()
    for entry in (
        {"kind": "started", "version": "1"},
        {"kind": "policy", "spec": {"rules": []}, "generation": 3},
        {"kind": "asked", **POD},
        {"kind": "decided", **POD, "verdict": "Waits", "code": "ApprovalRequired"},
        {"kind": "decided", **POD, "verdict": "Allowed", "rule": "a"},
        {"kind": "left", **POD, "type": "train", "round": "1", "digest": "d", "announcement": "a", "bytes": 10},
        {"kind": "left", **POD, "type": "evaluate", "round": "2", "digest": "", "announcement": "e", "bytes": 5},
        {"kind": "sent", **POD, "requests": 2, "bytes": 1},
        {"kind": "sent", **POD, "requests": 2},
        {"kind": "refused", **POD, "code": "RoundsExhausted", "bytes": 16, "rounds": 2},
        {"kind": "refused", **POD, "code": "MessageNotRecognized"},
        {"kind": "stopped", **POD, "code": "SiteSuspended"},
    ):
        accounts.add(entry)
    pod, run = accounts.pods["1"], accounts.runs["u"]
    assert (pod.asked, pod.allowed, pod.decided, pod.stopped) == ("r", "r", ("Allowed", "", "a", "r", ""), True)
    assert (pod.bytes, pod.replies) == (16, {"a": "train", "e": "evaluate"})
    assert (run.bytes, run.replies, run.refused) == (16, {"train": 1, "evaluate": 1}, Left(16, 2))
    assert accounts.policy["generation"] == 3
    accounts.add({"kind": "ended", **POD})
    assert not accounts.pods
    assert accounts.runs["u"].bytes == 16


def test_rounds_are_the_most_replies_of_one_kind() -> None:
    assert [kind_of(type_) for type_ in ("train", "train.custom", "evaluate")] == ["train", "train", "evaluate"]
    assert rounds_of(["train", "evaluate", "train"]) == 2
    assert rounds_of([]) == 0


def test_a_round_with_secure_aggregation_is_one() -> None:
    """Its steps are one reply each, and other queries are of one kind."""
    steps = ["query.panal_keys", "query.panal_shares", "train", "query.panal_survivors", "query.panal_unmask"]
    assert rounds_of(map(kind_of, [*steps, "evaluate"] * 3)) == 3
    assert [kind_of(type_) for type_ in ("query.panal_keys.more", "query.panal", "query.keys", "query")] == ["query"] * 4


def test_another_text_is_another_decision_but_for_what_a_budget_has_spent() -> None:
    few = {"verdict": "Refused", "code": "MinimumClustersTooLow", "text": "5 is needed"}
    assert decided(few) != decided(few | {"text": "3 is needed"})
    spent = {"verdict": "Refused", "code": "PrivacyBudgetSpent", "text": "2 is spent"}
    assert decided(spent) == decided(spent | {"text": "3 is spent"})
