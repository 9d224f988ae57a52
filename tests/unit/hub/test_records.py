"""Records on the hub, at an embedded API server: stored, chained and signed, whatever ends the controller, and however long they are."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import evidence as support
from embedded import Embedded
from panal.api import names
from panal.client import evidence as client_side
from panal.client.problem import Problem
from panal.evidence.canonical import canonical, digest
from panal.evidence.file import made, parsed
from panal.evidence.ledger import checked
from panal.evidence.maps import KEY_CLOSING, KEY_ENTRY, KEY_RECORD, LAST
from panal.evidence.receipt import Signed, read
from panal.evidence.sealed import holds, public_pem, read_key, signed
from panal.evidence.stored import is_own
from panal.evidence.verify import examined
from panal.hub import evidence
from panal.hub.records import Identity, Records
from panal.kube import kinds
from panal.kube.client import Client
from panal.kube.objects import Object
from panal.kube.signing_key import KeyUnusableError
from panal.lifecycle.plan import Close, Enter, Keep, Receive
from panal.lifecycle.world import Evidence
from worlds import NOW, UID

NS, SYSTEM = "ns", "panal-system"
CONTENT = support.kept(support.ended(1, 3))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    embedded = Embedded(tmp_path_factory.mktemp("hub")).start()
    yield embedded.kubeconfig
    embedded.stop()


@pytest.fixture
async def client(server: Path) -> AsyncIterator[Client]:
    async with Client.from_kubeconfig(server) as client:
        for name in (NS, SYSTEM):
            await client.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
        await client.delete(kinds.SECRET, SYSTEM, names.EVIDENCE_KEY)
        for namespace in (NS, SYSTEM):
            for each in (await client.list(kinds.CONFIG_MAP)).items:
                await client.delete(kinds.CONFIG_MAP, namespace, each["metadata"]["name"])
        yield client


class Killed(BaseException):
    """The controller ends here."""


class Dying:
    """A client of a controller that ends before or after its n-th write."""

    def __init__(self, client: Client, number: int, after: bool) -> None:
        self._client, self._left, self._after = client, number, after

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._client, name)
        if name not in ("create", "merge_patch"):
            return method

        async def write(*args: Any, **options: Any) -> Any:
            self._left -= 1
            if self._left == 0 and not self._after:
                raise Killed
            try:
                return await method(*args, **options)
            finally:
                if self._left == 0:
                    raise Killed  # also after a write that the API server has refused

        return write


async def opened(client: Any) -> Records:
    """With its key, as `run` loads it."""
    found = Records(client, SYSTEM)
    await found.load(lambda: None)
    return found


def run(number: int) -> Identity:
    return Identity(NS, f"run{number}", f"uid-{number}")


def keep(number: int, **content: Any) -> Keep:
    return Keep({"kind": "record", "recorded": "2026-03-01T12:00:00Z", "run": {"uid": f"uid-{number}"}, **content}, ("cluster1",))


async def data(client: Client, name: str, namespace: str = NS) -> dict[str, str]:
    return dict((await client.get(kinds.CONFIG_MAP, namespace, name)).get("data") or {})


async def entry(client: Client, number: int) -> dict[str, Any]:
    return dict(json.loads((await data(client, names.sealed(f"run{number}")))[KEY_ENTRY]))


async def test_the_key_is_made_once_and_published(client: Client) -> None:
    first, second = await opened(client), await opened(client)
    assert first.key == second.key == (await data(client, names.EVIDENCE, SYSTEM))["key.pub"]
    secret = await client.get(kinds.SECRET, SYSTEM, names.EVIDENCE_KEY)
    assert b"PRIVATE KEY" in base64.b64decode(secret["data"]["ed25519.key"])
    await client.merge_patch(kinds.SECRET, SYSTEM, names.EVIDENCE_KEY, {"data": {"ed25519.key": "eA=="}})
    with pytest.raises(KeyUnusableError, match="panal-evidence-key in panal-system"):
        await opened(client)


async def test_records_are_chained_in_their_order(client: Client) -> None:
    hub = await opened(client)
    for number in (1, 2, 3):
        await hub.take(run(number), keep(number))
    chain = [canonical(await entry(client, number)) for number in (1, 2, 3)]
    assert [each["uid"] for each in checked(chain, read_key(hub.key))] == ["uid-1", "uid-2", "uid-3"]
    stored = await client.get(kinds.CONFIG_MAP, NS, names.evidence("run1"))
    assert stored["immutable"] is True
    assert stored["metadata"]["ownerReferences"][0]["uid"] == "uid-1"
    assert digest(json.loads(stored["data"][KEY_RECORD])) == stored["data"]["sha256"] == (await entry(client, 1))["record"]


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
async def test_a_controller_that_is_killed_at_any_write_leaves_neither_a_gap_nor_a_fork(client: Client, after: bool) -> None:
    """It ends while it keeps one run's record; the next controller begins with another run, and comes to this one later."""
    hub, killed = await opened(client), 0
    await hub.take(run(1), keep(1))
    for at in range(1, 20):
        first, second = 10 * at, 10 * at + 1
        ends = await opened(client)
        ends._client = Dying(client, at, after)  # type: ignore[assignment]
        try:
            await ends.take(run(first), keep(first))
            break
        except Killed:
            killed += 1
        hub = await opened(client)
        await hub.take(run(second), keep(second))
        kept = at > 1 or after
        await hub.take(run(first), Enter(digest(keep(first).content), NOW) if kept else keep(first))
    assert killed >= 3
    maps = (await client.list(kinds.CONFIG_MAP)).items
    entries = [json.loads(each["data"][KEY_ENTRY]) for each in maps if KEY_ENTRY in (each.get("data") or {})]
    entries.sort(key=lambda each: each["number"])
    assert len(list(checked([canonical(each) for each in entries], read_key(hub.key)))) == len(entries) == 2 * killed + 2
    assert len({each["uid"] for each in entries}) == len(entries)


