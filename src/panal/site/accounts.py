"""What the ledger says about Pods, runs and privacy budgets: who was allowed, and what has left. It is made from the entries, one after the
other, so that whoever has the ledger can make it again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from math import isclose
from typing import Any

from pydantic import ValidationError

from panal.evidence.ledger import BrokenLedgerError, Entry
from panal.pod.tools.codes import SECURE_STEPS
from panal.site.budgets import Source, Spender, Terms, Usage, delta_of, figures, overlap, terms
from panal.site.codes import Code
from panal.site.decide import NOTHING, Left, Verdict
from panal.site.entries import Kind
from panal.site.known import KnownRuns
from panal.site.policy import PrivacyBudget, SitePolicySpec

EXHAUSTED = (Code.ROUNDS_EXHAUSTED, Code.BYTES_EXHAUSTED, Code.PRIVACY_BUDGET_SPENT)
TRAIN = "train"
SAME = 1e-5  # relative difference of two ε, which have six digits


@dataclass(slots=True)
class OfRun:
    """`refused`: what the run would have sent with a request that was refused since a limit was reached, and `wanted` its updates then."""

    bytes: int = 0
    replies: Counter[str] = field(default_factory=Counter)  # by type
    updates: int = 0
    refused: Left = NOTHING
    wanted: int = 0


NO_RUN = OfRun()


@dataclass(slots=True)
class OfPod:
    """A Pod that has not ended. `asked`: its last request. `decided`: the last decision, which begins with the verdict. `allowed`: the
    last request that the site allowed."""

    name: str
    run: str = ""  # NAMESPACE/NAME
    run_uid: str = ""
    asked: str = ""
    decided: tuple[str, ...] = ("",)
    allowed: str = ""
    stopped: bool = False
    images: Mapping[str, str] = field(default_factory=dict)  # that its containers run, by name
    bytes: int = 0
    replies: dict[str, str] = field(default_factory=dict)  # the type of each, by its name

    @property
    def key(self) -> str:
        """Of its run."""
        return key_of(self.run, self.run_uid)

    @property
    def spends(self) -> bool:
        """Whether it may send updates."""
        return bool(self.allowed) and self.decided[0] == Verdict.ALLOWED


@dataclass(slots=True)
class Accounts:
    """`pods`: by uid; `ended`: the uids of those that have. `runs`: by `key_of`. `policy`: the content of the last entry about it, and
    `budgets` those in it. `known`: what receipts say about runs. `terms`: by request. `spent`: the updates that have left."""

    pods: dict[str, OfPod] = field(default_factory=dict)
    ended: set[str] = field(default_factory=set)
    runs: dict[str, OfRun] = field(default_factory=dict)
    policy: Entry = field(default_factory=dict)
    known: KnownRuns = field(default_factory=KnownRuns)
    budgets: tuple[PrivacyBudget, ...] = ()
    terms: dict[str, Terms] = field(default_factory=dict)
    spent: Counter[Source] = field(default_factory=Counter)

    def pod(self, uid: str, name: str) -> OfPod:
        return self.pods.setdefault(uid, OfPod(name))

    def run(self, key: str) -> OfRun:
        return self.runs.setdefault(key, OfRun())

    def add(self, entry: Entry) -> None:
        self.known.add(entry)
        if entry["kind"] == Kind.POLICY:
            self.policy = {"spec": entry["spec"], "generation": entry["generation"], "problem": entry.get("problem", "")}
            self.budgets = _budgets(entry["spec"])
        elif entry["kind"] == Kind.ENDED:
            self.pods.pop(entry["podUid"], None)
            self.ended.add(entry["podUid"])
        elif "podUid" in entry:
            self._of_pod(self.pod(entry["podUid"], entry["pod"]), entry)

    def _of_pod(self, pod: OfPod, entry: Entry) -> None:
        if "run" in entry:
            pod.run, pod.run_uid = entry["run"], entry.get("uid", "")
        match entry["kind"]:
            case Kind.ASKED:
                pod.asked = entry["request"]
                self.terms[entry["request"]] = terms(entry.get("data", ""), entry.get("privacy", ""))
            case Kind.DECIDED:
                pod.decided = decided(entry)
                if entry["verdict"] == Verdict.ALLOWED:
                    pod.allowed = entry["request"]
            case Kind.STOPPED:
                pod.stopped = True
            case Kind.IMAGES:
                pod.images = entry["images"]
            case Kind.LEFT | Kind.SENT:
                self._gone(pod, entry)
            case Kind.REFUSED if entry["code"] in EXHAUSTED:
                run = self.run(pod.key)
                run.refused, run.wanted = Left(entry["bytes"], entry["rounds"]), max(run.wanted, entry.get("updates", 0))

    def _gone(self, pod: OfPod, entry: Entry) -> None:
        run = self.run(pod.key)
        run.bytes += entry.get("bytes", 0)
        pod.bytes += entry.get("bytes", 0)
        if entry["kind"] == Kind.LEFT:
            if _has_update(entry):
                self.spent[self.source(entry["request"])] += 1
                run.updates += 1
            run.replies[kind_of(entry["type"])] += 1
            pod.replies[entry["announcement"]] = kind_of(entry["type"])  # last: until then it counts as under way

    # --- privacy budgets --------------------------------------------------------------------------------------------
    def source(self, request: str) -> Source:
        found = self.terms.get(request, Terms())
        return found.data, found.noise

    def usage(self, under_way: Iterable[tuple[str, str]] = (), run: str = "") -> Usage:
        """Of the runs that have a Pod, and of `run`. `under_way`: run and request of each update that has left and is in no entry yet."""
        more, pods = list(under_way), list(self.pods.values())
        spent, updates = Counter(dict(self.spent)), Counter(key for key, _ in more)
        spent.update(self.source(request) for _, request in more)
        allowed = {pod.key: self.terms.get(pod.allowed) for pod in pods if pod.spends}
        known = {*updates, *(pod.key for pod in pods), *([run] if run else ())}
        left = {key: self.runs.get(key, NO_RUN).updates + updates[key] for key in known}
        return Usage(spent, {key: Spender(number, number, allowed.get(key)) for key, number in left.items()})

    def noted(self, kind: str, content: Mapping[str, Any]) -> dict[str, Any]:
        """What the accounts add to an entry with this content that follows now: after an update, what is spent of each budget."""
        if kind != Kind.LEFT or not _has_update(content):
            return {}
        data, noise = source = self.source(content["request"])
        after = Usage(self.spent + Counter({source: 1}))
        budgets = [each for each in self.budgets if noise and overlap(each.data, data)]
        found = [{"data": each.data, "delta": delta_of(each), "epsilon": figures(each, after).spent} for each in budgets]
        return {"budgets": found} if found else {}


def wanting(run: str, left: Left, found: OfRun) -> Left:
    """What has left, or would have if the request had been allowed for which a limit was reached."""
    usage = left.usage.wanting(run, found.wanted)
    return Left(max(left.bytes, found.refused.bytes), max(left.rounds, found.refused.rounds), usage)


def audited(entries: Iterable[Entry], accounts: Accounts) -> Iterator[Entry]:
    """The entries, whose accounts are made. Raises BrokenLedgerError for an ε that does not follow from the entries before it."""
    for entry in entries:
        found, wanted = entry.get("budgets", []), accounts.noted(entry["kind"], entry).get("budgets", [])
        same = len(found) == len(wanted) and all(
            (a["data"], a["delta"]) == (b["data"], b["delta"]) and isclose(a["epsilon"], b["epsilon"], rel_tol=SAME)
            for a, b in zip(found, wanted)
        )
        if not same:
            raise BrokenLedgerError(f"entry {entry['number']} says of the privacy budgets {found}, and the entries before it {wanted}")
        accounts.add(entry)
        yield entry


def _budgets(spec: Mapping[str, Any]) -> tuple[PrivacyBudget, ...]:
    """Of a policy; none if it is not valid, and allows nothing."""
    try:
        return SitePolicySpec.model_validate(spec).privacy_budgets
    except ValidationError:
        return ()


def _has_update(entry: Mapping[str, Any]) -> bool:
    return is_update(entry["type"], error=bool(entry.get("error")), objects=entry.get("objects", 1))


def is_update(type_: str, *, error: bool, objects: int) -> bool:
    """Whether a reply carries an update. An error is one object without others below it, which is small (`flower.LARGEST_ERROR`)."""
    return type_.partition(".")[0] == TRAIN and (not error or objects > 1)


def decided(entry: Entry) -> tuple[str, ...]:
    """What makes it another decision. What a privacy budget has spent changes all the time."""
    text = "" if entry.get("code") == Code.PRIVACY_BUDGET_SPENT else entry.get("text", "")
    return entry["verdict"], entry.get("code", ""), entry.get("rule", ""), entry.get("request", ""), text


def key_of(run: str, uid: str) -> str:
    return uid or run


def kind_of(type_: str) -> str:
    """Of a reply whose type is such as `train.custom`. Each step of secure aggregation is a kind: there is one of each in a round."""
    return type_ if type_ in SECURE_STEPS else type_.partition(".")[0]


def rounds_of(replies: Iterable[str]) -> int:
    """The most that are of one kind."""
    return max(Counter(replies).values(), default=0)
