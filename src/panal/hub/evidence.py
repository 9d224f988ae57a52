"""What the watch cache keeps of the ConfigMaps with a run's evidence, without the records themselves, and what decisions read of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from importlib.metadata import distributions
from typing import Any

from panal.api import names
from panal.api.names import ClusterName
from panal.evidence.canonical import digest
from panal.evidence.maps import (
    COMPONENT,
    KEY_ASKED,
    KEY_CLOSING,
    KEY_DIGEST,
    KEY_ENTRY,
    KEY_RECORD,
    KEY_RECORDED,
    RECEIPTS,
    STORED_BY,
)
from panal.evidence.receipt import StoredReceipt
from panal.evidence.sealed import fingerprint, read_key
from panal.evidence.stored import SIGNATURE, about_closing, about_receipt, is_own, is_own_closing, is_own_entry, signed_by
from panal.gateway.traffic import of_text
from panal.kube.objects import Object, labels_of
from panal.lifecycle.world import Evidence

MAPS: tuple[Callable[[str], str], ...] = (names.evidence, names.sealed, names.gateway, names.progress)


def software() -> dict[str, str]:
    """The versions of the distributions in the controller's image, by name."""
    found = {each.metadata["Name"]: each.version for each in distributions() if each.metadata["Name"]}
    return dict(sorted(found.items()))


def trimmed(config_map: Object) -> Object:
    """The object, or for what is not its run's evidence the same."""
    component, data = labels_of(config_map).get(names.LABEL_COMPONENT), config_map.get("data") or {}
    if component == COMPONENT:
        data.pop(KEY_RECORD, None)
        if KEY_CLOSING in data:
            data[KEY_CLOSING] = json.dumps(_closing(data[KEY_CLOSING]))
    elif component == RECEIPTS:
        config_map["data"] = {cluster: _receipt(text) for cluster, text in data.items()}
    return config_map


def _closing(text: str) -> dict[str, Any]:
    stored = parsed(text)
    content = stored.get("content")
    content = content if isinstance(content, dict) else {}
    receipts, missing = content.get("receipts"), content.get("missing")
    return {
        **about_closing(stored),
        "receipts": dict.fromkeys(receipts, "") if isinstance(receipts, dict) else {},
        "missing": {str(name): str(why) for name, why in missing.items()} if isinstance(missing, dict) else {},
    }


def _receipt(text: str) -> str:
    """Of a stored receipt its hash, the fingerprint of its key, and the hub's signature; empty if it is none."""
    said = parsed(text)
    try:
        found = json.loads(said["receipt"])
        signature = str(said.get(STORED_BY, ""))[:SIGNATURE]
        return f"{digest(found)} {fingerprint(read_key(said['key']))} {signature}" if isinstance(found, dict) else ""
    except (KeyError, TypeError, ValueError, RecursionError):
        return ""


def _stored(maps: Iterable[Object], uid: str, record: str, keys: Sequence[str]) -> Iterator[tuple[ClusterName, StoredReceipt]]:
    """The receipts that the hub has stored itself."""
    for cluster, text in ((cluster, text) for each in maps for cluster, text in _data(each).items()):
        hash_, _, rest = text.partition(" ")
        key, _, signature = rest.partition(" ")
        if hash_ and signed_by(keys, digest(about_receipt(uid, record, cluster, hash_, key)), signature):
            yield ClusterName(cluster), StoredReceipt(hash_, key)


def parsed(text: str) -> dict[str, Any]:
    """Empty for what is no JSON object."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def view(
    keys: Sequence[str], uid: str, maps: Mapping[Callable[[str], str], Object | None], receipts: Iterable[Object], *, blocked: str = ""
) -> Evidence:
    """Of a run that has ended, from its ConfigMaps as the cache has them, by what names them. `keys`: the hub's public keys, the present
    one first. `blocked`: the ConfigMap that somebody else has made, also if the cache does not have it."""
    about, seal, gateway, progress = (_data(maps[name]) for name in MAPS)
    if labels_of(maps[names.sealed] or {"metadata": {}}).get(names.LABEL_COMPONENT) != COMPONENT:
        seal = {}  # `trimmed` has left it as its author wrote it
    record = maps[names.evidence]
    if record and not is_own(uid, about, keys):
        about, blocked = {}, record["metadata"]["name"]
    entry = parsed(seal.get(KEY_ENTRY, ""))
    hash_ = about.get(KEY_DIGEST, "")
    closing = parsed(seal.get(KEY_CLOSING, ""))
    entered = entry.get("record") == hash_ and is_own_entry(entry, uid, keys)
    closed = is_own_closing(closing, uid, hash_, keys)
    return Evidence(
        key=keys[0],
        record=hash_,
        blocked="" if entered else blocked,
        recorded=_time(about.get(KEY_RECORDED, "")),
        asked=tuple(ClusterName(each) for each in texts(about.get(KEY_ASKED, ""))),
        entry=entry if entered else None,
        receipts={} if closed else dict(_stored(receipts, uid, hash_, keys)),
        closing=closing if closed else None,
        admitted=tuple(ClusterName(each) for each in texts(gateway.get(names.KEY_PARTICIPANTS, ""))),
        traffic=of_text(progress.get(names.KEY_TRAFFIC, "")),
    )


def _data(config_map: Object | None) -> dict[str, str]:
    return (config_map or {}).get("data") or {}


def texts(text: str) -> list[str]:
    """Those in a JSON list; none for what is no list."""
    try:
        found = json.loads(text) if text else []
    except ValueError:
        return []
    return [each for each in found if isinstance(each, str)] if isinstance(found, list) else []


def _time(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text) if text else None
    except ValueError:
        return None