async def test_the_same_step_again_changes_nothing(client: Client) -> None:
    hub = await opened(client)
    await hub.take(run(1), keep(1))
    before = [each["metadata"]["resourceVersion"] for each in (await client.list(kinds.CONFIG_MAP)).items]
    await (await opened(client)).take(run(1), keep(1, other="a later look at the hub"))
    await hub.take(run(1), Enter((await entry(client, 1))["record"], NOW))
    assert [each["metadata"]["resourceVersion"] for each in (await client.list(kinds.CONFIG_MAP)).items] == before


async def test_a_run_of_the_same_name_waits_until_the_former_ones_record_is_gone(client: Client) -> None:
    hub = await opened(client)
    await hub.take(run(1), keep(1))
    again = Identity(NS, "run1", "uid-again")
    await hub.take(again, keep(1))
    assert hub.blocked == {"uid-again": "run1-evidence"}
    for name in (names.evidence("run1"), names.sealed("run1")):  # as Kubernetes deletes what a deleted run owns
        await client.delete(kinds.CONFIG_MAP, NS, name)
    await hub.take(again, keep(1))
    assert (await entry(client, 1))["number"] == 2
    assert hub.blocked == {}


def of_somebody_else(number: int, *, owner: str = "", label: bool = True) -> Object:
    """A ConfigMap of the name, and with all that the hub's own has, but its signature."""
    content = keep(number, metrics={"accuracy": 0.99}).content
    labels = {names.LABEL_COMPONENT: "evidence", names.LABEL_RUN_UID: f"uid-{number}"} if label else {}
    owners = [{"apiVersion": names.API_VERSION, "kind": names.KIND, "name": f"run{number}", "uid": owner or f"uid-{number}"}]
    metadata = {"name": names.evidence(f"run{number}"), "namespace": NS, "labels": labels, "ownerReferences": owners}
    about = {"sha256": digest(content), "recorded": content["recorded"], "asked": '["cluster1", "cluster9"]', "signature": "A" * 86 + "=="}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"record": canonical(content).decode(), **about}}


async def viewed(client: Client, hub: Records, name: str, uid: str = "") -> Evidence:
    """As the watch cache has it."""
    uid = uid or name.replace("run", "uid-")
    maps = {each["metadata"]["name"]: evidence.trimmed(each) for each in (await client.list(kinds.CONFIG_MAP)).items}
    found = {each: maps.get(each(name)) for each in evidence.MAPS}
    receipts = [each for called, each in maps.items() if called.startswith(names.receipts(name, 0)[:-1])]
    return evidence.view(hub.keys, uid, found, receipts, blocked=hub.blocked.get(uid, ""))


