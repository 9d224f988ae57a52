"""What is exchanged between a hub and a site at the end of a run: the entry by which the hub has sealed its record, and the site's receipt.

The hub sends its entry as the spec of a RunRecord. The site puts what the hub says into its own ledger, and answers with a receipt, which
it signs with the ledger's key. A site whose owner discloses nothing says only that the record is in its ledger.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from panal.evidence.canonical import canonical, digest
from panal.evidence.ledger import hash_of
from panal.evidence.sealed import fingerprint, holds, read_key

RECORD, RECEIPT, CLOSING = "record", "receipt", "countersigning"  # the kinds of sealed documents
ENTRY = ("kind", "namespace", "name", "uid", "record", "time", "number", "previous")  # the fields of an entry that its hash covers
LONGEST = 4000  # characters of a receipt
MOST_REQUESTS = 20  # in a receipt


class WrongReceiptError(ValueError):
    """The message says what is wrong with the answer of a site."""


class StoredReceipt(NamedTuple):
    """What identifies a receipt that the hub has stored."""

    hash: str
    fingerprint: str


@dataclass(frozen=True, slots=True)
class Signed:
    """A receipt as the site has sent it, and what it says. `key`: PEM."""

    text: str
    signature: str
    key: str
    content: Mapping[str, Any]

    @property
    def hash(self) -> str:
        return digest(self.content)

    @property
    def fingerprint(self) -> str:
        return fingerprint(read_key(self.key))


def entry_holds(entry: Mapping[str, Any], key: Ed25519PublicKey) -> bool:
    """Whether an entry of a hub's ledger, as it is in a RunRecord, is one that was signed with this key."""
    content = {name: entry.get(name) for name in ENTRY}
    return entry.get("hash") == hash_of(content) and holds(str(entry["hash"]), entry.get("signature"), key)


def read(text: str, signature: str, key: str, *, uid: str, record: str) -> Signed:
    """The receipt about the `record` of a run. Raises WrongReceiptError."""
    if len(text) > LONGEST:
        raise WrongReceiptError(f"it is longer than {LONGEST} characters")
    try:
        content = json.loads(text)
        if not isinstance(content, dict) or canonical(content) != text.encode():
            raise WrongReceiptError("it is no receipt in canonical JSON")
        public = read_key(key)
    except WrongReceiptError:
        raise
    except (ValueError, RecursionError) as error:
        raise WrongReceiptError("it is no receipt with an Ed25519 key") from error
    if (content.get("kind"), content.get("uid"), content.get("record")) != (RECEIPT, uid, record):
        raise WrongReceiptError("it is about another run or record")
    if not holds(digest(content), signature, public):
        raise WrongReceiptError("its signature does not hold")
    return Signed(text, signature, key, content)
