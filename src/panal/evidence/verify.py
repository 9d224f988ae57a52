"""Whether a file of `panal evidence` is as hub and sites have sealed it, and if not, where it differs. Needs nothing but the file.

A sealed document is what was signed if the signature holds for the hash of its content. If it holds for the hash that the file says
instead, the content was changed, and the marks say where. If for neither, the signature or the key was changed: which, is known from where
the key is named in another sealed document.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from panal.evidence import rows
from panal.evidence.canonical import digest, step
from panal.evidence.file import VERSION, sha256_of
from panal.evidence.receipt import CLOSING, RECEIPT, RECORD
from panal.evidence.sealed import (
    ADDED,
    CHANGED,
    DROPPED,
    Finding,
    differences,
    fingerprint,
    given_key,
    hash_problem,
    holds,
    read_key,
    wrong_marks,
)

MEMBERS = ("version", "record", "entry", "hubKey", "history", "certificates", "receipts")
SEAL = ("content", "marks", "hash", "signature")
CHAINS = ("aggregator", "collaborators")
RUN = ("namespace", "name", "uid")
WITH_ITS_MARKS = f"{CHANGED}, and its marks with it"
Object = Mapping[str, Any]


@dataclass(slots=True)
class Examined:
    """`findings`: what is not as it was sealed. `not_shown`: what the file does not show, though nothing proves that it was changed.
    `keys`: the fingerprints of the keys in the file, by cluster, "" for the hub. `given`: those of them for which a key was given.
    `receipts` and `rows`: how many hold."""

    findings: list[Finding] = field(default_factory=list)
    not_shown: list[Finding] = field(default_factory=list)
    keys: dict[str, str] = field(default_factory=dict)
    given: set[str] = field(default_factory=set)
    run: str = ""
    receipts: int = 0
    rows: int = 0

    @property
    def whole(self) -> bool:
        return not self.findings and not self.not_shown

    def part(self, record: Object, name: str) -> Object | None:
        """A part of the record; None if nothing can be concluded from it, since it was changed."""
        at = ("/record", "/record/content", f"/record/content/{name}")
        changed = any(each.pointer in at or each.pointer.startswith(f"{at[-1]}/") for each in self.findings)
        return None if changed else _object(record.get(name))

    def key(self, part: Object, name: str, at: str, whose: str, given: str, known: object = None) -> Ed25519PublicKey | None:
        """The key that a part must be signed with: the given one, else that of the file, if it is the `known` one (a fingerprint). `at`:
        the pointer of the part. Raises ValueError if the given one is none."""
        wanted, pointer = given_key(given) if given else None, step(at, name)
        if name not in part:
            return wanted
        try:
            found = read_key(part[name])
        except ValueError as error:
            self.findings.append(Finding(pointer, str(error)))
            return wanted
        self.keys[whose] = fingerprint(found)
        if wanted is not None:
            self.given.add(whose)
            self.findings += [Finding(pointer, "is not the key that was given")] if fingerprint(wanted) != fingerprint(found) else []
            return wanted
        if known is not None and known != fingerprint(found):
            self.findings.append(Finding(pointer, "is not the key that is named in what was sealed"))
            return None
        return found


def examined(file: Object, hub_key: str = "", site_keys: Mapping[str, str] | None = None) -> Examined:
    """`hub_key` and `site_keys`, by cluster: public keys (PEM) that are known from elsewhere. Raises ValueError for what is no key."""
    found = Examined()
    found.findings += _members(file, "", MEMBERS, ("countersigning",))
    if "version" in file and (file["version"] != VERSION or isinstance(file["version"], bool)):
        found.findings.append(Finding("/version", f"is {json.dumps(file['version'])[:40]}; this panal knows {VERSION}"))
    hub = _Hub.of(file, found, hub_key)
    record = hub.record
    found.run = "/".join(str(_object(record.get("run")).get(name, "?")) for name in ("namespace", "name"))
    _history(file, found.part(record, "history"), found)
    if "certificates" in file:
        found.findings += _certificates(file["certificates"], found.part(record, "certificates"))
    if "receipts" in file:
        _receipts(file, hub, found.part(record, "participants"), found, site_keys or {})
    return found


# --- helpers --------------------------------------------------------------------------------------------------------------
def _object(value: object) -> Object:
    return value if isinstance(value, Mapping) else {}


def _hash(content: object) -> str:
    """Empty for what has none."""
    return digest(content) if isinstance(content, Mapping) and not hash_problem(content) else ""


def _members(content: object, pointer: str, wanted: Sequence[str], optional: Sequence[str] = ()) -> Iterator[Finding]:
    if not isinstance(content, Mapping):
        yield Finding(pointer, CHANGED)
        return
    yield from (Finding(step(pointer, name), DROPPED) for name in wanted if name not in content)
    yield from (Finding(step(pointer, name), ADDED) for name in content if name not in (*wanted, *optional))


def _changed(content: object, marks: object, pointer: str) -> list[Finding]:
    """Where the content of a sealed document was changed."""
    return list(differences(_object(content), marks, f"{pointer}/content")) or [Finding(f"{pointer}/content", WITH_ITS_MARKS)]


def _sealed(document: Object, pointer: str, signed: Callable[[str], bool], authentic: Callable[[str], bool]) -> tuple[bool, list[Finding]]:
    """Whether the content is what was sealed, and what is wrong. `signed`: whether the signature holds for a hash. `authentic`: whether a
    hash is known to be that of the sealed content, by the signature or otherwise."""
    content, marks, said = document.get("content"), document.get("marks"), document.get("hash")
    own = _hash(content)
    there = "signature" in document
    if own and authentic(own):
        found = list(wrong_marks(_object(content), marks, f"{pointer}/marks")) if "marks" in document else []
        found += [Finding(f"{pointer}/hash", CHANGED)] if "hash" in document and said != own else []
        found += [Finding(f"{pointer}/signature", "does not hold")] if there and not signed(own) else []
        return True, found
    if own and own == said:  # nothing authenticates it, though it is consistent
        return False, [Finding(f"{pointer}/signature", "does not hold")] if there else []
    return False, _changed(content, marks, pointer) if "content" in document else []


def _by(key: Ed25519PublicKey | None, signature: object) -> Callable[[str], bool]:
    """Without a key nothing is said about signatures."""

    return lambda hash_: key is None or holds(hash_, signature, key)


def _form(content: Object, pointer: str, kind: str, version: int | None = 1) -> Iterator[Finding]:
    """What a sealed document is instead of what is wanted: one key signs documents of several kinds. `pointer`: that of the content."""
    for name, wanted in (("kind", kind), *((("version", version),) if version else ())):
        said = content.get(name)
        if said != wanted or isinstance(said, bool):
            yield Finding(step(pointer, name), f"is {json.dumps(said)[:40]} instead of {json.dumps(wanted)}")


# --- the hub's record and its entry ---------------------------------------------------------------------------------------
@dataclass(slots=True)
class _Hub:
    """`record`: the content of the record, as the file has it. `sealed`: what the entry says of it, empty if the entry does not hold.
    `key`: of the hub; None if it is not known which one is right."""

    record: Object
    sealed: Object
    key: Ed25519PublicKey | None

    @classmethod
    def of(cls, file: Object, found: Examined, given: str) -> _Hub:
        entry, record = _object(file.get("entry")), _object(file.get("record"))
        for name, wanted in (("entry", SEAL), ("record", SEAL[:2])):
            found.findings += _members(file[name], f"/{name}", wanted) if name in file else []
        content, said = record.get("content"), _object(entry.get("content")).get("record")
        own = _hash(content)
        fits = bool(own) and own == said
        named = _object(_object(content).get("hub")).get("key") if fits else None
        key = found.key(file, "hubKey", "", "", given, named)
        true = False
        if entry:
            signed = _by(key, entry.get("signature"))
            true, wrong = _sealed(entry, "/entry", signed, signed if key else lambda hash_: hash_ == entry.get("hash"))
            found.findings += wrong
        about = _object(entry.get("content"))
        if true:
            other = list(_form(about, "/entry/content", RECORD, None))
            found.findings += other
            true = not other
        if fits:
            run = _object(_object(content).get("run"))
            found.findings += _form(_object(content), "/record/content", RECORD)
            found.findings += [
                Finding(f"/entry/content/{name}", "is of another run") for name in RUN if true and about.get(name) != run.get(name)
            ]
            found.findings += wrong_marks(_object(content), record.get("marks"), "/record/marks") if "marks" in record else []
        elif "content" in record and true:
            found.findings += _changed(content, record.get("marks"), "/record")
        return cls(_object(content), about if true else {}, key)


# --- the history ------------------------------------------------------------------------------------------------------------
def _history(file: Object, head: Object | None, found: Examined) -> None:
    if "history" not in file:
        return
    history = file["history"]
    if isinstance(history, Mapping) and "rows" not in history:
        found.findings += _members(history, "/history", (), ("missing",))
        why = str(history.get("missing") or "nothing says why")
        found.not_shown.append(Finding("/history/rows", f"are not in the file: {why[:300]}"))
        return
    found.findings += _members(history, "/history", ("rows",))
    content = _object(history).get("rows")
    if not isinstance(content, list):
        found.findings += [Finding("/history/rows", CHANGED)] if isinstance(history, Mapping) else []
        return
    if head is None:
        return
    count, first, last = (head.get(name) for name in ("rows", "first", "hash"))
    if not (isinstance(count, int) and isinstance(first, str) and isinstance(last, str)):
        found.not_shown += [Finding("/history/rows", "are not chained: the run's reporter did not do that")] if content else []
        return
    wrong = list(rows.examined(content, count, first, last, "/history/rows"))
    found.findings += wrong
    found.rows = len(content) if not wrong else 0


# --- certificates -----------------------------------------------------------------------------------------------------------
def _certificates(said: object, wanted: Object | None) -> Iterator[Finding]:
    if wanted is None:
        return
    expected = [name for name in CHAINS if _object(wanted.get(name))]
    yield from _members(said, "/certificates", expected)
    for name in expected:
        if name in _object(said) and sha256_of(_object(said)[name]) != sorted(wanted[name]):
            yield Finding(step("/certificates", name), CHANGED)


# --- the receipts of the sites ------------------------------------------------------------------------------------------------
def _receipts(file: Object, hub: _Hub, participants: Object | None, found: Examined, given: Mapping[str, str]) -> None:
    asked = None if participants is None else [cluster for cluster, each in participants.items() if _object(each).get("sitePolicy")]
    closing = _closing(file, hub, found, asked)
    listed = _object(closing.get("receipts"))
    receipts = file["receipts"]
    if not isinstance(receipts, Mapping):
        found.findings.append(Finding("/receipts", CHANGED))
        return
    for cluster in sorted({*receipts, *listed, *given}):
        at = step("/receipts", cluster)
        if cluster not in receipts:
            found.findings.append(Finding(at, DROPPED))
        elif (asked is not None and cluster not in asked) or (closing and cluster not in listed):
            found.findings.append(Finding(at, ADDED))
        else:
            _receipt(receipts[cluster], at, cluster, hub, _object(listed.get(cluster)), found, given.get(cluster, ""))
    for cluster, why in _object(closing.get("missing")).items():
        found.not_shown.append(Finding(step("/receipts", cluster), f"there is none: {str(why)[:300]}"))


def _closing(file: Object, hub: _Hub, found: Examined, asked: Sequence[str] | None) -> Object:
    """The content of what the hub has sealed about the receipts; empty if there is none. `asked`: None if that is not known."""
    at = "/countersigning"
    if "countersigning" not in file:
        if asked:
            named = ", ".join(sorted(asked)[:5]) + (" and others" if len(asked) > 5 else "")
            found.not_shown.append(Finding(at, f"{DROPPED}: the hub still waited for {named}, or it was removed"))
        return {}
    if asked == []:
        found.findings.append(Finding(at, ADDED))
        return {}
    found.findings += _members(file["countersigning"], at, SEAL)
    closing = _object(file["countersigning"])
    signed = _by(hub.key, closing.get("signature"))
    true, wrong = _sealed(closing, at, signed, signed if hub.key else lambda hash_: hash_ == closing.get("hash"))
    found.findings += wrong
    content = _object(closing.get("content"))
    if not true:
        return {}
    other = list(_form(content, f"{at}/content", CLOSING))
    found.findings += other
    if other:
        return {}
    if hub.sealed and any(content.get(name) != hub.sealed.get(name) for name in ("uid", "record")):
        found.findings.append(Finding(at, "is about another run or record"))
    if asked is not None:
        found.findings += _all_asked(content, f"{at}/content", asked)
    return content


def _all_asked(closing: Object, pointer: str, asked: Sequence[str]) -> Iterator[Finding]:
    """Whether each cluster that was asked is either in `receipts` or in `missing`, and no other one."""
    receipts, missing = (_object(closing.get(name)) for name in ("receipts", "missing"))
    yield from (Finding(step(f"{pointer}/missing", each), DROPPED) for each in asked if each not in receipts and each not in missing)
    yield from (Finding(step(f"{pointer}/receipts", each), ADDED) for each in sorted(receipts.keys() - set(asked)))
    yield from (Finding(step(f"{pointer}/missing", each), ADDED) for each in sorted(missing.keys() - (set(asked) - receipts.keys())))


def _receipt(document: object, at: str, cluster: str, hub: _Hub, listed: Object, found: Examined, given: str) -> None:
    """`listed`: what the hub has sealed about it."""
    found.findings += _members(document, at, (*SEAL, "key"))
    receipt = _object(document)
    key = found.key(receipt, "key", at, cluster, given, listed.get("key"))
    signed = _by(key, receipt.get("signature"))
    known = listed.get("hash")
    own, said = _hash(receipt.get("content")), receipt.get("hash")
    true, wrong = _sealed(receipt, at, signed, lambda hash_: hash_ == known or (signed(hash_) if key else hash_ == said))
    found.findings += wrong
    if not true:
        return
    if known and own != known:
        found.findings.append(Finding(at, "is another receipt than the hub has sealed"))
    content = _object(receipt.get("content"))
    other = list(_form(content, f"{at}/content", RECEIPT))
    found.findings += other
    if other:
        return
    if hub.sealed and any(content.get(name) != hub.sealed.get(name) for name in ("uid", "record")):
        found.findings.append(Finding(at, "is about another run or record"))
    elif not wrong:
        found.receipts += 1
