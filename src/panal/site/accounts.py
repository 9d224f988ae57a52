"""What the ledger says about Pods and runs: who was allowed, and what has left. It is made from the entries, one after the other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum

from panal.pod.tools.codes import SECURE_STEPS
from panal.site.codes import Code
from panal.site.decide import NOTHING, Left, Verdict
from panal.site.ledger import Entry

EXHAUSTED = (Code.ROUNDS_EXHAUSTED, Code.BYTES_EXHAUSTED)


class Kind(StrEnum):
    """Of an entry."""

    STARTED = "started"  # the site controller: version
    CUT = "cut"  # the last line was half-written when the controller ended: bytes
    POLICY = "policy"  # the whole spec, and its generation; an empty spec: there is none
    ASKED = "asked"
    DECIDED = "decided"
    LEFT = "left"  # one reply
    SENT = "sent"  # what belongs to no reply
    REFUSED = "refused"  # a request of a Pod
    STOPPED = "stopped"
    ENDED = "ended"  # a Pod


@dataclass(slots=True)
class OfRun:
    """`refused`: what the run would have sent with a request that was refused since a limit was reached."""

    bytes: int = 0
    replies: Counter[str] = field(default_factory=Counter)  # by type
    refused: Left = NOTHING


@dataclass(slots=True)
class OfPod:
    """Of a Pod that has not ended. `decided`: verdict, code, rule and request of the last decision. `allowed`: the request that was."""

    name: str
    run: str = ""  # NAMESPACE/NAME
    run_uid: str = ""
    asked: bool = False
    decided: tuple[str, str, str, str] = ("", "", "", "")
    allowed: str = ""
    stopped: bool = False
    bytes: int = 0
    replies: dict[str, str] = field(default_factory=dict)  # the type of each, by its name

    @property
    def key(self) -> str:
        """Of its run."""
        return key_of(self.run, self.run_uid)


@dataclass(slots=True)
class Accounts:
    """`pods`: by uid. `runs`: by `key_of`. `policy`: the content of the last entry about it."""

    pods: dict[str, OfPod] = field(default_factory=dict)
    runs: dict[str, OfRun] = field(default_factory=dict)
    policy: Entry = field(default_factory=dict)

    def pod(self, uid: str, name: str) -> OfPod:
        return self.pods.setdefault(uid, OfPod(name))

    def run(self, key: str) -> OfRun:
        return self.runs.setdefault(key, OfRun())

    def add(self, entry: Entry) -> None:
        if entry["kind"] == Kind.POLICY:
            self.policy = {"spec": entry["spec"], "generation": entry["generation"], "problem": entry.get("problem", "")}
        elif entry["kind"] == Kind.ENDED:
            self.pods.pop(entry["podUid"], None)
        elif "podUid" in entry:
            self._of_pod(self.pod(entry["podUid"], entry["pod"]), entry)

    def _of_pod(self, pod: OfPod, entry: Entry) -> None:
        if "run" in entry:
            pod.run, pod.run_uid = entry["run"], entry.get("uid", "")
        match entry["kind"]:
            case Kind.ASKED:
                pod.asked = True
            case Kind.DECIDED:
                pod.decided = decided(entry)
                if entry["verdict"] == Verdict.ALLOWED:
                    pod.allowed = entry["request"]
            case Kind.STOPPED:
                pod.stopped = True
            case Kind.LEFT | Kind.SENT:
                self._gone(pod, entry)
            case Kind.REFUSED if entry["code"] in EXHAUSTED:
                self.run(pod.key).refused = Left(entry["bytes"], entry["rounds"])

    def _gone(self, pod: OfPod, entry: Entry) -> None:
        run = self.run(pod.key)
        run.bytes += entry.get("bytes", 0)
        pod.bytes += entry.get("bytes", 0)
        if entry["kind"] == Kind.LEFT:
            pod.replies[entry["announcement"]] = kind_of(entry["type"])
            run.replies[kind_of(entry["type"])] += 1


def decided(entry: Entry) -> tuple[str, str, str, str]:
    return entry["verdict"], entry.get("code", ""), entry.get("rule", ""), entry.get("request", "")


def key_of(run: str, uid: str) -> str:
    return uid or run


def kind_of(type_: str) -> str:
    """Of a reply whose type is such as `train.custom`. Each step of secure aggregation is a kind: there is one of each in a round."""
    return type_ if type_ in SECURE_STEPS else type_.partition(".")[0]


def rounds_of(replies: Iterable[str]) -> int:
    """The most that are of one kind."""
    return max(Counter(replies).values(), default=0)
