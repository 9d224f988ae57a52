"""`python -m panal.site_controller.ledger [--since 7d|TIME] [--run NAMESPACE/NAME] [--verify|--here|--runs]`, in the site controller's Pod:
prints the entries of the ledger as JSON lines. With --verify it checks all of them first, and after them prints the number and the hash of
the last one, the key, and what is spent of the privacy budgets. In place of entries, --here prints a line for each Pod that has not ended,
and --runs one for each run. It ends with 2 if it does not know an option or its value, and with 1 if the ledger is broken
or cannot be read.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from panal.evidence.canonical import canonical
from panal.evidence.ledger import BrokenLedgerError, Entry, Head, checked
from panal.evidence.sealed import fingerprint, public_pem
from panal.site.accounts import Accounts, audited
from panal.site.budgets import figures
from panal.site.report import Pods, Runs
from panal.site_controller.book import KEY, lines
from panal.site_controller.settings import LEDGER_DIR, LEDGER_VARIABLE

UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def main() -> None:
    arguments = _arguments()
    folder = Path(os.environ.get(LEDGER_VARIABLE) or LEDGER_DIR)
    try:
        since = moment(arguments.since, datetime.now(UTC)) if arguments.since else None
    except ValueError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(2)
    try:
        if arguments.here or arguments.runs:
            for each in here(folder) if arguments.here else runs(folder, since):
                _print(each)
            return
        if arguments.verify:
            last = head(folder)
        for entry in entries(folder):
            if (since is None or datetime.fromisoformat(entry["time"]) >= since) and arguments.run in ("", entry.get("run")):
                _print(entry)
        if arguments.verify:
            _print(last)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (BrokenLedgerError, ValueError, KeyError, OSError) as error:
        sys.exit(f"the ledger: {error}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="panal.site_controller.ledger", description=__doc__)
    parser.add_argument("--since", default="", help="7d, 12h, 30m, or a time such as 2026-03-01T08:00:00Z")
    parser.add_argument("--run", default="", help="NAMESPACE/NAME")
    parser.add_argument("--verify", action="store_true")
    parser.add_argument("--here", action="store_true")
    parser.add_argument("--runs", action="store_true")
    return parser.parse_args()


def moment(text: str, now: datetime) -> datetime:
    """Raises ValueError."""
    try:
        if found := re.fullmatch(r"([0-9]{1,6})([smhdw])", text):
            return now - timedelta(**{UNITS[found[2]]: int(found[1])})
        parsed = datetime.fromisoformat(text)
    except (ValueError, OverflowError) as error:
        raise ValueError(f"--since {text}: write 7d, 12h, 30m, or a time such as 2026-03-01T08:00:00Z") from error
    return parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)


def entries(folder: Path) -> Iterator[Entry]:
    for line in lines(folder):
        yield json.loads(line)


def head(folder: Path) -> Entry:
    """Of the whole ledger, which is checked with the key beside it, and from which each ε in it is reckoned again. Raises
    BrokenLedgerError, OSError or ValueError."""
    key = serialization.load_pem_public_key((folder / KEY).read_bytes())
    if not isinstance(key, Ed25519PublicKey):
        raise ValueError(f"{KEY} is no Ed25519 key")
    accounts = Accounts()
    last = _last(audited(checked(lines(folder), key), accounts))
    found = {"number": last.number, "hash": last.hash, "key": public_pem(key), "fingerprint": fingerprint(key)}
    budgets = _budgets(accounts)
    return found | ({"budgets": budgets} if budgets else {})


def here(folder: Path) -> Iterator[Entry]:
    """What is known of each Pod that has not ended; at last the generation of the policy, and what is spent of its budgets."""
    pods = Pods()
    for entry in entries(folder):
        pods.add(entry)
    yield from pods.records()
    yield {"policy": pods.accounts.policy.get("generation", 0), "budgets": _budgets(pods.accounts)}


def runs(folder: Path, since: datetime | None) -> Iterator[Entry]:
    """What is known of each run; at last when the ledger begins."""
    found = Runs(since)
    for entry in entries(folder):
        found.add(entry)
    yield from (run.record() for run in found.listed())
    yield {"begins": found.begins}


def _budgets(accounts: Accounts) -> list[dict[str, Any]]:
    return [figures(each, accounts.usage()).record() for each in accounts.budgets]


def _last(found: Iterable[Entry]) -> Head:
    last = Head()
    for entry in found:
        last = Head(entry["number"], entry["hash"])
    return last


def _print(entry: Entry) -> None:
    sys.stdout.buffer.write(canonical(entry) + b"\n")


if __name__ == "__main__":
    main()
