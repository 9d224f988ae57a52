"""The record of a run that has ended, who is asked to countersign it, what their answers are worth, and when the hub stops to wait."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

import evidence
import worlds
from evidence import Site, answered, asks, ended, entered, kept
from panal.api import names
from panal.api.names import ClusterName
from panal.api.progress import UpdateCounts
from panal.api.types import CollaboratorStatus, Condition, Phase
from panal.evidence.canonical import canonical, digest
from panal.evidence.receipt import StoredReceipt, read
from panal.evidence.sealed import public_pem
from panal.gateway.traffic import Traffic
from panal.lifecycle.countersigning import AT_ONCE, BLOCKED, CONDITION, SETTLED, WITHIN
from panal.lifecycle.decide import decide
from panal.lifecycle.plan import Close, Enter, Keep, Plan, Receive
from panal.lifecycle.world import Refusal, World
from panal.site.record import RunRecordSpec
from worlds import NOW, UID

LATER = NOW + WITHIN


def condition(plan: Plan, world: World) -> Condition | None:
    status = plan.status or world.run.status
    return next((each for each in status.conditions if each.type == CONDITION), None)


def told(plan: Plan, world: World) -> tuple[str, str]:
    found = condition(plan, world)
    return (found.status, found.reason) if found else ("", "")


def sites(*numbers: int) -> tuple[World, dict[int, Site], dict[int, dict[str, str]]]:
    """A world in which the record is entered, sites with a policy that took part, and their answers."""
    world = entered(ended(*numbers))
    found = {number: Site() for number in numbers}
    for site in found.values():
        site.take_part()
    return world, found, {number: site.answer(asks(world)) for number, site in found.items()}


# --- the record ---------------------------------------------------------------------------------------------------------
def test_a_run_ends_and_then_its_record_is_made() -> None:
    evidence_ = ended().evidence
    ending = replace(worlds.done(), evidence=evidence_)
    plan = decide(ending, NOW)
    assert plan.status
    assert plan.status.phase is Phase.COMPLETED
    assert (plan.evidence, plan.look_again) == ((), 0.0), "the record is made when the status says that the run has ended"
    (step,) = decide(ended(), NOW).evidence
    assert isinstance(step, Keep)
    assert decide(replace(ended(), evidence=None), NOW).evidence == (), "the hub has no key yet"


def test_the_record_waits_until_the_reporter_has_ended_and_not_for_a_lost_node() -> None:
    world = ended()
    assert world.evidence
    status = world.run.status
    assert status.completion_time
    working = replace(world, evidence=replace(world.evidence, working=True))
    plan = decide(working, status.completion_time + timedelta(seconds=20))
    assert plan.evidence == ()
    assert plan.look_again
    assert plan.look_again <= SETTLED.total_seconds() - 20
    assert decide(working, status.completion_time + SETTLED).evidence
    assert decide(replace(world, blind=True), NOW).evidence == (), "what is not in the cache may be on the hub"


def test_what_is_in_the_record() -> None:
    content = kept(ended(2)).content
    assert digest(json.loads(canonical(content))) == digest(content)
    assert content["run"]["uid"] == UID
    assert content["outcome"]["phase"] == "Completed"
    assert content["app"] == {"sha256": worlds.APP_HASH, "framework": "flower", "frameworkVersion": content["app"]["frameworkVersion"]}
    assert content["history"]["rows"] == 3
    assert content["results"]["model"]["digest"] == "sha256:abc"
    assert content["software"]["aiohttp"] == "3.9"
    one = content["participants"]["cluster2"]
    assert (one["data"], one["sitePolicy"], one["bytesReceived"]) == ("pvc://digits", "v1alpha1", 2000)
    assert list(one["certificates"]) == ["abcdef"]
    assert kept(ended(2)).asked == ("cluster2",)
    (aggregator,) = content["certificates"]["aggregator"].values()
    assert aggregator["subject"] == "CN=panal-site.panal-site.svc"


def test_clusters_that_left_are_participants_as_well() -> None:
    world = ended()
    assert world.evidence
    updates = UpdateCounts(own={"cluster7": 2}, earlier={"cluster1": 1})
    progress = worlds.progress(updates=updates)
    listed = CollaboratorStatus(cluster="cluster8", state="Failed", reason="SiteRefused", message="cluster8: the site refuses the run (X)")
    status = world.run.status.model_copy(update={"collaborators": [*world.run.status.collaborators, listed]})
    left = replace(
        world,
        run=replace(world.run, status=status),
        evidence=replace(world.evidence, traffic={"cluster6": Traffic(1, 0, 5, 6), "": Traffic()}, progress=progress),
    )
    content = kept(left).content
    assert sorted(content["participants"]) == ["cluster1", "cluster2", "cluster3", "cluster6", "cluster7", "cluster8"]
    assert content["participants"]["cluster7"]["updates"] == 2
    assert content["refusals"] == {"cluster8": {"reason": "SiteRefused", "message": listed.message}}


def test_a_run_of_which_nothing_is_known_has_a_record() -> None:
    world = ended()
    assert world.evidence
    bare = replace(world.evidence, progress=None, admitted=(), traffic={})
    content = kept(replace(world, evidence=bare, job=None, credentials=worlds.fresh().credentials)).content
    assert (content["history"], content["images"]["aggregator"], content["certificates"]["aggregator"]) == ({}, {}, {})


def test_a_record_whose_name_is_taken_is_tried_again_and_nobody_is_asked() -> None:
    world = ended(1)
    assert world.evidence
    blocked = replace(world, evidence=replace(world.evidence, blocked="digits-evidence"))
    plan = decide(blocked, NOW)
    assert [type(step) for step in plan.evidence] == [Keep]
    assert (plan.apply, plan.look_again) == ((), BLOCKED)
    assert told(plan, blocked) == ("False", "RecordBlocked")
    (event,) = plan.events
    assert (event.type, event.reason) == ("Warning", "RecordBlocked")
    assert "the ConfigMap digits-evidence is not from panal" in event.message
    assert "delete it" in event.message
    assert plan.status
    again = decide(replace(blocked, run=replace(world.run, status=plan.status)), NOW)
    assert (again.status, again.events, len(again.evidence)) == (None, (), 1)
    stored_ = entered(ended(1))
    assert stored_.evidence
    stored_ = replace(stored_, evidence=replace(stored_.evidence, entry=None, blocked="digits-evidence-sealed"))
    plan = decide(stored_, NOW)
    assert ([type(step) for step in plan.evidence], plan.apply, told(plan, stored_)) == ([Enter], (), ("False", "RecordBlocked"))
    assert "the ConfigMap digits-evidence-sealed is not from panal" in plan.events[0].message
    assert plan.status
    for numbers, then in (((), ("", "")), ((1,), ("Unknown", "Countersigning"))):
        made = entered(ended(*numbers))
        made = replace(made, run=replace(made.run, status=plan.status))
        assert told(decide(made, NOW), made) == then


# --- sites are asked ------------------------------------------------------------------------------------------------------
def test_the_steps_of_a_run_whose_sites_have_no_policy() -> None:
    world = entered(ended())
    assert world.evidence
    stored = replace(world, evidence=replace(world.evidence, entry=None))
    (step,) = decide(stored, NOW).evidence
    assert step == Enter(world.evidence.record, NOW)
    plan = decide(world, NOW)
    assert (plan.evidence, plan.apply, plan.status) == ((), (), None)


def test_a_site_with_a_policy_is_asked_and_the_condition_says_until_when() -> None:
    world, _, _ = sites(1, 3)
    plan = decide(world, NOW)
    works = [each for each in plan.apply if each["kind"] == "ManifestWork"]
    assert [each["metadata"]["namespace"] for each in works] == ["cluster1", "cluster3"]
    (record,) = works[0]["spec"]["workload"]["manifests"]
    assert RunRecordSpec.model_validate(record["spec"]).record == digest(kept(ended(1, 3)).content)
    assert told(plan, world) == ("Unknown", "Countersigning")
    found = condition(plan, world)
    assert found
    assert "0 of 2 sites have countersigned" in found.message
    assert "until 2026-03-01T12:10:00Z" in found.message
    assert "cluster1 (it has not been asked yet)" in found.message
    assert plan.look_again
    assert plan.look_again <= WITHIN.total_seconds() + 1
    again = replace(answered(world, {1: {}, 3: {}}), run=replace(world.run, status=plan.status or world.run.status))
    assert decide(again, NOW).apply == ()


def test_a_refused_work_does_not_keep_the_others() -> None:
    world, _, _ = sites(1, 3)
    refused = replace(world, refused=(Refusal("ManifestWork", "cluster1", "w", "no such namespace", invalid=False),))
    assert [each["metadata"]["namespace"] for each in decide(refused, NOW).apply] == ["cluster3"]


def test_many_sites_are_asked_in_several_passes() -> None:
    world = entered(ended(1))
    assert world.evidence
    many = tuple(ClusterName(f"c{number}") for number in range(3 * AT_ONCE))
    plan = decide(replace(world, evidence=replace(world.evidence, asked=many)), NOW)
    assert (len(plan.apply), plan.look_again) == (AT_ONCE, 0.0)


def test_receipts_are_stored_as_they_come_and_sealed_when_all_are_there() -> None:
    world, _, answers = sites(1, 3)
    assert world.evidence
    first = answered(world, {1: answers[1], 3: {}})
    plan = decide(first, NOW)
    (step,) = plan.evidence
    assert isinstance(step, Receive)
    assert list(step.receipts) == ["cluster1"]
    assert told(plan, first) == ("Unknown", "Countersigning")
    known = replace(world.evidence, receipts=stored(step))
    assert decide(replace(first, evidence=known), NOW).evidence == (), "it is stored"

    both = replace(answered(world, answers), evidence=known)
    plan = decide(both, NOW)
    receive, close = plan.evidence
    assert isinstance(receive, Receive)
    assert isinstance(close, Close)
    assert list(receive.receipts) == ["cluster3"]
    assert sorted(close.content["receipts"]) == ["cluster1", "cluster3"]
    assert close.content["missing"] == {}
    assert told(plan, both) == ("True", "Countersigned")
    assert [each.reason for each in plan.events] == ["Countersigned"]
    assert {(each.kind, each.namespace) for each in plan.delete} >= {("ManifestWork", "cluster1"), ("ManifestWork", "cluster3")}

    closed = replace(both, evidence=replace(known, closing=close.content), run=replace(world.run, status=plan.status or world.run.status))
    after = decide(closed, LATER)
    assert (after.status, after.evidence, after.events) == (None, (), ())
    killed = replace(both, evidence=replace(known, closing=close.content))  # before the status was written
    assert told(decide(killed, NOW), killed) == ("True", "Countersigned")
    assert decide(replace(closed, asking={}), LATER).delete == ()


def stored(step: Receive) -> dict[ClusterName, StoredReceipt]:
    return {cluster: StoredReceipt(each.hash, each.fingerprint) for cluster, each in step.receipts.items()}


@pytest.mark.parametrize("answer", [None, {}, {"refusal": "TooManyRecords"}, {"receipt": "{}", "signature": "x", "key": "x"}])
def test_a_receipt_that_is_stored_counts_whatever_its_work_says_now(answer: dict[str, str] | None) -> None:
    world, _, answers = sites(1, 3)
    (step,) = decide(answered(world, {1: answers[1], 3: {}}), NOW).evidence
    assert isinstance(step, Receive)
    assert world.evidence
    then = replace(answered(world, {} if answer is None else {1: answer}), evidence=replace(world.evidence, receipts=stored(step)))
    plan = decide(then, NOW)
    assert [each["metadata"]["namespace"] for each in plan.apply if each["kind"] == "ManifestWork"] == ["cluster3"]
    plan = decide(then, LATER)
    (close,) = plan.evidence
    assert isinstance(close, Close)
    one = step.receipts[ClusterName("cluster1")]
    assert close.content["receipts"] == {"cluster1": {"hash": one.hash, "key": one.fingerprint}}
    assert list(close.content["missing"]) == ["cluster3"]


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ({}, "the site has not answered"),
        ({"refusal": "RunNotKnown"}, "the site refuses: RunNotKnown"),
        ({"refusal": "Undisclosed\n"}, "the site refuses: Undisclosed\\n"),
    ],
)
def test_after_ten_minutes_the_hub_says_which_are_missing(answer: Mapping[str, str], why: str) -> None:
    world, _, answers = sites(1, 3)
    waits = answered(world, {1: answers[1], 3: answer})
    plan = decide(waits, LATER)
    close = plan.evidence[-1]
    assert isinstance(close, Close)
    assert close.content["missing"] == {"cluster3": why}
    assert told(plan, waits) == ("False", "NotCountersigned")
    (event,) = plan.events
    assert f"cluster3 ({why})" in event.message
    assert event.type == "Warning"


def test_a_site_that_refuses_is_not_waited_for() -> None:
    world, _, answers = sites(1, 3)
    plan = decide(answered(world, {1: answers[1], 3: {"refusal": "RunNotKnown"}}), NOW)
    assert isinstance(plan.evidence[-1], Close)


def wrong_answers() -> dict[str, dict[str, str]]:
    _, found, answers = sites(1)
    good, site = answers[1], found[1]
    content = json.loads(good["receipt"])

    def signed(changes: dict[str, Any], key: Any = site.key) -> dict[str, str]:
        changed = {**content, **changes}
        return {"receipt": canonical(changed).decode(), "signature": evidence.signed(digest(changed), key), "key": good["key"]}

    return {
        "another record": signed({"record": "00" * 32}),
        "another run": signed({"uid": "other"}),
        "another key": signed({}, Site().key),
        "a changed receipt": good | {"receipt": good["receipt"].replace("300", "301")},
        "no JSON": good | {"receipt": "{"},
        "another form": good | {"receipt": json.dumps(content)},
        "a very long one": good | {"receipt": good["receipt"] + " " * 5000},
        "no key": good | {"key": "x"},
        "deep": good | {"receipt": "[" * 3000},
    }


@pytest.mark.parametrize("what", wrong_answers())
def test_a_receipt_that_does_not_hold_does_not_count(what: str) -> None:
    world, _, answers = sites(1)
    answer = wrong_answers()[what]
    plan = decide(answered(world, {1: answer}), NOW)
    (close,) = plan.evidence
    assert isinstance(close, Close)
    assert close.content["receipts"] == {}
    assert close.content["missing"]["cluster1"].startswith("its receipt does not count: it")
    assert told(plan, world) == ("False", "NotCountersigned")
    assert answers[1] != answer


def test_a_site_that_does_not_take_the_record_is_named_with_its_agents_words() -> None:
    world, _, _ = sites(1)
    work = replace(worlds.work(1), applied=False, applied_message="no matches for kind RunRecord")
    found = condition(decide(replace(world, asking=worlds.works(work)), NOW), world)
    assert found
    assert "the site does not take the record: no matches for kind RunRecord" in found.message


def test_a_site_that_discloses_nothing_countersigns_as_well() -> None:
    world, found, _ = sites(1)
    answer = found[1].answer(asks(world), disclosed=False)
    receipt = read(answer["receipt"], answer["signature"], answer["key"], uid=UID, record=asks(world)["record"])
    assert set(receipt.content) == {"kind", "version", "uid", "record", "ledger"}
    assert told(decide(answered(world, {1: answer}), NOW), world) == ("True", "Countersigned")


# --- the end of the run -----------------------------------------------------------------------------------------------------
def test_a_deleted_run_takes_its_works_with_it() -> None:
    world = answered(sites(1)[0], {1: {}})
    going = replace(world, run=replace(world.run, deleting_since=NOW))
    plan = decide(going, NOW)
    assert ("cluster1", False) in [(each.namespace, each.strip_finalizers) for each in plan.delete]
    assert not plan.remove_finalizer
    stuck = {cluster: replace(each, deleting_since=NOW) for cluster, each in going.asking.items()}
    assert "ManifestWork" not in [each.kind for each in decide(replace(going, asking=stuck), NOW).delete]
    late = decide(replace(going, asking=stuck), NOW + timedelta(minutes=6))
    assert [each.strip_finalizers for each in late.delete if each.kind == "ManifestWork"] == [True]
    assert decide(replace(going, asking={}), NOW).remove_finalizer


def test_the_names_fit_and_differ() -> None:
    run = "r" * names.MAX_RUN_NAME
    found = {names.evidence(run), names.sealed(run), names.receipts(run, 17), names.asking(run, "0" * 10), names.work(run, "0" * 10)}
    assert len(found) == 5
    assert max(map(len, found)) <= 63
    assert public_pem(evidence.HUB.public_key()).startswith("-----BEGIN PUBLIC KEY-----\n")
