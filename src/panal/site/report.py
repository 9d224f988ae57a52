"""What the ledger says about each run, for the owner of the site: what it asked, what was decided, and what has left. It follows the
entries, one after the other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from panal.evidence.ledger import SEALED, Entry
from panal.site.accounts import kind_of, rounds_of
from panal.site.decide import Verdict
from panal.site.entries import Kind

OF_ENTRIES = frozenset({"number", "previous", "time", "kind", "pod", "podUid", *SEALED})
DECISION = ("verdict", "code", "rule", "text")
STOPPED = "Stopped"  # the verdict about a run whose Pod was allowed before


@dataclass(slots=True)
class OfPod:
    """A Pod that has not ended. `asked`: its last request, and `decision` the last one about it; each is empty before there is one."""

    run: str
    asked: Mapping[str, Any] = field(default_factory=dict)
    decision: Mapping[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class OfRun:
    """`name`: NAMESPACE/NAME; of a Pod that was not recognized, its own. `first` and `last`: the times of its entries. `allowed`: whether a
    Pod of it ever was. `pods`: those that have not ended. `others`: requests that belong to no reply. `replies`, `errors`, `others` and
    `bytes` are of the time that the report is about."""

    name: str
    uid: str
    first: str
    last: str
    asked: Mapping[str, Any] = field(default_factory=dict)
    decision: Mapping[str, Any] = field(default_factory=dict)
    allowed: bool = False
    pods: set[str] = field(default_factory=set)
    replies: Counter[str] = field(default_factory=Counter)
    errors: int = 0
    others: int = 0
    bytes: int = 0

    def record(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "run": self.name,
            "uid": self.uid,
            "first": self.first,
            "last": self.last,
            "here": bool(self.pods),
            "allowed": self.allowed,
            "asked": dict(self.asked),
            **self.decision,
            "rounds": rounds_of(self.replies.elements()),
            "replies": dict(sorted(self.replies.items())),
            "errors": self.errors,
            "otherRequests": self.others,
            "bytes": self.bytes,
        }


class Report:
    """`since`: of the time before it nothing is counted, and runs that are over by then are not listed; None: all of the ledger."""

    def __init__(self, since: datetime | None = None) -> None:
        self.pods: dict[str, OfPod] = {}
        self.runs: dict[str, OfRun] = {}
        self.begins = ""
        self.number = 0
        self._since = since

    def add(self, entry: Entry) -> None:
        self.begins, self.number = self.begins or entry["time"], entry["number"]
        uid = entry.get("podUid")
        if uid is None:
            return
        run = self._run(entry, uid)
        recent = self._since is None or datetime.fromisoformat(entry["time"]) >= self._since
        if recent or not run.last:
            run.last = entry["time"]
        if entry["kind"] == Kind.ENDED:
            self.pods.pop(uid, None)
            run.pods.discard(uid)
            return
        pod = self.pods.setdefault(uid, OfPod(run.uid))
        run.pods.add(uid)
        match entry["kind"]:
            case Kind.ASKED:
                run.asked = pod.asked = {name: value for name, value in entry.items() if name not in OF_ENTRIES}
            case Kind.DECIDED | Kind.STOPPED:
                self._decided(run, pod, entry)
            case Kind.LEFT | Kind.SENT if recent:
                _count(run, entry)

    def _run(self, entry: Entry, pod: str) -> OfRun:
        known = self.pods.get(pod)
        key = entry.get("uid") or entry.get("run") or (known.run if known else pod)
        return self.runs.setdefault(key, OfRun(entry.get("run") or f"Pod {entry['pod']}", key, entry["time"], ""))

    def _decided(self, run: OfRun, pod: OfPod, entry: Entry) -> None:
        found = {name: entry.get(name, "") for name in DECISION}
        if entry["kind"] == Kind.STOPPED:
            found["verdict"] = STOPPED
        run.decision = pod.decision = found
        run.allowed = run.allowed or found["verdict"] == Verdict.ALLOWED

    def here(self) -> dict[str, dict[str, Any]]:
        """By the uid of each Pod that is here: what its run asks, what was decided, and what has left of the run."""
        found = {}
        for uid, pod in self.pods.items():
            run = self.runs[pod.run]
            left = {"rounds": rounds_of(run.replies.elements()), "bytes": run.bytes}
            found[uid] = {"asked": dict(pod.asked), **pod.decision, **left}
        return found

    def listed(self) -> Iterator[OfRun]:
        """In the order in which they came."""
        return (run for run in self.runs.values() if run.pods or self._since is None or datetime.fromisoformat(run.last) >= self._since)


def _count(run: OfRun, entry: Entry) -> None:
    run.bytes += entry.get("bytes", 0)
    if entry["kind"] == Kind.SENT:
        run.others += entry.get("requests", 0)
    else:
        run.replies[kind_of(entry["type"])] += 1
        run.errors += bool(entry.get("error"))
