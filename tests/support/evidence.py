"""A run that has ended, its record, sites that countersign it, and the file of all that, as hub and sites make them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

import worlds
from panal.addon.issued import Issued
from panal.api import names
from panal.api.names import ClusterName
from panal.api.progress import HistoryHead
from panal.evidence import rows
from panal.evidence.canonical import canonical, digest
from panal.evidence.file import Stored, made, parsed
from panal.evidence.ledger import Entry, Head, sealed
from panal.evidence.receipt import RECORD, Signed, read
from panal.evidence.sealed import fingerprint, public_pem, signed
from panal.gateway.traffic import Traffic
from panal.lifecycle.countersigning import SENT, follow
from panal.lifecycle.plan import Close, Keep, Plan
from panal.lifecycle.world import Evidence, World
from panal.site.certificates import Certificates, renewed
from panal.site.known import KnownRuns
from panal.site.record import RunRecordSpec, refusal
from worlds import NOW, UID

__all__ = ["CERTIFICATES", "HUB", "Site", "fingerprint"]

HUB = Ed25519PrivateKey.generate()
CERTIFICATES = renewed(Certificates(), NOW)
RUN = {"namespace": "ns", "name": "digits", "uid": UID}


def history(count: int = 3) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for number in range(1, count + 1):
        content = {"round": number, "metrics": {"accuracy": 0.5 + number / 10}, "clusters": {"cluster1": {"seconds": 1.5}}}
        found.append(rows.chained(content, found[-1]["hash"] if found else rows.first(RUN)))
    return found


def head(of: list[dict[str, Any]]) -> HistoryHead:
    return HistoryHead(rows=len(of), first=rows.first(RUN), hash=of[-1]["hash"])


def ended(*with_policy: int, **changes: Any) -> World:
    """A completed run of three clusters; `with_policy`: those whose owners have a policy."""
    views = [worlds.cluster(number) for number in (1, 2, 3)]
    views = [
        replace(each, claims={**each.claims, names.SITE_CLAIM: "v1alpha1"}) if number in with_policy else each
        for number, each in enumerate(views, start=1)
    ]
    certificate = Issued(0xABCDEF, NOW, NOW + timedelta(days=30), "request")
    assert CERTIFICATES.leaf
    before = worlds.ended()
    evidence = Evidence(
        key=public_pem(HUB.public_key()),
        software={"panal": "1.0", "aiohttp": "3.9"},
        admitted=tuple(sorted(worlds.names_of(1, 2, 3))),
        traffic={f"cluster{number}": Traffic(9, 0, 1000 * number, 500) for number in (1, 2, 3)},
        progress=worlds.progress(history=head(history())),
    )
    return replace(
        before,
        works={},
        clusters=worlds.clusters(*views),
        sites=worlds.sites(1, 2, 3, issued=(certificate,)),
        credentials=replace(before.credentials, trust=CERTIFICATES.bundle, certificate=CERTIFICATES.leaf.certificate),
        evidence=evidence,
        **changes,
    )


def kept(world: World) -> Keep:
    """The step with the record."""
    (step,) = follow(world, Plan(), NOW).evidence
    assert isinstance(step, Keep)
    return step


def entered(world: World) -> World:
    """The world when the record is stored and has its entry."""
    keep, evidence = kept(world), world.evidence
    assert evidence
    content = {"kind": RECORD, **RUN, "record": digest(keep.content), "time": keep.content["recorded"]}
    entry, _ = sealed(content, Head(), HUB)
    asked = tuple(map(ClusterName, keep.asked))
    return replace(world, evidence=replace(evidence, record=entry["record"], recorded=NOW, asked=asked, entry=entry))


@dataclass
class Site:
    """A site with a ledger of its own."""

    key: Ed25519PrivateKey = field(default_factory=Ed25519PrivateKey.generate)
    entries: list[Entry] = field(default_factory=list)
    known: KnownRuns = field(default_factory=KnownRuns)

    def write(self, kind: str, **content: Any) -> Entry:
        before = Head(self.entries[-1]["number"], self.entries[-1]["hash"]) if self.entries else Head()
        entry, _ = sealed({"time": "2026-03-01T12:00:00.000Z", "kind": kind, **content}, before, self.key)
        self.entries.append(entry)
        self.known.add(entry)
        return entry

    def take_part(self, replies: int = 3) -> None:
        about = {"pod": "p", "podUid": "1", "request": "ab" * 16, "run": "ns/digits", "uid": UID}
        self.write("policy", spec={"rules": []}, generation=4)
        self.write("asked", **about)
        self.write("decided", **about, verdict="Allowed", rule="studies", policy=4)
        for number in range(replies):
            self.write("left", **about, type="train", digest=digest({"reply": number}), announcement=str(number), bytes=100)

    def answer(self, spec: Mapping[str, Any], *, disclosed: bool = True) -> dict[str, str]:
        """The status of a RunRecord."""
        found = RunRecordSpec.model_validate(spec)
        known = self.known.by_uid.get(found.uid)
        if (why := refusal(found, known)) or known is None:
            return {"refusal": str(why)}
        if found.record not in known.records:
            self.write("record", **found.about())
        content = known.receipt(found.record, disclosed=disclosed)
        return {
            "receipt": canonical(content).decode(),
            "signature": signed(digest(content), self.key),
            "key": public_pem(self.key.public_key()),
        }


def asks(world: World) -> dict[str, Any]:
    """The spec of the RunRecord."""
    assert world.evidence
    assert world.evidence.entry
    return {**{name: world.evidence.entry[name] for name in SENT}, "key": world.evidence.key}


def answered(world: World, answers: Mapping[int, Mapping[str, str]]) -> World:
    """The world when the sites have answered."""
    return replace(world, asking=worlds.works(*(worlds.work(number, **answer) for number, answer in answers.items())))


def file(*with_policy: int, closed: bool = True) -> tuple[dict[str, Any], dict[str, Site]]:
    """A file as `panal evidence` makes it, read from its text, and the sites."""
    world = ended(*with_policy)
    record = kept(world).content
    world = entered(world)
    sites = {number: Site() for number in with_policy}
    for site in sites.values():
        site.take_part()
    answers = {number: site.answer(asks(world)) for number, site in sites.items()}
    world = answered(world, answers)
    assert world.evidence
    closing = None
    if with_policy and closed:
        step = follow(world, Plan(), NOW).evidence[-1]
        assert isinstance(step, Close)
        closing = {"content": step.content, "signature": signed(digest(step.content), HUB)}
    receipts: dict[str, Signed] = {
        f"cluster{number}": read(each["receipt"], each["signature"], each["key"], uid=UID, record=world.evidence.record)
        for number, each in answers.items()
    }
    assert world.evidence.entry
    stored = Stored(
        record=record,
        entry=world.evidence.entry,
        hub_key=world.evidence.key,
        receipts=receipts,
        closing=closing,
        rows=history(),
        missing_rows="",
        certificates={"aggregator": world.credentials.certificate, "collaborators": world.credentials.trust},
    )
    return parsed(json.dumps(made(stored), indent=1)), {f"cluster{number}": site for number, site in sites.items()}
