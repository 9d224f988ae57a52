"""A file of evidence is whole, and each single change in it is named."""

from __future__ import annotations

import base64
import copy
import json
from collections.abc import Iterator
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from evidence import HUB, file
from panal.evidence.canonical import canonical, digest, step
from panal.evidence.file import NoEvidenceError, parsed
from panal.evidence.sealed import fingerprint, marks, public_pem, signed
from panal.evidence.verify import examined

FILE, SITES = file(1, 3)


def nodes(content: Any, pointer: str = "") -> Iterator[tuple[str, list[str | int]]]:
    """The pointer and the path of each member, with and without members of its own."""

    def walk(value: Any, at: str, path: list[str | int]) -> Iterator[tuple[str, list[str | int]]]:
        if path:
            yield at, path
        items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        for name, each in items:
            yield from walk(each, step(at, name), [*path, name])

    yield from walk(content, pointer, [])


NODES = dict(nodes(FILE))
LEAVES = [pointer for pointer in NODES if not any(other.startswith(f"{pointer}/") for other in NODES)]


def within(path: list[str | int]) -> tuple[Any, Any, Any]:
    """A copy of the file, what has the member, and the member's name."""
    changed = copy.deepcopy(FILE)
    parent: Any = changed
    for name in path[:-1]:
        parent = parent[name]
    return changed, parent, path[-1]


def flipped(value: Any) -> Any:
    match value:
        case bool():
            return not value
        case int() | float():
            return value + 1
        case str() if len(value) > 1 and all(each in "0123456789abcdef" for each in value):
            return ("0" if value[0] != "0" else "1") + value[1:]
        case str() if "BEGIN" in value:
            return value.replace("A", "B", 1) if "A" in value else value[:40] + "x" + value[41:]
        case str():
            return ("A" if not value or value[0] != "A" else "B") + value[1:]
        case None:
            return 0
    return "x"


def named(changed: Any) -> list[str]:
    found = examined(changed)
    assert not found.whole
    return [each.pointer for each in (*found.findings, *found.not_shown)]


def fits(said: str, wanted: str) -> bool:
    """A row of the history is named as a whole, and so is what has lost all of its members, or has been replaced."""
    return said == wanted or (said.startswith("/history/rows/") and wanted.startswith(f"{said}/"))


def test_it_is_whole_as_it_is_made() -> None:
    found = examined(FILE)
    assert (found.findings, found.not_shown, found.receipts, found.rows, found.run) == ([], [], 2, 3, "ns/digits")
    assert found.whole
    assert found.keys == {"": fingerprint(HUB.public_key()), **{name: fingerprint(each.key.public_key()) for name, each in SITES.items()}}


def test_each_value_that_is_flipped_is_named() -> None:
    for pointer in LEAVES:
        changed, parent, name = within(NODES[pointer])
        parent[name] = flipped(parent[name])
        found = named(changed)
        assert len(found) == 1, (pointer, found)
        assert fits(found[0], pointer), (pointer, found)


def test_each_member_that_is_dropped_is_named() -> None:
    for pointer in NODES:
        check_dropped(pointer)


def check_dropped(pointer: str) -> None:
    changed, parent, name = within(NODES[pointer])
    was = parent[name]
    parent.pop(name) if isinstance(parent, dict) else parent.pop(int(name))
    found = named(changed)
    if isinstance(parent, list) and not pointer.startswith("/history"):  # the members behind it move up
        assert all(each.startswith(pointer.rpartition("/")[0]) for each in found), (pointer, found)
        return
    lost = {f"{pointer}{inner}" for inner in marks({"": was})} | {pointer}
    below = [each for each in found if not (each in lost or each.startswith(f"{pointer}/") or fits(each, pointer))]
    assert not below, (pointer, found)
    assert any(each == pointer or each.startswith(f"{pointer}/") or fits(each, pointer) for each in found), (pointer, found)


def test_each_member_that_is_added_is_named() -> None:
    for pointer in ("", *NODES):
        check_added(pointer)


def check_added(pointer: str) -> None:
    changed, parent, name = within([*NODES[pointer], "x"]) if pointer else within(["x"])
    if isinstance(parent, list):
        parent.append({"x": 1})
        wanted = step(pointer, len(parent) - 1)
    elif isinstance(parent, dict):
        parent[name] = {"x": 1}
        wanted = step(pointer, "x")
    else:
        return
    found = named(changed)
    assert len(found) == 1, (wanted, found)
    assert found[0] in (wanted, f"{wanted}/x") or fits(found[0], wanted), (wanted, found)


# --- what an attacker would do ----------------------------------------------------------------------------------------
def test_a_change_with_its_marks_is_found() -> None:
    for name in ("record", "entry", "countersigning"):
        changed = copy.deepcopy(FILE)
        changed[name]["content"]["version" if name != "entry" else "number"] = 7
        changed[name]["marks"] = marks(changed[name]["content"])
        assert named(changed) == [f"/{name}/content"]


