"""`panal evidence`: writes the evidence of a run into one file, and examines such a file, without hub or site."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from panal.cli import output
from panal.cli.run import done
from panal.client import evidence
from panal.client.access import Access
from panal.client.finding import find
from panal.client.problem import Code, Problem
from panal.evidence.file import made
from panal.evidence.sealed import Finding
from panal.evidence.verify import Examined, examined
from panal.kube.objects import condition

SHOWN = 50  # findings
TRUST = "no key was given: trust those in the file only after you have compared them"


def write(access: Access, name: str, namespace: str | None, target: Path | None) -> Code:
    async def work() -> Code:
        async with access.open() as client:
            run = await find(client, name, namespace)
            with output.steps(f"reading the evidence of {name}") as say:
                stored = await evidence.read(access, client, run, say)
        to = target or Path(f"{name}-evidence.json")
        file = made(stored)
        to.write_text(json.dumps(file, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        found = examined(file)
        output.line(f"{to}: record, {_counted(len(stored.receipts), 'receipt')}, {_counted(found.rows, 'row')} of the history")
        countersigned = condition(run, "Countersigned")
        if countersigned.get("status", "True") != "True":
            output.warn(str(countersigned.get("message")))
        for each in (*found.findings, *found.not_shown):
            output.warn(f"{each.pointer}: {each.what}")
        return Code.OK

    return done(work(), access)


def verify(file: Path, hub_key: Path | None, site_keys: Sequence[str], as_json: bool) -> Code:
    """Needs no hub. Raises Problem for a file that is none, and for keys that are none."""
    content, given = evidence.of_file(file), _pinned(site_keys)
    try:
        found = examined(content, _read(hub_key) if hub_key else "", {cluster: _read(path) for cluster, path in given.items()})
    except ValueError as error:
        raise Problem(Code.USAGE, f"a key that was given cannot be used: {error}", "Give an Ed25519 public key as PEM.") from error
    if as_json:
        output.as_json(_described(found))
    else:
        _print(found)
    return Code.OK if found.whole else Code.UNHEALTHY


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise Problem(Code.USAGE, f"{path} cannot be read: {error}", "Give a file with a public key as PEM.") from error


def _pinned(said: Sequence[str]) -> dict[str, Path]:
    found = {}
    for each in said:
        cluster, equals, path = each.partition("=")
        if not (cluster and equals and path):
            raise Problem(Code.USAGE, f"--site-key {each}: it is not CLUSTER=FILE", "An example is --site-key hospital-a=hospital-a.pem.")
        found[cluster] = Path(path)
    return found


def _described(found: Examined) -> dict[str, Any]:
    def listed(findings: Sequence[Finding]) -> list[dict[str, str]]:
        return [{"pointer": each.pointer, "what": each.what} for each in findings]

    return {
        "whole": found.whole,
        "run": found.run,
        "findings": listed(found.findings),
        "notShown": listed(found.not_shown),
        "receipts": found.receipts,
        "rows": found.rows,
        "keys": {
            "hub": {"fingerprint": found.keys.get("", ""), "given": "" in found.given},
            "sites": {
                cluster: {"fingerprint": key, "given": cluster in found.given} for cluster, key in sorted(found.keys.items()) if cluster
            },
        },
    }


def _counted(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _print(found: Examined) -> None:
    if found.whole:
        parts = f"{_counted(found.receipts, 'receipt')} and {_counted(found.rows, 'row')} of the history"
        output.line(f"{found.run}: as it was sealed; {parts} hold")
    else:
        what = "it is not as it was sealed" if found.findings else "no change can be seen, but it does not show everything"
        output.line(f"{found.run}: {what}")
    rows = [(each.pointer or "/", each.what) for each in (*found.findings, *found.not_shown)]
    if rows:
        output.line("")
        output.columns(("WHERE", "WHAT"), rows[:SHOWN])
        if len(rows) > SHOWN:
            output.line(f"and {len(rows) - SHOWN} more: -o json shows all")
    output.line("")
    keys = [
        (cluster or "the hub", key, "given" if cluster in found.given else "in the file") for cluster, key in sorted(found.keys.items())
    ]
    output.columns(("KEY OF", "SHA-256", "FROM"), keys)
    if found.keys.keys() - found.given:
        output.note(TRUST if not found.given else "not every key was given: trust the others only after you have compared them")