@pytest.mark.parametrize(("owner", "label"), [("", True), ("", False), ("another", True)])
async def test_a_record_that_the_hub_has_not_made_is_not_sealed(client: Client, owner: str, label: bool) -> None:
    hub = await opened(client)
    await client.create(of_somebody_else(1, owner=owner, label=label))
    await hub.take(run(1), keep(1))
    assert hub.blocked == {"uid-1": "run1-evidence"}
    found = await viewed(client, hub, "run1")
    assert (found.blocked, found.record, found.asked, found.recorded) == ("run1-evidence", "", (), None)
    assert LAST not in await data(client, names.EVIDENCE, SYSTEM)
    await client.delete(kinds.CONFIG_MAP, NS, names.evidence("run1"))
    await hub.take(run(1), keep(1))
    found = await viewed(client, hub, "run1")
    assert (found.blocked, found.record, found.asked, found.recorded) == ("", digest(keep(1).content), ("cluster1",), NOW)
    assert hub.blocked == {}


@pytest.mark.parametrize("name", ["sha256", "recorded", "asked", "parts"])
async def test_the_hubs_signature_is_about_all_that_is_read(client: Client, name: str) -> None:
    hub = await opened(client)
    await hub.take(run(1), keep(1))
    about = await data(client, names.evidence("run1"))
    assert is_own("uid-1", about, hub.keys)
    assert not is_own("uid-2", about, hub.keys)
    assert not is_own("uid-1", {**about, name: '["x"]'}, hub.keys)


async def test_what_was_signed_with_a_key_that_was_lost_stays_the_hubs(client: Client) -> None:
    first = await opened(client)
    await first.take(run(1), keep(1))
    await client.delete(kinds.SECRET, SYSTEM, names.EVIDENCE_KEY)
    for _ in range(2):
        hub = await opened(client)
        assert hub.keys == (hub.key, first.key)
    assert hub.key != first.key
    found = await viewed(client, hub, "run1")
    assert (found.blocked, found.record, found.key) == ("", digest(keep(1).content), hub.key)


def fleet(count: int) -> Keep:
    about = CONTENT.content["participants"]["cluster1"]
    participants = {f"cluster-{number:04}.region-{number % 7}.example": about for number in range(count)}
    return Keep({**CONTENT.content, "participants": participants}, tuple(participants))


async def test_3500_clusters_fit_with_their_receipts(client: Client) -> None:
    hub, step = await opened(client), fleet(3500)
    one = Identity(NS, "digits", UID)
    await hub.take(one, step)
    site, receipts = support.Site(), {}
    site.take_part()
    world = support.ended(1)
    seal = json.loads((await data(client, names.sealed("digits")))[KEY_ENTRY])
    evidence_ = replace(world.evidence, entry=seal, key=hub.key) if world.evidence else None
    answer = site.answer(support.asks(replace(world, evidence=evidence_)))
    receipt = read(answer["receipt"], answer["signature"], answer["key"], uid=UID, record=digest(step.content))
    receipts = dict.fromkeys(step.asked, receipt)
    half = step.asked[:1750]
    await hub.take(one, Receive({each: receipts[each] for each in half}, step.asked))
    await hub.take(one, Receive({each: receipts[each] for each in step.asked[1750:]}, step.asked))
    sealed = {each: {"hash": receipt.hash, "key": receipt.fingerprint} for each in step.asked}
    waiting = await viewed(client, hub, "digits", UID)
    assert len(waiting.receipts) == 3500
    assert set(waiting.receipts.values()) == {(receipt.hash, receipt.fingerprint)}
    closed = {"kind": "countersigning", "uid": UID, "record": digest(step.content), "receipts": sealed, "missing": {}}
    await hub.take(one, Close(closed))
    maps = (await client.list(kinds.CONFIG_MAP)).items
    sizes = [len(json.dumps(each)) for each in maps]
    print(len(maps), "ConfigMaps, the largest of", max(sizes), "bytes")
    assert max(sizes) < 1 << 20
    found = await client_side.read(None, client, federated_learning(), lambda _: None)  # type: ignore[arg-type]
    assert found.record == step.content
    assert len(found.receipts) == 3500
    assert found.closing
    trimmed = [evidence.trimmed(each) for each in maps]
    assert max(len(json.dumps(each)) for each in trimmed) < 400_000
    by_name = {each["metadata"]["name"]: each for each in trimmed}
    found_maps = {name: by_name.get(name("digits")) for name in evidence.MAPS}
    view = evidence.view(hub.keys, UID, found_maps, [each for each in trimmed if "receipts" in each["metadata"]["name"]])
    assert (view.record, len(view.asked), view.receipts) == (digest(step.content), 3500, {})
    assert view.closing
    assert len(view.closing["receipts"]) == 3500


