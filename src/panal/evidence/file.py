"""The file of `panal evidence`, as it is made from what the hub has stored. `verify` examines it.

| member | has |
|---|---|
| `version` | of this form |
| `record` | `content`: what the hub recorded when the run had ended; `marks` |
| `entry` | `content`: the record's entry in the hub's ledger, with the record's SHA-256; `marks`, `hash`, `signature` |
| `hubKey` | the hub's public key |
| `history` | `rows`: those of history.jsonl; or `missing`: why they are not here |
| `certificates` | `aggregator`, `collaborators`: PEM, those in the record |
| `receipts` | by cluster `content`: the site's receipt; `marks`, `hash`, `signature`, `key` |
| `countersigning` | `content`: what the hub has sealed about the receipts; `marks`, `hash`, `signature`. Absent while it waits for some, |
|   | and for a run without sites that have a policy |

Nothing else is in it. Each value is covered by a digest that is signed, or follows from such a value, but for `version`,
`history.missing`, and the `key` of a receipt before there is `countersigning`. A change is detected by that; the
`marks` only say where it is (`panal.evidence.sealed`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding

from panal.evidence.canonical import digest
from panal.evidence.ledger import SEALED
from panal.evidence.receipt import Signed
from panal.evidence.sealed import marks

VERSION = 1


class NoEvidenceError(ValueError):
    """The file cannot be examined. The message says why."""


@dataclass(slots=True)
class Stored:
    """What the hub has of a run's evidence. `closing`: content and signature, or None. `missing_rows`: why there are no rows."""

    record: Mapping[str, Any]
    entry: Mapping[str, Any]
    hub_key: str
    receipts: Mapping[str, Signed]
    closing: Mapping[str, Any] | None
    rows: Sequence[Mapping[str, Any]] | None
    missing_rows: str
    certificates: Mapping[str, str]


def made(stored: Stored) -> dict[str, Any]:
    entry = {name: value for name, value in stored.entry.items() if name not in SEALED}
    found: dict[str, Any] = {
        "version": VERSION,
        "record": {"content": stored.record, "marks": marks(stored.record)},
        "entry": {"content": entry, "marks": marks(entry), **{name: stored.entry[name] for name in SEALED}},
        "hubKey": stored.hub_key,
        "history": {"missing": stored.missing_rows} if stored.rows is None else {"rows": list(stored.rows)},
        "certificates": {name: written(pem) for name, pem in stored.certificates.items() if certificates(pem)},
        "receipts": {
            cluster: {
                "content": each.content,
                "marks": marks(each.content),
                "hash": each.hash,
                "signature": each.signature,
                "key": each.key,
            }
            for cluster, each in sorted(stored.receipts.items())
        },
    }
    if stored.closing:
        content = stored.closing["content"]
        seal = {"hash": digest(content), "signature": stored.closing["signature"]}
        found["countersigning"] = {"content": content, "marks": marks(content), **seal}
    return found


# --- certificates -------------------------------------------------------------------------------------------------------
def certificates(pem: object) -> list[x509.Certificate]:
    """None for what is no PEM."""
    try:
        return x509.load_pem_x509_certificates(str(pem).encode())
    except ValueError:
        return []


def written(pem: str) -> str:
    """Certificates in the one form that they have in a file."""
    return "".join(each.public_bytes(Encoding.PEM).decode() for each in certificates(pem))


def sha256_of(pem: object) -> list[str]:
    """The SHA-256 of each certificate, sorted. None for what is not in that form."""
    return sorted(each.fingerprint(hashes.SHA256()).hex() for each in certificates(pem)) if written(str(pem)) == pem else []


# --- read ---------------------------------------------------------------------------------------------------------------
def parsed(text: bytes | str) -> dict[str, Any]:
    """Raises NoEvidenceError for what is not JSON with one value for each name."""

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            name = next(name for number, (name, _) in enumerate(pairs) if name in dict(pairs[:number]))
            raise NoEvidenceError(f"the name {name[:100]!r} is there twice in one object")
        return found

    try:
        found = json.loads(text, object_pairs_hook=once)
    except NoEvidenceError:
        raise
    except (ValueError, RecursionError) as error:
        raise NoEvidenceError("it is not JSON") from error
    if not isinstance(found, dict):
        raise NoEvidenceError("it is no JSON object")
    return found
