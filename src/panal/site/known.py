"""What the ledger says about each run, for the site's receipt about its record. It follows the entries, one after the other."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any

from panal.api.text import shown
from panal.evidence.canonical import digest
from panal.evidence.ledger import Entry, Head
from panal.evidence.receipt import MOST_REQUESTS, RECEIPT
from panal.site.entries import Kind

ASKED = ("image", "appHash", "data", "purpose")  # of a request, in the receipt
LONGEST = 300  # characters of each of these
NO_POLICY = digest({})


@dataclass(slots=True)
class Known:
    """A run. `requests`: the number of each, by its id. `asked`: what the last one asked for. `decision`: verdict, code and rule of the
    last one, with generation and SHA-256 of the policy at that time. `digests`: the SHA-256 over the digests of its replies, each with a
    line break. `records`: where the ledger has each record of the run."""

    run: str
    uid: str
    requests: dict[str, int] = field(default_factory=dict)
    asked: dict[str, Any] = field(default_factory=dict)
    decision: dict[str, Any] = field(default_factory=dict)
    replies: int = 0
    bytes: int = 0
    digests: Any = field(default_factory=hashlib.sha256)
    records: dict[str, Head] = field(default_factory=dict)

    def receipt(self, record: str, *, disclosed: bool) -> dict[str, Any]:
        """What the site says about a record that its ledger has. Unless it is `disclosed`, only that."""
        head = self.records[record]
        least = {
            "kind": RECEIPT,
            "version": 1,
            "uid": self.uid,
            "record": record,
            "ledger": {"number": head.number, "hash": head.hash},
        }
        if not disclosed:
            return least
        return least | {
            "run": self.run,
            "requests": dict(list(self.requests.items())[-MOST_REQUESTS:]),
            "asked": self.asked,
            "decision": self.decision,
            "replies": self.replies,
            "bytes": self.bytes,
            "digest": self.digests.hexdigest(),
        }


@dataclass(slots=True)
class KnownRuns:
    """`by_uid`: runs that have asked. `policy`: generation and SHA-256 of the policy that is in the ledger now."""

    by_uid: dict[str, Known] = field(default_factory=dict)
    policy: dict[str, Any] = field(default_factory=lambda: {"generation": 0, "sha256": NO_POLICY})

    def add(self, entry: Entry) -> None:
        if entry["kind"] == Kind.POLICY:
            self.policy = {"generation": entry["generation"], "sha256": digest(entry["spec"])}
        elif entry.get("uid") and entry.get("run"):
            self._of_run(self.by_uid.setdefault(entry["uid"], Known(entry["run"], entry["uid"])), entry)

    def _of_run(self, known: Known, entry: Entry) -> None:
        match entry["kind"]:
            case Kind.ASKED:
                known.requests.setdefault(entry["request"], len(known.requests) + 1)
                known.asked = {name: shown(str(entry[name]), LONGEST) for name in ASKED if name in entry}
            case Kind.DECIDED:
                said = {"verdict": entry["verdict"], "code": entry.get("code", ""), "rule": entry.get("rule", "")}
                known.decision = {**said, "policy": self.policy}
            case Kind.LEFT:
                known.replies += 1
                known.bytes += entry.get("bytes", 0)
                known.digests.update(f"{entry['digest']}\n".encode())
            case Kind.SENT:
                known.bytes += entry.get("bytes", 0)
            case Kind.RECORD:
                known.records[entry["record"]] = Head(entry["number"], entry["hash"])
