"""A ledger whose entries cannot be changed, left out, put in or exchanged unnoticed."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from panal.evidence.canonical import canonical
from panal.evidence.ledger import BrokenLedgerError, Head, checked, sealed

KEY, OTHER = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
CONTENT: list[dict[str, Any]] = [{"kind": "left", "bytes": n, "run": "mnist/digits", "text": "ä\u2028", "rules": ["a"]} for n in range(5)]


def ledger(key: Ed25519PrivateKey = KEY) -> list[bytes]:
    head, lines = Head(), []
    for content in CONTENT:
        entry, head = sealed(content, head, key)
        lines.append(canonical(entry))
    return lines


def test_a_ledger_that_nobody_changed_has_its_content() -> None:
    found = list(checked(ledger(), KEY.public_key()))
    assert [{name: each[name] for name in CONTENT[0]} for each in found] == CONTENT
    assert [each["number"] for each in found] == [1, 2, 3, 4, 5]


def test_a_later_part_follows_its_head() -> None:
    lines = ledger()
    third = json.loads(lines[2])
    assert len(list(checked(lines[3:], KEY.public_key(), Head(3, third["hash"])))) == 2


@pytest.mark.parametrize("name", [*CONTENT[0], "number", "previous", "hash", "signature"])
def test_every_field_that_is_changed_is_noticed(name: str) -> None:
    lines = ledger()
    entry = json.loads(lines[2])
    entry[name] = entry[name] + 1 if isinstance(entry[name], int) else "AAAA" if isinstance(entry[name], str) else []
    with pytest.raises(BrokenLedgerError, match=r"^entry 3 "):
        list(checked([*lines[:2], canonical(entry), *lines[3:]], KEY.public_key()))
    del entry[name]
    with pytest.raises(BrokenLedgerError, match=r"^entry 3 "):
        list(checked([*lines[:2], canonical(entry), *lines[3:]], KEY.public_key()))


@pytest.mark.parametrize(
    ("change", "entry"),
    [
        (lambda lines: lines[1:], 1),
        (lambda lines: [*lines[:2], *lines[3:]], 3),
        (lambda lines: [*lines[:2], lines[3], lines[2], lines[4]], 3),
        (lambda lines: [*lines[:3], lines[2], *lines[3:]], 4),
        (lambda lines: [*lines[:2], ledger(OTHER)[2], *lines[3:]], 3),
        (lambda lines: [*lines[:2], lines[2][:-9], *lines[3:]], 3),
        (lambda lines: [*lines[:2], b"[]", *lines[3:]], 3),
        (lambda lines: [*lines[:2], lines[2].replace(b'"bytes":2', b'"bytes":NaN'), *lines[3:]], 3),
    ],
)
def test_what_is_left_out_put_in_or_exchanged_is_noticed(change: Callable[[list[bytes]], list[bytes]], entry: int) -> None:
    with pytest.raises(BrokenLedgerError, match=rf"^entry {entry} "):
        list(checked(change(ledger()), KEY.public_key()))


def test_a_field_that_is_put_in_is_noticed() -> None:
    lines = ledger()
    with pytest.raises(BrokenLedgerError, match=r"^entry 2 was changed"):
        list(checked([lines[0], canonical(json.loads(lines[1]) | {"approved": True})], KEY.public_key()))


def test_a_signature_has_one_form() -> None:
    lines = ledger()
    entry = json.loads(lines[4])
    same = [f"{entry['signature'][:-3]}{digit}==" for digit in "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"]
    same = [each for each in same if base64.b64decode(each) == base64.b64decode(entry["signature"]) and each != entry["signature"]]
    assert len(same) == 15
    with pytest.raises(BrokenLedgerError, match=r"^entry 5 was not signed"):
        list(checked([*lines[:4], canonical(entry | {"signature": same[0]})], KEY.public_key()))
