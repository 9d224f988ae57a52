"""The ledger of a site, which the program in the site controller's Pod prints, and files of evidence beside it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterable, Mapping
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from panal.api import names
from panal.client.evidence import of_file
from panal.client.problem import Code, Problem
from panal.evidence.canonical import canonical
from panal.evidence.ledger import BrokenLedgerError, checked
from panal.evidence.sealed import Finding, differences, fingerprint, given_key, marks, read_key
from panal.kube import kinds
from panal.kube.client import Client, Selector
from panal.kube.execution import ProgramFailed
from panal.site.known import KnownRuns

UNKNOWN, BROKEN = 2, 1  # how the program ends that does not know an option, or whose ledger is broken
INSTALL = "Install the site controller with the credentials of the site's owner: kubectl apply --server-side -f deploy/site.yaml."


async def entries(client: Client, *options: str) -> AsyncIterator[dict[str, Any]]:
    """The entries that the site controller prints. Raises Problem if it does not run, or the ledger is broken."""
    pods = (
        await client.list(kinds.POD, Selector(namespace=names.SITE_CONTROLLER, labels=f"app.kubernetes.io/name={names.SITE_CONTROLLER}"))
    ).items
    running = next((each for each in pods if (each.get("status") or {}).get("phase") == "Running"), None)
    if running is None:
        look = f"kubectl -n {names.SITE_CONTROLLER} get pods"
        raise Problem(Code.NOT_FOUND, "the site controller does not run, and the ledger is in its volume", f"Look at {look}. {INSTALL}")
    command = ["python3", "-m", "panal.site_controller.ledger", *options]
    rest = b""
    try:
        async for piece in client.execute(names.SITE_CONTROLLER, running["metadata"]["name"], "controller", command):
            *lines, rest = (rest + piece).split(b"\n")
            for line in lines:
                yield json.loads(line)
    except ProgramFailed as error:
        raise _problem(error) from error


def _problem(error: ProgramFailed) -> Problem:
    """By the code with which `panal.site_controller.ledger` ends."""
    if error.code == UNKNOWN:
        other = (
            "" if str(error).startswith("--since") else "The site controller has another version than this command: upgrade one of them."
        )
        return Problem(Code.USAGE, str(error), other)
    if error.code == BROKEN:
        remedy = "Keep the files as they are, and find out who could write to the volume of the site controller."
        return Problem(Code.UNHEALTHY, str(error), remedy)
    return Problem(Code.UNHEALTHY, f"the ledger was not read: {error}", f"See kubectl -n {names.SITE_CONTROLLER} describe pods.")


def saved(file: Path, key: Ed25519PublicKey) -> list[dict[str, Any]]:
    """The entries of a file of `panal site log -o json`, which has the whole ledger and is checked. Raises Problem."""
    try:
        found = json.loads(file.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise Problem(Code.USAGE, f"{file} is no file of `panal site log -o json`: {error}", "Give the file as it was written.") from error
    if not isinstance(found, list) or not found:
        raise Problem(Code.USAGE, f"{file} has no entries", "Write it with `panal site log -o json`, without --since and --run.")
    try:
        return list(checked((canonical(each) for each in found), key))
    except (BrokenLedgerError, ValueError) as error:
        remedy = "A file with --since or --run is a part of a ledger, and cannot be verified. Otherwise somebody has changed it."
        raise Problem(Code.UNHEALTHY, f"{file}: {error}", remedy) from error


def public_key(file: Path) -> Ed25519PublicKey:
    """Raises Problem."""
    try:
        return given_key(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise Problem(
            Code.USAGE, f"{file} has no key of a ledger: {error}", "Get it with `panal site verify -o json | jq -r .key`."
        ) from error


def receipts(file: Path) -> dict[str, Mapping[str, Any]]:
    """Those of a file of evidence, by cluster. Raises Problem."""
    found = of_file(file).get("receipts")
    return {cluster: each for cluster, each in (found if isinstance(found, dict) else {}).items() if isinstance(each, dict)}


def key_of(receipt: Mapping[str, Any]) -> str:
    """The fingerprint of a receipt's key; empty if it has none."""
    try:
        return fingerprint(read_key(receipt.get("key")))
    except ValueError:
        return ""


def misfits(receipt: Mapping[str, Any], found: Iterable[dict[str, Any]]) -> list[Finding]:
    """What of a receipt the ledger does not say. `found`: all entries of the ledger."""
    said = receipt.get("content")
    said = said if isinstance(said, dict) else {}
    record, runs = str(said.get("record")), KnownRuns()
    for entry in found:
        runs.add(entry)
        if entry.get("kind") == "record" and entry.get("record") == record and entry.get("uid") == said.get("uid"):
            wanted = runs.by_uid[entry["uid"]].receipt(record, disclosed="run" in said)
            return list(differences(said, marks(wanted), "/content"))
    return [Finding("/content/record", "is not in the ledger, for this run")]