def federated_learning(**status: Any) -> Object:
    return {"metadata": {"name": "digits", "namespace": NS, "uid": UID}, "status": status}


async def test_the_file_is_made_of_what_is_stored_and_holds(client: Client) -> None:
    hub = await opened(client)
    one = Identity(NS, "digits", UID)
    with pytest.raises(Problem, match="digits has no record: it has not ended"):
        await client_side.read(None, client, federated_learning(), lambda _: None)  # type: ignore[arg-type]
    content = {**CONTENT.content, "history": {}, "hub": {"key": support.fingerprint(read_key(hub.key))}}
    content["participants"] = {"cluster1": content["participants"]["cluster2"]}
    gateway = {"certificate": support.CERTIFICATES.leaf.certificate, "trust": support.CERTIFICATES.bundle}  # type: ignore[union-attr]
    owner = {"apiVersion": names.API_VERSION, "kind": names.KIND, "name": "digits", "uid": UID}
    await client.create(
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": names.gateway("digits"), "namespace": NS, "ownerReferences": [owner]},
            "data": gateway,
        }
    )
    await hub.take(one, Keep(content, ()))
    stored = await client_side.read(None, client, federated_learning(), lambda _: None)  # type: ignore[arg-type]
    found = examined(parsed(json.dumps(made(stored))), hub.key)
    assert found.whole, (found.findings, found.not_shown)
    await client.delete(kinds.CONFIG_MAP, NS, names.evidence("digits"))
    with pytest.raises(Problem, match="has not written its record yet"):
        await client_side.read(None, client, federated_learning(completionTime="x"), lambda _: None)  # type: ignore[arg-type]


async def test_what_is_sealed_about_receipts_is_signed(client: Client) -> None:
    hub = await opened(client)
    await hub.take(run(1), keep(1))
    await hub.take(run(1), Close(closing(1)))
    found = json.loads((await data(client, names.sealed("run1")))[KEY_CLOSING])
    assert holds(digest(found["content"]), found["signature"], read_key(hub.key))
    assert not holds(digest({}), signed(digest(found["content"]), support.HUB), read_key(hub.key))


async def test_only_receipts_that_the_hub_has_stored_count(client: Client) -> None:
    hub = await opened(client)
    await hub.take(run(1), keep(1))
    key = support.Site().key
    content = {"kind": "receipt", "version": 1, "uid": "uid-1", "record": digest(keep(1).content)}
    receipt = Signed(canonical(content).decode(), signed(digest(content), key), public_pem(key.public_key()), content)
    await hub.take(run(1), Receive({"cluster1": receipt}, ("cluster1",)))  # type: ignore[dict-item]
    wanted = {"cluster1": (receipt.hash, receipt.fingerprint)}
    assert (await viewed(client, hub, "run1")).receipts == wanted
    good = (await data(client, names.receipts("run1", 0)))["cluster1"]
    said = json.loads(good)
    other = support.Site().key
    changed = {**content, "time": "x"}
    for bad in (
        {"cluster2": good},
        {"cluster1": json.dumps(said | {"key": public_pem(other.public_key()), "signature": signed(receipt.hash, other)})},
        {"cluster1": json.dumps(said | {"receipt": canonical(changed).decode()})},
        {"cluster1": json.dumps({name: each for name, each in said.items() if name != "storedBy"})},
        {"cluster1": "x" * 100},
    ):
        await client.merge_patch(kinds.CONFIG_MAP, NS, names.receipts("run1", 0), {"data": {"cluster1": None, "cluster2": None, **bad}})
        assert (await viewed(client, hub, "run1")).receipts == {}
    await hub.take(run(1), Receive({"cluster1": receipt}, ("cluster1",)))  # type: ignore[dict-item]
    assert (await viewed(client, hub, "run1")).receipts == wanted


def closing(number: int, **changes: Any) -> Object:
    about = {"kind": "countersigning", "version": 1, "uid": f"uid-{number}", "record": digest(keep(number).content)}
    return {**about, "receipts": {}, "missing": {"cluster1": "the site has not answered"}, **changes}


async def test_what_is_sealed_about_receipts_is_not_replaced(client: Client) -> None:
    hub = await opened(client)
    await hub.take(run(1), keep(1))
    await hub.take(run(1), Close(closing(1)))
    before = await data(client, names.sealed("run1"))
    await hub.take(run(1), Close(closing(1, missing={"cluster1": "another reason"})))
    assert await data(client, names.sealed("run1")) == before


