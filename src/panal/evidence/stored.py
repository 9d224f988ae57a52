"""What the hub signs of what it stores beside a run. Whoever may write ConfigMaps in the run's namespace can make them as well, and the hub
takes nothing there for its own without its signature."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

from panal.evidence.canonical import digest
from panal.evidence.ledger import hash_of
from panal.evidence.maps import KEY_ASKED, KEY_DIGEST, KEY_PARTS, KEY_RECORDED, KEY_SIGNATURE
from panal.evidence.receipt import CLOSING, RECORD
from panal.evidence.sealed import holds, read_key

STORED, STORED_RECEIPT = "stored record", "stored receipt"  # kinds of their own, so that the signatures are good for nothing else
SIGNATURE = 88  # characters


def about_record(uid: str, data: Mapping[str, str]) -> dict[str, Any]:
    """What is signed of the ConfigMap with a run's record. `data`: its data."""
    fields = {name: data.get(name, "") for name in (KEY_DIGEST, KEY_RECORDED, KEY_ASKED, KEY_PARTS)}
    return {"kind": STORED, "version": 1, "uid": uid, **fields}


def is_own(uid: str, data: Mapping[str, str], keys: Iterable[str]) -> bool:
    """Whether the hub has made the ConfigMap with a run's record. `keys`: the public keys that the hub has or had, PEM."""
    return signed_by(keys, digest(about_record(uid, data)), data.get(KEY_SIGNATURE, ""))


def about_receipt(uid: str, record: str, cluster: str, hash_: str, key: str) -> dict[str, Any]:
    """What is signed of a stored receipt: it was in the answer of that cluster. `key`: its fingerprint."""
    about = {"uid": uid, "record": record, "cluster": cluster, "hash": hash_, "key": key}
    return {"kind": STORED_RECEIPT, "version": 1, **about}


def is_own_entry(entry: Mapping[str, Any], uid: str, keys: Iterable[str]) -> bool:
    """Whether it is the entry of a record of the run in the hub's ledger."""
    try:
        whole = (entry.get("kind"), entry.get("uid")) == (RECORD, uid) and entry.get("hash") == hash_of(entry)
    except (ValueError, RecursionError):
        return False
    return whole and signed_by(keys, entry["hash"], str(entry.get("signature")))


def is_own_closing(about: Mapping[str, Any], uid: str, record: str, keys: Iterable[str]) -> bool:
    """Whether the hub has sealed what there is about the receipts of the record. `about`: of `about_closing`."""
    said = tuple(about.get(name) for name in ("kind", "uid", "record"))
    return said == (CLOSING, uid, record) and signed_by(keys, str(about.get("hash")), str(about.get("signature")))


def about_closing(stored: Mapping[str, Any]) -> dict[str, Any]:
    """What is needed to know whether it is the hub's, without the content itself. `stored`: content and signature. Empty if it is none."""
    content = stored.get("content")
    try:
        hash_ = digest(content) if isinstance(content, Mapping) else ""
    except (ValueError, RecursionError):
        hash_ = ""
    if not isinstance(content, Mapping) or not hash_:
        return {}
    return {**{name: content.get(name) for name in ("kind", "uid", "record")}, "hash": hash_, "signature": stored.get("signature")}


def signed_by(keys: Iterable[str], hash_: str, signature: str) -> bool:
    return len(signature) == SIGNATURE and any(_holds(hash_, signature, each) for each in keys)


@lru_cache(maxsize=8192)
def _holds(hash_: str, signature: str, key: str) -> bool:
    try:
        return holds(hash_, signature, read_key(key))
    except ValueError:
        return False