def test_a_change_with_marks_and_hash_is_found_by_the_signature() -> None:
    changed = copy.deepcopy(FILE)
    entry = changed["entry"]
    entry["content"]["number"] = 7
    entry["marks"], entry["hash"] = marks(entry["content"]), digest(entry["content"])
    assert named(changed) == ["/entry/signature"]


def resigned() -> tuple[dict[str, Any], Ed25519PrivateKey]:
    """Somebody changes the record and signs everything of the hub again."""
    changed, key = copy.deepcopy(FILE), Ed25519PrivateKey.generate()
    changed["record"]["content"]["metrics"] = {"accuracy": 0.99}
    changed["record"]["content"]["hub"]["key"] = fingerprint(key.public_key())
    changed["hubKey"] = public_pem(key.public_key())
    changed["entry"]["content"]["record"] = changed["countersigning"]["content"]["record"] = digest(changed["record"]["content"])
    for name in ("record", "entry", "countersigning"):
        part = changed[name]
        part["marks"] = marks(part["content"])
        if name != "record":
            part["hash"] = digest(part["content"])
            part["signature"] = signed(part["hash"], key)
    return changed, key


def test_a_hub_that_signs_another_record_does_not_have_receipts_for_it() -> None:
    assert named(resigned()[0]) == ["/receipts/cluster1", "/receipts/cluster3"]


def test_given_keys_hold_or_are_named() -> None:
    hub, sites = public_pem(HUB.public_key()), {name: public_pem(each.key.public_key()) for name, each in SITES.items()}
    found = examined(FILE, hub, sites)
    assert found.whole
    assert found.given == {"", *SITES}
    changed, key = resigned()
    assert "/hubKey" in [each.pointer for each in examined(changed, hub).findings]
    assert next(each.pointer for each in examined(FILE, public_pem(key.public_key())).findings) == "/hubKey"
    other = examined(FILE, "", {"cluster1": sites["cluster3"]})
    assert "/receipts/cluster1/key" in [each.pointer for each in other.findings]
    assert [each.pointer for each in examined(FILE, "", {"cluster2": hub}).findings] == ["/receipts/cluster2"]


def test_receipts_of_sites_that_are_exchanged_are_named() -> None:
    changed = copy.deepcopy(FILE)
    receipts = changed["receipts"]
    receipts["cluster1"], receipts["cluster3"] = receipts["cluster3"], receipts["cluster1"]
    assert {each.rpartition("/")[0] for each in named(changed)} >= {"/receipts/cluster1", "/receipts/cluster3"}


def test_removed_receipts_with_what_is_sealed_about_them_are_found() -> None:
    changed = copy.deepcopy(FILE)
    del changed["countersigning"]
    changed["receipts"] = {}
    assert named(changed) == ["/countersigning"]


def sealed_again(document: dict[str, Any], key: Ed25519PrivateKey, **changes: Any) -> None:
    """Changes the content of a document as only the owner of the key can."""
    document["content"].update(changes)
    document["marks"], document["hash"] = marks(document["content"]), digest(document["content"])
    document["signature"] = signed(document["hash"], key)


def test_a_document_of_another_kind_does_not_pass() -> None:
    changed = copy.deepcopy(FILE)
    changed["receipts"], changed["countersigning"] = {}, copy.deepcopy(FILE["entry"])
    found = named(changed)
    assert "/countersigning/content/kind" in found
    assert all(each.startswith("/countersigning/content/") for each in found)
    for part in ("entry", "countersigning"):
        changed = copy.deepcopy(FILE)
        sealed_again(changed[part], HUB, kind="receipt")
        assert named(changed) == [f"/{part}/content/kind"]
    changed = copy.deepcopy(FILE)
    sealed_again(changed["countersigning"], HUB, version=2)
    assert named(changed) == ["/countersigning/content/version"]


@pytest.mark.parametrize("closed", [True, False])
def test_an_entry_of_a_sites_ledger_is_no_receipt(closed: bool) -> None:
    changed, sites = file(1, closed=closed)
    key = sites["cluster1"].key
    entry = {name: value for name, value in sites["cluster1"].entries[-1].items() if name not in ("hash", "signature")}
    assert (entry["kind"], entry["uid"]) == ("record", changed["record"]["content"]["run"]["uid"])
    receipt = changed["receipts"]["cluster1"]
    receipt["content"] = {}
    sealed_again(receipt, key, **entry)
    if closed:
        about = {"cluster1": {"hash": receipt["hash"], "key": fingerprint(key.public_key())}}
        sealed_again(changed["countersigning"], HUB, receipts=about)
    assert {"/receipts/cluster1/content/kind", "/receipts/cluster1/content/version"} <= set(named(changed))
    assert examined(changed).receipts == 0


def test_a_record_is_of_its_kind_and_its_entry_of_its_run() -> None:
    changed, _ = file()
    changed["record"]["content"].update(kind="receipt", version=True)
    changed["record"]["marks"] = marks(changed["record"]["content"])
    sealed_again(changed["entry"], HUB, record=digest(changed["record"]["content"]), uid="other")
    assert named(changed) == ["/record/content/kind", "/record/content/version", "/entry/content/uid"]