async def test_what_the_hub_has_not_sealed_does_not_count_and_is_replaced(client: Client) -> None:
    hub = await opened(client)
    await hub.take(run(1), keep(1))
    await hub.take(run(1), Close(closing(1)))
    found = await viewed(client, hub, "run1")
    assert found.entry
    assert found.closing
    good = await data(client, names.sealed("run1"))
    other = closing(1, missing={}, receipts={"cluster1": {"hash": "00" * 32, "key": "00" * 32}})
    signature = json.loads(good[KEY_CLOSING])["signature"]
    for content, sealed in ((other, signature), (other, signed(digest(other), support.HUB)), ({}, None)):
        bad = {KEY_CLOSING: json.dumps({"content": content, "signature": sealed})}
        await client.merge_patch(kinds.CONFIG_MAP, NS, names.sealed("run1"), {"data": bad})
        found = await viewed(client, hub, "run1")
        assert found.entry
        assert found.closing is None
    await hub.take(run(1), Close(closing(1)))
    assert await data(client, names.sealed("run1")) == good

    changed = {KEY_ENTRY: json.dumps({**json.loads(good[KEY_ENTRY]), "number": 7})}
    await client.merge_patch(kinds.CONFIG_MAP, NS, names.sealed("run1"), {"data": changed})
    assert (await viewed(client, hub, "run1")).entry is None
    await hub.take(run(1), Enter(digest(keep(1).content), NOW))
    assert await data(client, names.sealed("run1")) == good


async def test_an_entry_without_a_place_does_not_get_into_the_ledger(client: Client) -> None:
    hub = await opened(client)
    theirs = of_somebody_else(1, owner="another")
    theirs["metadata"]["name"] = names.sealed("run1")
    await client.create(theirs)
    for step in (keep(1), Enter(digest(keep(1).content), NOW)):
        await hub.take(run(1), step)
        found = await viewed(client, hub, "run1")
        assert (found.blocked, found.record, found.entry) == ("run1-evidence-sealed", digest(keep(1).content), None)
    assert LAST not in await data(client, names.EVIDENCE, SYSTEM)
    await client.delete(kinds.CONFIG_MAP, NS, names.sealed("run1"))
    await hub.take(run(1), Enter(digest(keep(1).content), NOW))
    assert ((await entry(client, 1))["number"], hub.blocked) == (1, {})
    assert (await viewed(client, hub, "run1")).blocked == ""


async def test_what_was_not_trimmed_is_not_read(client: Client) -> None:
    """In the form of the cache, with a hash that the hub has signed for something else, and a label that keeps it as it is."""
    hub = await opened(client)
    await hub.take(run(1), keep(1))
    signed_ = await entry(client, 1)
    form = {name: closing(1)[name] for name in ("kind", "uid", "record", "receipts")} | {"missing": {}}
    text = json.dumps({**form, "hash": signed_["hash"], "signature": signed_["signature"]})
    for label in ("other", "receipts", None, "evidence"):
        patch = {"metadata": {"labels": {names.LABEL_COMPONENT: label}}, "data": {KEY_CLOSING: text}}
        await client.merge_patch(kinds.CONFIG_MAP, NS, names.sealed("run1"), patch)
        assert (await viewed(client, hub, "run1")).closing is None


async def test_an_entry_gets_beside_its_run_though_somebody_has_made_the_config_map(client: Client) -> None:
    """The controller ends before it has copied the entry of the first run, and the next one begins with another run."""
    ends = await opened(client)
    ends._client = Dying(client, 2, after=True)  # type: ignore[assignment]
    with pytest.raises(Killed):
        await ends.take(run(1), keep(1))
    theirs = of_somebody_else(1)
    theirs["metadata"]["name"] = names.sealed("run1")
    await client.create(theirs | {"data": {KEY_ENTRY: json.dumps({"uid": "uid-1", "record": digest(keep(1).content)})}})
    hub = await opened(client)
    await hub.take(run(2), keep(2))
    assert [(await entry(client, number))["number"] for number in (1, 2)] == [1, 2]


async def test_a_ledger_that_was_lost_begins_again(client: Client) -> None:
    hub = await opened(client)
    await hub.take(run(1), keep(1))
    await client.delete(kinds.CONFIG_MAP, SYSTEM, names.EVIDENCE)
    await hub.take(run(2), keep(2))
    assert (await entry(client, 2))["number"] == 1
    assert LAST in await data(client, names.EVIDENCE, SYSTEM)
