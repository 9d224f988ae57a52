"""A ledger, such as that of a site: one JSON object in each line, which can be checked without panal.

Each entry has the SHA-256 of the one before it (`previous`), its own (`hash`: of its canonical JSON without `hash` and `signature`), and an
Ed25519 signature of that. An entry that is changed, left out or put in breaks the chain; the last ones cannot be left out unnoticed by
whoever has seen a later hash.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from panal.evidence.canonical import canonical, digest
from panal.evidence.sealed import holds

Entry = dict[str, Any]
FIRST = "0" * 64  # the previous hash of the first entry
SEALED = ("hash", "signature")


@dataclass(frozen=True, slots=True)
class Head:
    """The end of a ledger: the number of its entries, and the hash of the last."""

    number: int = 0
    hash: str = FIRST


class BrokenLedgerError(ValueError):
    """The message names the entry and what is wrong with it."""


def sealed(content: Mapping[str, Any], head: Head, key: Ed25519PrivateKey) -> tuple[Entry, Head]:
    """The entry that follows `head`, and the new head."""
    entry: Entry = {**content, "number": head.number + 1, "previous": head.hash}
    entry["hash"] = hash_of(entry)
    entry["signature"] = base64.b64encode(key.sign(bytes.fromhex(entry["hash"]))).decode()
    return entry, Head(entry["number"], entry["hash"])


def hash_of(entry: Mapping[str, Any]) -> str:
    """What the hash of an entry must be."""
    return digest({name: value for name, value in entry.items() if name not in SEALED})


def checked(lines: Iterable[bytes | str], key: Ed25519PublicKey, head: Head = Head()) -> Iterator[Entry]:
    """The entries of a ledger that begins after `head`. Raises BrokenLedgerError at the first that does not fit."""
    for line in lines:
        number = head.number + 1
        text = line.encode() if isinstance(line, str) else line
        try:
            entry = json.loads(text)
            same = isinstance(entry, dict) and canonical(entry) == text.rstrip(b"\n")
        except (ValueError, RecursionError) as error:
            raise BrokenLedgerError(f"entry {number} is not JSON") from error
        problem = _problem(entry, number, head, key) or ("" if same else "is not written as an entry is")
        if problem:
            raise BrokenLedgerError(f"entry {number} {problem}")
        head = Head(number, entry["hash"])
        yield entry


def _problem(entry: Any, number: int, head: Head, key: Ed25519PublicKey) -> str:
    if not isinstance(entry, dict) or not all(isinstance(entry.get(name), str) for name in (*SEALED, "previous")):
        return "is no entry of a ledger"
    if entry.get("number") != number:
        return f"has the number {entry.get('number')}"
    if entry["previous"] != head.hash:
        return f"does not follow entry {head.number}"
    try:
        wanted = hash_of(entry)
    except ValueError:
        return "has a number that is not finite"
    if entry["hash"] != wanted:
        return "was changed"
    return "" if holds(wanted, entry["signature"], key) else "was not signed with this key"
