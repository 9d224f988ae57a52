"""What the ledger says about Pods and runs, for the owner of the site: what was asked and decided, and what has left. It follows the
entries, one after the other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from panal.evidence.ledger import SEALED, Entry
from panal.site.accounts import Accounts, kind_of, rounds_of
from panal.site.decide import Verdict
from panal.site.entries import Kind

OF_ENTRIES = frozenset({"number", "previous", "time", "kind", "pod", "podUid", *SEALED})
DECISION = ("verdict", "code", "rule", "text")
LISTED = ("framework", "image", "appHash", "data", "purpose", "requester")  # of a request, beside its run
STOPPED = "Stopped"  # the verdict in an entry that says that a Pod was


def decision(entry: Entry) -> dict[str, str]:
    found = {name: entry.get(name, "") for name in DECISION}
    return found | ({"verdict": STOPPED} if entry["kind"] == Kind.STOPPED else {})


# --- Pods ---------------------------------------------------------------------------------------------------------------
@dataclass(slots=True)
class OfPod:
    """`asked`: its last request, `said` the last decision about it; each is empty before there is one."""

    asked: Mapping[str, Any] = field(default_factory=dict)
    said: Mapping[str, Any] = field(default_factory=dict)


class Pods:
    """Those that have not ended, by uid."""

    def __init__(self) -> None:
        self.accounts = Accounts()
        self._pods: dict[str, OfPod] = {}

    def add(self, entry: Entry) -> None:
        self.accounts.add(entry)
        if entry["kind"] == Kind.ENDED:
            self._pods.pop(entry["podUid"], None)
        elif entry["kind"] == Kind.ASKED:
            self._pod(entry).asked = {name: value for name, value in entry.items() if name not in OF_ENTRIES}
        elif entry["kind"] in (Kind.DECIDED, Kind.STOPPED):
            self._pod(entry).said = decision(entry)

    def _pod(self, entry: Entry) -> OfPod:
        return self._pods.setdefault(entry["podUid"], OfPod())

    def records(self) -> Iterator[dict[str, Any]]:
        """As JSON. `rounds` and `bytes`: of the run, that have left."""
        for uid, pod in self._pods.items():
            run = self.accounts.run(self.accounts.pods[uid].key)
            left = {"rounds": rounds_of(run.replies.elements()), "bytes": run.bytes}
            yield {"podUid": uid, "asked": dict(pod.asked), **pod.said, **left}


# --- runs ---------------------------------------------------------------------------------------------------------------
@dataclass(slots=True)
class OfRun:
    """`name`: NAMESPACE/NAME, or the name of a Pod that was not recognized. `first` and `last`: the times of the first and the last entry.
    `asked`: the last request that the site allowed; if it allowed none, the last request. `images`: the images that the last Pod ran, by
    container. `pods`: the Pods that have not ended, each with its last verdict. `others`: the number of requests that belong to no reply.
    `replies`, `errors`, `others` and `bytes` count from `since` of the report."""

    name: str
    uid: str
    first: str
    last: str = ""
    asked: Mapping[str, Any] = field(default_factory=dict)
    said: Mapping[str, Any] = field(default_factory=dict)
    images: Mapping[str, str] = field(default_factory=dict)
    allowed: bool = False
    pods: dict[str, str] = field(default_factory=dict)
    replies: Counter[str] = field(default_factory=Counter)
    errors: int = 0
    others: int = 0
    bytes: int = 0

    @property
    def works(self) -> bool:
        """Whether a Pod of it may work at the site now."""
        return Verdict.ALLOWED in self.pods.values()

    def record(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "run": self.name,
            "uid": self.uid,
            "first": self.first,
            "last": self.last,
            "here": bool(self.pods),
            "works": self.works,
            "allowed": self.allowed,
            "asked": dict(self.asked),
            "images": dict(self.images),
            **self.said,
            "rounds": rounds_of(self.replies.elements()),
            "replies": dict(sorted(self.replies.items())),
            "errors": self.errors,
            "otherRequests": self.others,
            "bytes": self.bytes,
        }


class Runs:
    """`since`: of the time before it nothing is counted, and runs that are over by then are not listed; None: all of the ledger."""

    def __init__(self, since: datetime | None = None) -> None:
        self.begins = ""
        self._since = since
        self._runs: dict[tuple[str, str], OfRun] = {}
        self._asked: dict[str, Mapping[str, Any]] = {}  # by Pod
        self._of: dict[str, OfRun] = {}  # by Pod that has not ended

    def add(self, entry: Entry) -> None:
        self.begins = self.begins or entry["time"]
        if (pod := entry.get("podUid")) is None:
            return
        run = self._run(entry, pod)
        run.last = entry["time"]
        match entry["kind"]:
            case Kind.ENDED:
                run.pods.pop(pod, None)
                self._of.pop(pod, None)
                self._asked.pop(pod, None)
            case Kind.ASKED:
                self._asked[pod] = {name: entry[name] for name in LISTED if name in entry}
                if not run.allowed:
                    run.asked = self._asked[pod]
            case Kind.DECIDED | Kind.STOPPED:
                self._decided(run, pod, decision(entry))
            case Kind.IMAGES:
                run.images = entry["images"]
            case Kind.LEFT | Kind.SENT if self._counts(entry["time"]):
                _count(run, entry)

    def _run(self, entry: Entry, pod: str) -> OfRun:
        """A Pod of which an entry says no run stays with the one that it had."""
        name, before = entry.get("run"), self._of.get(pod)
        if not name and before:
            return before
        key = (entry.get("uid", ""), name) if name else (pod, f"Pod {entry['pod']}")
        run = self._runs.setdefault(key, OfRun(key[1], entry.get("uid", ""), entry["time"]))
        if before is not run:
            self._move(pod, before, run)
        return run

    def _move(self, pod: str, before: OfRun | None, run: OfRun) -> None:
        """A Pod that was not recognized, or said another run, belongs to this one now."""
        run.pods[pod] = before.pods.pop(pod, "") if before else ""
        self._of[pod] = run
        self._runs.pop((pod, before.name) if before else ("", ""), None)  # of the Pod alone

    def _decided(self, run: OfRun, pod: str, said: Mapping[str, str]) -> None:
        run.said = said
        run.pods[pod] = said["verdict"]
        if said["verdict"] == Verdict.ALLOWED:
            run.allowed, run.asked = True, self._asked.get(pod, run.asked)

    def _counts(self, time: str) -> bool:
        return self._since is None or datetime.fromisoformat(time) >= self._since

    def listed(self) -> Iterator[OfRun]:
        """In the order in which they came."""
        return (run for run in self._runs.values() if run.pods or self._counts(run.last))


def _count(run: OfRun, entry: Entry) -> None:
    run.bytes += entry.get("bytes", 0)
    if entry["kind"] == Kind.SENT:
        run.others += entry.get("requests", 0)
    else:
        run.replies[kind_of(entry["type"])] += 1
        run.errors += bool(entry.get("error"))
