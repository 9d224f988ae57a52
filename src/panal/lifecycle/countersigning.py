"""What follows the end of a run besides the Jobs of `after_run`: its record, and the receipts of sites that have a policy.

1. The record is made and stored, and gets an entry in the hub's ledger (`record`, `hub.records`).
2. Each site with a policy is asked by a ManifestWork with a RunRecord. Its answer comes back as feedback: a receipt, or why there is none.
3. When all have answered, or after WITHIN, the hub seals which receipts there are and what is missing, and removes the works.
The condition Countersigned says how far that is. The phase does not wait for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

from panal.api import names
from panal.api.names import ClusterName
from panal.api.text import shown
from panal.api.types import Condition, Status
from panal.evidence.receipt import CLOSING, Signed, StoredReceipt, WrongReceiptError, read
from panal.lifecycle.cleanup import asking
from panal.lifecycle.collaborators import WORK_API
from panal.lifecycle.metadata import identity, labels
from panal.lifecycle.plan import Close, Enter, Event, Keep, Plan, Receive
from panal.lifecycle.reasons import Reason, with_remedy
from panal.lifecycle.record import asked, record, written
from panal.lifecycle.world import Evidence, Object, WorkView, World

CONDITION = "Countersigned"
WITHIN = timedelta(minutes=10)
SETTLED = timedelta(minutes=2)  # a Pod whose node is away does not end
AT_ONCE = 50  # works that are created in one pass
NAMED = 5  # clusters in the message
BLOCKED = 15.0  # seconds until the record is tried again, while somebody else has made the ConfigMap of its name
LONGEST = 300  # characters of why a receipt is missing
FEEDBACK = ("receipt", "signature", "key", "refusal")  # of the RunRecord's status
SENT = ("namespace", "name", "uid", "record", "time", "number", "previous", "hash", "signature")  # of the hub's entry


@dataclass(frozen=True, slots=True)
class Answers:
    """`receipts`: those that hold, of an answer or stored before. `final`: why a site gives none. `missing`: why there is none yet."""

    receipts: dict[ClusterName, Signed | StoredReceipt] = field(default_factory=dict)
    final: dict[ClusterName, str] = field(default_factory=dict)
    missing: dict[ClusterName, str] = field(default_factory=dict)


def follow(world: World, plan: Plan, now: datetime) -> Plan:
    """Adds the next step to the plan of an ended run."""
    evidence = world.evidence
    if evidence is None or world.blind:
        return plan
    if not evidence.record or evidence.recorded is None:
        if (left := _settling(world, evidence, now)) > 0:
            return replace(plan, look_again=min(left, plan.look_again or left))
        content = record(world, evidence, now)
        plan = replace(plan, evidence=(Keep(content, tuple(asked(content))),))
        return _blocked(world, plan, evidence.blocked, now) if evidence.blocked else plan
    if evidence.entry is None:
        plan = replace(plan, evidence=(Enter(evidence.record, evidence.recorded),))
        return _blocked(world, plan, evidence.blocked, now) if evidence.blocked else plan
    if not evidence.asked:
        return _without(world, plan)
    if evidence.closing is not None:
        return _told(world, replace(plan, delete=(*plan.delete, *asking(world))), evidence.closing, now)
    return _open(world, evidence, evidence.recorded + WITHIN, plan, now)


def _settling(world: World, evidence: Evidence, now: datetime) -> float:
    """For how many seconds the record waits for the end of the aggregator's Pod, whose reporter may still write what belongs into it."""
    ended = world.run.status.completion_time
    return (ended + SETTLED - now).total_seconds() if evidence.working and ended else 0.0


