"""The evidence of a run: read from the hub, and the rows of its history from its storage."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from panal.api import names
from panal.api.history import FILE, HistoryError, unpacked
from panal.client import download
from panal.client.access import Access
from panal.client.problem import Code, Problem
from panal.evidence.file import NoEvidenceError, Stored, parsed
from panal.evidence.maps import (
    COMPONENT,
    KEY_CLOSING,
    KEY_DIGEST,
    KEY_ENTRY,
    KEY_PARTS,
    KEY_RECORD,
    PUBLIC_KEY,
    RECEIPTS,
)
from panal.evidence.receipt import Signed, WrongReceiptError
from panal.evidence.receipt import read as read_receipt
from panal.evidence.rows import examined
from panal.kube import kinds
from panal.kube.client import Client, Selector
from panal.kube.errors import KubeError, NotFound
from panal.kube.objects import Object, owner_uids

LARGEST = 512 << 20  # bytes of a history
DAMAGED = "Somebody has changed it. The sites' ledgers have the SHA-256 of the record: `panal site log` at each of them."


def of_file(path: Path) -> Mapping[str, Any]:
    """What a file of `panal evidence` has. Raises Problem."""
    try:
        return parsed(path.read_bytes())
    except NoEvidenceError as error:
        raise Problem(Code.USAGE, f"{path} is no file of `panal evidence`: {error}", "Give the file as it was written.") from error
    except OSError as error:
        raise Problem(Code.USAGE, f"{path} cannot be read: {error}", "Check its path.") from error


async def read(access: Access, client: Client, run: Object, say: Callable[[str], None]) -> Stored:
    """Raises Problem if the hub has no record of the run."""
    maps = await _maps(client, run)
    name = run["metadata"]["name"]
    record, sealed = maps.get(names.evidence(name), {}), maps.get(names.sealed(name), {})
    if KEY_DIGEST not in record or KEY_ENTRY not in sealed:
        ended = (run.get("status") or {}).get("completionTime")
        why = "the controller has not written its record yet" if ended else "it has not ended"
        raise Problem(
            Code.NOT_FOUND, f"{name} has no record: {why}", f"`panal get {name}` shows its state, `panal doctor` the controller's."
        )
    content = _record(name, record, maps)
    head = content.get("history") or {}
    rows, missing = await _rows(access, client, run, head, say)
    closing = _json(name, sealed[KEY_CLOSING]) if KEY_CLOSING in sealed else None
    return Stored(
        record=content,
        entry=_json(name, sealed[KEY_ENTRY]),
        hub_key=sealed.get(PUBLIC_KEY, ""),
        receipts=_receipts(run, record, maps),
        closing=closing,
        rows=rows,
        missing_rows=missing,
        certificates=await _certificates(client, run),
    )


async def _maps(client: Client, run: Object) -> dict[str, dict[str, str]]:
    """The data of the run's ConfigMaps with evidence, by name."""
    metadata = run["metadata"]
    labels = f"{names.LABEL_RUN_UID}={metadata['uid']},{names.LABEL_COMPONENT} in ({COMPONENT},{RECEIPTS})"
    found = (await client.list(kinds.CONFIG_MAP, Selector(metadata["namespace"], labels))).items
    return {each["metadata"]["name"]: each.get("data") or {} for each in found if metadata["uid"] in owner_uids(each)}


def _record(name: str, stored: Mapping[str, str], maps: Mapping[str, Mapping[str, str]]) -> dict[str, Any]:
    parts = json.loads(stored[KEY_PARTS]) if KEY_PARTS in stored else []
    try:
        text = "".join(maps[each][KEY_RECORD] for each in parts) if parts else stored[KEY_RECORD]
    except KeyError as error:
        raise Problem(Code.REFUSED, f"a part of the record of {name} is missing: {error}", DAMAGED) from error
    return _json(name, text)


def _json(name: str, text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise Problem(Code.REFUSED, f"what is stored of the evidence of {name} is not JSON", DAMAGED)
    return found


def _receipts(run: Object, stored: Mapping[str, str], maps: Mapping[str, Mapping[str, str]]) -> dict[str, Signed]:
    """Those that hold. The controller has stored no others."""
    name, found = run["metadata"]["name"], {}
    for map_name, data in maps.items():
        if not map_name.startswith(names.receipts(name, 0)[:-1]):
            continue
        for cluster, text in data.items():
            said = _json(name, text)
            fields = (str(said.get(each, "")) for each in ("receipt", "signature", "key"))
            try:
                found[cluster] = read_receipt(*fields, uid=run["metadata"]["uid"], record=stored[KEY_DIGEST])
            except WrongReceiptError as error:
                raise Problem(
                    Code.REFUSED, f"the receipt of {cluster} that is stored beside {name} does not hold: {error}", DAMAGED
                ) from error
    return found


async def _certificates(client: Client, run: Object) -> dict[str, str]:
    """Of the aggregator, and of the authority of collaborators, as the run's gateway had them. None for a run that never had a gateway."""
    metadata = run["metadata"]
    try:
        found = await client.get(kinds.CONFIG_MAP, metadata["namespace"], names.gateway(metadata["name"]))
    except NotFound:
        return {}
    data = found.get("data") or {} if metadata["uid"] in owner_uids(found) else {}
    return {"aggregator": data.get(names.KEY_CERTIFICATE, ""), "collaborators": data.get(names.KEY_TRUST, "")}


# --- the history ----------------------------------------------------------------------------------------------------------
async def _rows(
    access: Access, client: Client, run: Object, head: Mapping[str, Any], say: Callable[[str], None]
) -> tuple[list[Any] | None, str]:
    """The rows; or None, and why they cannot be read. Those of a short history are all in its ConfigMap; else they are in the storage."""
    if not head.get("rows"):
        return [], ""
    if rows := await _in_config_map(client, run, head):
        return rows, ""
    try:
        async with download.opened(access, client, run, say) as opened:
            content = b""
            async for piece in opened(FILE):
                content += piece
                if len(content) > LARGEST:
                    return None, f"{FILE} is larger than {LARGEST >> 20} MiB"
    except (Problem, KubeError) as error:
        return None, str(error)
    try:
        return _parsed(content), ""
    except ValueError:
        return None, f"{FILE} in the storage is damaged: it is not JSON lines"


def _parsed(content: bytes) -> list[Any]:
    """Raises ValueError."""
    return [json.loads(line) for line in content.splitlines()[1:]]


async def _in_config_map(client: Client, run: Object, head: Mapping[str, Any]) -> list[Any]:
    """All rows, as the head says; empty if not all are there."""
    metadata = run["metadata"]
    try:
        content = unpacked(await client.get(kinds.CONFIG_MAP, metadata["namespace"], names.history(metadata["name"])))
        rows = [row for row in _parsed(content or b"") if isinstance(row, dict) and row.get("complete") is not False]
        wrong = list(examined(rows, int(head["rows"]), str(head["first"]), str(head["hash"]), ""))
    except (NotFound, HistoryError, ValueError, KeyError, TypeError):
        return []
    return rows if not wrong else []