def test_each_site_that_was_asked_is_in_what_is_sealed_about_receipts() -> None:
    whole = FILE["countersigning"]["content"]
    one = {"cluster1": whole["receipts"]["cluster1"]}
    for changes, pointers in (
        ({"receipts": {}}, ["missing/cluster1", "missing/cluster3"]),
        ({"receipts": one}, ["missing/cluster3"]),
        ({"receipts": one, "missing": {"cluster3": "it has not answered", "cluster2": "x"}}, ["missing/cluster2"]),
        ({"missing": {"cluster1": "x"}}, ["missing/cluster1"]),
        ({"receipts": {**whole["receipts"], "cluster2": one["cluster1"]}}, ["receipts/cluster2"]),
    ):
        changed = copy.deepcopy(FILE)
        sealed_again(changed["countersigning"], HUB, **changes)
        changed["receipts"] = {
            name: each for name, each in changed["receipts"].items() if name in changed["countersigning"]["content"]["receipts"]
        }
        found = [each.removeprefix("/countersigning/content/") for each in named(changed) if each.startswith("/countersigning/")]
        assert found == pointers
    changed = copy.deepcopy(FILE)
    sealed_again(changed["countersigning"], HUB, uid="other")
    assert named(changed) == ["/countersigning"]


BASE64 = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"


def other_form(signature: str) -> str:
    """The same bytes: the last digit before `==` has bits that are not used."""
    other = f"{signature[:-3]}{BASE64[BASE64.index(signature[-3]) + 1]}=="
    assert base64.b64decode(other, validate=True) == base64.b64decode(signature)
    return other


@pytest.mark.parametrize("pointer", ["/entry", "/countersigning", "/receipts/cluster1", "/receipts/cluster3"])
def test_a_signature_has_one_form(pointer: str) -> None:
    changed, parent, name = within([*NODES[pointer], "signature"])
    parent[name] = other_form(parent[name])
    assert named(changed) == [f"{pointer}/signature"]


@pytest.mark.parametrize("pointer", ["/hubKey", "/receipts/cluster1/key"])
@pytest.mark.parametrize("form", ["{}\n", " {}", "a text\n{}", "{}a text", "{}{}"])
def test_a_key_has_one_form(pointer: str, form: str) -> None:
    changed, parent, name = within(NODES[pointer])
    parent[name] = form.replace("{}", parent[name])
    assert pointer in named(changed)


def test_a_key_that_is_given_may_have_white_space_around_it() -> None:
    hub, site = (public_pem(key.public_key()) for key in (HUB, SITES["cluster1"].key))
    found = examined(FILE, f"\n  {hub}\n\n", {"cluster1": site.strip()})
    assert found.whole
    assert found.given == {"", "cluster1"}


def test_several_rows() -> None:
    dropped, doubled, swapped = (copy.deepcopy(FILE) for _ in range(3))
    del dropped["history"]["rows"][:2]
    assert named(dropped) == ["/history/rows/0"]
    doubled["history"]["rows"].insert(1, doubled["history"]["rows"][0])
    assert named(doubled) == ["/history/rows/0"]
    rows = swapped["history"]["rows"]
    rows[0], rows[1] = rows[1], rows[0]
    assert named(swapped)
    assert all(each.startswith("/history/rows/") for each in named(swapped))


def test_what_is_missing_is_said_and_not_whole() -> None:
    without_rows = copy.deepcopy(FILE)
    without_rows["history"] = {"missing": "the storage is gone"}
    (said,) = examined(without_rows).not_shown
    assert said.pointer == "/history/rows"
    assert "the storage is gone" in said.what
    waits, _ = file(1, closed=False)
    found = examined(waits)
    assert ([each.pointer for each in found.not_shown], found.receipts) == (["/countersigning"], 1)
    alone, _ = file()
    assert examined(alone).whole


@pytest.mark.parametrize("text", [b"", b"[]", b"\xff", b'{"version": 1, "version": 1}', b"[" * 100_000])
def test_what_is_no_file_is_refused(text: bytes) -> None:
    with pytest.raises(NoEvidenceError):
        parsed(text)


@pytest.mark.parametrize("content", [{}, {"version": 1}, dict.fromkeys(FILE, 7), {name: {} for name in FILE}, {name: [] for name in FILE}])
def test_any_content_is_survived(content: dict[str, Any]) -> None:
    assert not examined(content).whole


@pytest.mark.parametrize("value", [None, 7, "text", [], {}, [[]], {"x": {}}, float("nan"), "\ud800"])
def test_values_of_other_types_are_survived(value: Any) -> None:
    for pointer, path in NODES.items():
        changed, parent, name = within(path)
        before = parent[name]
        parent[name] = value
        assert examined(changed).whole == (json.dumps(before) == json.dumps(value)), pointer


def test_canonical_json_is_that_of_the_file() -> None:
    assert canonical(parsed(json.dumps(FILE))) == canonical(FILE)