def _open(world: World, evidence: Evidence, until: datetime, plan: Plan, now: datetime) -> Plan:
    answers = _answers(world, evidence)
    new = {
        cluster: each
        for cluster, each in answers.receipts.items()
        if isinstance(each, Signed) and _is_new(each, evidence.receipts.get(cluster))
    }
    steps: list[Receive | Close] = [Receive(new, evidence.asked)] if new else []
    if answers.missing and now < until:
        signed = f"{len(answers.receipts)} of {len(evidence.asked)} sites have countersigned the record"
        waits = f"{signed}; until {written(until)} panal waits for {_named({**answers.missing, **answers.final})}"
        told = _Telling("Unknown", Reason.COUNTERSIGNING, waits)
        status, _ = _status(world, plan, told, now)
        left = (until - now).total_seconds() + 0.1
        looks = [left, *((plan.look_again,) if plan.look_again is not None else ())]
        new_works = _works(world, evidence, answers.missing)
        if new_works.more:
            looks.append(0.0)
        return replace(
            plan, evidence=tuple(steps), apply=(*plan.apply, *new_works.objects), status=status or plan.status, look_again=min(looks)
        )
    missing = {**answers.missing, **answers.final}
    closing = {
        "kind": CLOSING,
        "version": 1,
        "uid": world.run.uid,
        "record": evidence.record,
        "time": written(now),
        "receipts": {cluster: {"hash": each.hash, "key": each.fingerprint} for cluster, each in sorted(answers.receipts.items())},
        "missing": dict(sorted(missing.items())),
    }
    plan = replace(plan, evidence=(*steps, Close(closing)), delete=(*plan.delete, *asking(world)))
    return _told(world, plan, closing, now)


# --- what sites have answered ---------------------------------------------------------------------------------------------
def _answers(world: World, evidence: Evidence) -> Answers:
    answers = Answers()
    for cluster in evidence.asked:
        work = world.asking.get(cluster)
        said = {name: str(value) for name, value in work.feedback.items() if name in FEEDBACK} if work else {}
        if said.get("refusal"):
            answers.final[cluster] = f"the site refuses: {shown(said['refusal'], 63)}"
        elif all(said.get(name) for name in ("receipt", "signature", "key")):
            found = _checked(said["receipt"], said["signature"], said["key"], world.run.uid, evidence.record)
            if isinstance(found, Signed):
                answers.receipts[cluster] = found
            else:
                answers.final[cluster] = f"its receipt does not count: {found}"
        else:
            answers.missing[cluster] = _why(work)
        if cluster not in answers.receipts and cluster in evidence.receipts:  # it has answered, whatever its work says now
            answers.receipts[cluster] = evidence.receipts[cluster]
            answers.final.pop(cluster, None)
            answers.missing.pop(cluster, None)
    return answers


def _is_new(receipt: Signed, stored: StoredReceipt | None) -> bool:
    return stored is None or stored != (receipt.hash, receipt.fingerprint)


@lru_cache(maxsize=4096)
def _checked(text: str, signature: str, key: str, uid: str, record: str) -> Signed | str:
    try:
        return read(text, signature, key, uid=uid, record=record)
    except WrongReceiptError as error:
        return str(error)


def _why(work: WorkView | None) -> str:
    if work is None:
        return "it has not been asked yet"
    if work.applied is False:
        return shown(f"the site does not take the record: {work.applied_message}", LONGEST)
    return "the site has not answered" if work.applied else "its agent has not got the record yet"


# --- how it is told -------------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class _Telling:
    truth: Any  # "True", "False" or "Unknown"
    reason: Reason
    message: str


def _told(world: World, plan: Plan, closing: Mapping[str, Any], now: datetime) -> Plan:
    """With the condition that a closing says, and with an Event if it is new."""
    received, missing = len(closing["receipts"]), closing["missing"]
    if missing:
        message = f"{received} of {received + len(missing)} sites have countersigned the record; there is no receipt of {_named(missing)}"
        telling = _Telling("False", Reason.NOT_COUNTERSIGNED, with_remedy(Reason.NOT_COUNTERSIGNED, message))
    else:
        telling = _Telling("True", Reason.COUNTERSIGNED, f"{received} of {received} sites have countersigned the record")
    return _with_event(world, plan, telling, now)


