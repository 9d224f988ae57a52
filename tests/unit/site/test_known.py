"""What a site's receipt says, and about which records there is none."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest
from pydantic import ValidationError

from evidence import HUB, Site, asks, ended, entered
from panal.client.site_ledger import key_of, misfits
from panal.evidence.canonical import canonical, digest
from panal.evidence.ledger import Head, sealed
from panal.evidence.receipt import LONGEST
from panal.evidence.sealed import fingerprint, public_pem
from panal.site.known import KnownRuns
from panal.site.record import MOST_RECORDS, Refusal, RunRecordSpec, refusal
from worlds import UID

SPEC = asks(entered(ended(1)))


def site() -> Site:
    found = Site()
    found.take_part()
    return found


def spec(digest_: str = "ab" * 32, **changes: Any) -> RunRecordSpec:
    content = {"kind": "record", "namespace": "ns", "name": "digits", "uid": UID, "record": digest_, "time": "2026-03-01T12:00:00Z"}
    entry, _ = sealed({**content, **changes}, Head(), HUB)
    return RunRecordSpec.model_validate({**entry, "key": public_pem(HUB.public_key())})


def test_the_receipt_says_what_the_ledger_has() -> None:
    found = site()
    receipt = json.loads(found.answer(SPEC)["receipt"])
    digests = "".join(f"{digest({'reply': number})}\n" for number in range(3))
    assert (receipt["replies"], receipt["bytes"], receipt["digest"]) == (3, 300, hashlib.sha256(digests.encode()).hexdigest())
    assert receipt["decision"] == {
        "verdict": "Allowed",
        "code": "",
        "rule": "studies",
        "policy": {"generation": 4, "sha256": digest({"rules": []})},
    }
    assert receipt["requests"] == {"ab" * 16: 1}
    assert receipt["ledger"] == {"number": found.entries[-1]["number"], "hash": found.entries[-1]["hash"]}
    assert found.answer(SPEC)["receipt"] == canonical(receipt).decode(), "a second time the same, without another entry"
    assert len(found.entries) == 7


def test_a_later_policy_and_another_run_change_nothing() -> None:
    found = site()
    before = found.answer(SPEC)
    found.write("policy", spec={"rules": [], "suspend": True}, generation=5)
    found.write("left", run="ns/other", uid="other", digest="0", announcement="9", bytes=9, type="train")
    assert found.answer(SPEC) == before


def test_the_longest_receipt_fits() -> None:
    runs = KnownRuns()
    text = "\u0800" * 2000
    for number in range(200):
        about = {"run": f"{'n' * 63}/{'r' * 63}", "uid": "u" * 63}
        runs.add({"kind": "asked", **about, "request": f"{number:032x}", "image": text, "appHash": "a" * 64, "data": text, "purpose": text})
        runs.add({"kind": "decided", **about, "verdict": "Refused", "code": "c" * 63, "rule": "r" * 63})
    known = runs.by_uid["u" * 63]
    known.bytes, known.replies = 2**62, 2**62
    known.records["ab" * 32] = Head(2**53, "cd" * 32)
    text = canonical(known.receipt("ab" * 32, disclosed=True)).decode()
    assert len(text) <= LONGEST
    assert len(json.loads(text)["requests"]) == 20
    assert json.loads(text)["requests"][f"{199:032x}"] == 200


@pytest.mark.parametrize(
    ("of", "why"),
    [
        (spec(), None),
        (spec(uid="another"), Refusal.RUN_NOT_KNOWN),
        (spec(name="other"), Refusal.RUN_NOT_KNOWN),
        (spec().model_copy(update={"record": "00" * 32}), Refusal.NOT_SIGNED),
        (spec().model_copy(update={"number": 2}), Refusal.NOT_SIGNED),
        (spec().model_copy(update={"key": public_pem(Site().key.public_key())}), Refusal.NOT_SIGNED),
        (spec().model_copy(update={"key": "x"}), Refusal.NOT_SIGNED),
    ],
)
def test_who_gets_no_receipt(of: RunRecordSpec, why: Refusal | None) -> None:
    assert refusal(of, site().known.by_uid.get(of.uid)) == why


def test_a_hub_does_not_fill_the_ledger() -> None:
    found = site()
    for number in range(MOST_RECORDS):
        assert "receipt" in found.answer(spec(f"{number:064x}").model_dump())
    assert found.answer(spec("f" * 64).model_dump()) == {"refusal": "TooManyRecords"}
    assert "receipt" in found.answer(spec(f"{0:064x}").model_dump()), "what is there already is confirmed again"


@pytest.mark.parametrize(
    "changes", [{"record": "x"}, {"uid": ""}, {"name": "a b"}, {"signature": "x"}, {"key": "y" * 300}, {"number": 0}, {"time": "\n"}]
)
def test_a_record_of_another_form_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        RunRecordSpec.model_validate({**SPEC, **changes})


def test_the_owner_compares_a_receipt_with_the_ledger() -> None:
    found = site()
    answer = found.answer(SPEC)
    receipt = {"content": json.loads(answer["receipt"]), "key": answer["key"]}
    assert key_of(receipt) == fingerprint(found.key.public_key())
    assert key_of({"key": 7}) == key_of({}) == ""
    found.write("policy", spec={}, generation=9)
    assert misfits(receipt, found.entries) == []
    for name, value, pointer in (
        ("bytes", 1, "/content/bytes"),
        ("ledger", {"number": 1, "hash": ""}, "/content/ledger/hash"),
        ("more", 1, "/content/more"),
        ("record", "00" * 32, "/content/record"),
    ):
        changed = {**receipt, "content": {**receipt["content"], name: value}}
        assert pointer in [each.pointer for each in misfits(changed, found.entries)]
    less = {name: value for name, value in receipt["content"].items() if name != "replies"}
    assert [each.pointer for each in misfits({"content": less}, found.entries)] == ["/content/replies"]
    assert misfits({"content": []}, found.entries)