def _blocked(world: World, plan: Plan, name: str, now: datetime) -> Plan:
    """While somebody else has made the ConfigMap of the record or of its entry: what that says is neither sealed nor shown to sites."""
    message = f"the ConfigMap {name} is not from panal, so the run has no sealed record"
    telling = _Telling("False", Reason.RECORD_BLOCKED, with_remedy(Reason.RECORD_BLOCKED, message))
    look_again = BLOCKED if plan.look_again is None else min(BLOCKED, plan.look_again)
    return _with_event(world, replace(plan, look_again=look_again), telling, now)


def _without(world: World, plan: Plan) -> Plan:
    """Of a run that nobody countersigns: without the condition, if it said that the record could not be stored."""
    old = plan.status or world.run.status
    left = [each for each in old.conditions if each.type != CONDITION]
    return plan if len(left) == len(old.conditions) else replace(plan, status=old.model_copy(update={"conditions": left}))


def _with_event(world: World, plan: Plan, told: _Telling, now: datetime) -> Plan:
    status, changed = _status(world, plan, told, now)
    if status is None:
        return plan
    event = Event("Normal" if told.truth == "True" else "Warning", told.reason.value, told.message)
    return replace(plan, status=status, events=(*plan.events, *((event,) if changed else ())))


def _status(world: World, plan: Plan, told: _Telling, now: datetime) -> tuple[Status | None, bool]:
    """The status with the condition, None if nothing is new; and whether its reason is."""
    old = plan.status or world.run.status
    before = next((c for c in old.conditions if c.type == CONDITION), None)
    since = before.last_transition_time if before and before.status == told.truth else now
    condition = Condition(
        type=CONDITION,
        status=told.truth,
        reason=told.reason,
        message=shown(told.message, 1024),
        last_transition_time=since,
        observed_generation=world.run.generation,
    )
    if condition == before:
        return None, False
    conditions = [*(c for c in old.conditions if c.type != CONDITION), condition]
    return old.model_copy(update={"conditions": conditions}), before is None or before.reason != told.reason


def _named(missing: Mapping[Any, str]) -> str:
    clusters = sorted(missing)
    more = f" and {len(clusters) - NAMED} more" if len(clusters) > NAMED else ""
    return "; ".join(f"{cluster} ({missing[cluster]})" for cluster in clusters[:NAMED]) + more


# --- how they are asked ---------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class _Works:
    objects: tuple[Object, ...]
    more: bool


def _works(world: World, evidence: Evidence, missing: Mapping[ClusterName, str]) -> _Works:
    """Those that are missing, without those that the hub has just refused. An existing work is left as it is."""
    refused = {each.namespace for each in world.refused if each.kind == "ManifestWork"}
    wanted = [cluster for cluster in missing if cluster not in world.asking and cluster not in refused]
    return _Works(tuple(work(world, evidence, cluster) for cluster in wanted[:AT_ONCE]), len(wanted) > AT_ONCE)


def work(world: World, evidence: Evidence, cluster: ClusterName) -> Object:
    """The ManifestWork by which a site is asked to countersign the record."""
    run, entry = world.run, evidence.entry or {}
    name = names.collaborator(run.name, identity(run))
    manifest = {
        "apiVersion": names.API_VERSION,
        "kind": names.RECORD_KIND,
        "metadata": {"name": name, "namespace": names.COLLABORATOR_NAMESPACE, "labels": labels(run, "evidence")},
        "spec": {**{field_: entry[field_] for field_ in SENT}, "key": evidence.key},
    }
    paths = [{"name": each, "path": f".status.{each}"} for each in FEEDBACK]
    identifier = {"group": names.GROUP, "resource": names.RECORD_PLURAL, "name": name, "namespace": names.COLLABORATOR_NAMESPACE}
    config = {
        "resourceIdentifier": identifier,
        "feedbackScrapeType": "Watch",
        "feedbackRules": [{"type": "JSONPaths", "jsonPaths": paths}],
    }
    return {
        "apiVersion": WORK_API,
        "kind": "ManifestWork",
        "metadata": {"name": names.asking(run.name, identity(run)), "namespace": cluster, "labels": labels(run, "evidence")},
        "spec": {"workload": {"manifests": [manifest]}, "manifestConfigs": [config]},
    }
