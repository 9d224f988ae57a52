"""What gateways ask, over real HTTPS: who is answered, what passes, and what the ledger has of it, also after the process was killed."""

from __future__ import annotations

import asyncio
import hashlib
import io
import ssl
from pathlib import Path

import aiohttp
import pytest

from gated_pods import policy, rule
from panal.api import names
from panal.kube import kinds
from panal.site.certificates import SERVER_NAME
from panal.site.codes import Code
from panal.site.entries import Kind
from panal.site.in_force import request_of
from panal.site.request import Asked
from panal.site_controller.book import LedgerUnavailableError
from panal.site_controller.checks import LARGEST, POD_UID
from panal.site_controller.traffic import about_pod
from site_checks import TOKEN, UID, World
from supernode_requests import HEARTBEAT, OBJECT, PUSH, pushes, reply

ALLOWED = (200, "")


async def test_only_gateways_of_pods_that_were_allowed_are_answered(tmp_path: Path) -> None:
    world = World(tmp_path, policy(rule()))
    async with world.running():
        assert await world.ask(HEARTBEAT) == ALLOWED
        for wrong in ({"token": "other"}, {"token": ""}, {"uid": "other"}, {"uid": ""}):
            assert await world.ask(HEARTBEAT, **wrong) == (403, "")
        world._put(kinds.POD, {**world.pod, "spec": {**world.pod["spec"], "schedulingGates": [{"name": names.SITE_GATE}]}})
        assert await world.ask(HEARTBEAT) == (403, "")


async def test_a_reply_is_in_the_ledger_when_all_of_it_has_passed(tmp_path: Path) -> None:
    world = World(tmp_path, policy(rule()))
    async with world.running():
        assert await world.ask(PUSH, reply("7", b"root", b"array")) == ALLOWED
        assert await world.ask(OBJECT, pushes(b"array")) == ALLOWED
        assert not world.entries("left")
        assert await world.ask(OBJECT, pushes(b"root")) == ALLOWED
        (left,) = world.entries("left")
        sizes = [len(reply("1", b"root", b"array")), len(pushes(b"array")), len(pushes(b"root"))]
        assert (left["round"], left["type"], left["bytes"], left["run"]) == ("7", "train", sum(sizes), "ns/digits")
        assert left["reply"] == 1
        assert (left["digest"], left["objects"]) == (hashlib.sha256(b"root").hexdigest(), 2)
        assert await world.ask(OBJECT, pushes(b"root")) == ALLOWED  # the answer was lost
        await world.traffic.end(UID, world.book.accounts.pods[UID])
    (ended,) = world.entries("ended")
    assert (ended["rounds"], ended["replies"], ended["bytes"]) == (1, 1, sum(sizes) + sizes[2])
    assert len(world.entries("left")) == 1
    assert not list((tmp_path / "messages").iterdir())


@pytest.mark.parametrize("when", ["announced", "partly", "wholly"])
async def test_a_reply_that_is_under_way_survives_the_process(tmp_path: Path, when: str) -> None:
    world = World(tmp_path, policy(rule()))
    async with world.running():
        await world.ask(PUSH, reply("1", b"root", b"array"))
        for content in {"announced": (), "partly": (b"array",), "wholly": (b"array", b"root")}[when]:
            await world.ask(OBJECT, pushes(content))
    async with world.running():
        assert await world.ask(PUSH, reply("1", b"root", b"array")) == ALLOWED
        for content in (b"array", b"root"):
            assert await world.ask(OBJECT, pushes(content)) == ALLOWED
    (left,) = world.entries("left")
    assert left["digest"] == hashlib.sha256(b"root").hexdigest()


async def test_what_is_no_message_of_flower_does_not_pass_and_is_recorded_once_a_minute(tmp_path: Path) -> None:
    world, refused = World(tmp_path, policy(rule())), (503, Code.MESSAGE_NOT_RECOGNIZED.value)
    async with world.running():
        for path, body in ((OBJECT, pushes(b"data")), (HEARTBEAT, b"x" * 100_000), ("/upload", b""), (PUSH, b"\xff")):
            assert await world.ask(path, body) == refused
        assert len(world.entries("refused")) == 1
        world.time = 61
        assert await world.ask("/upload") == refused
        assert len(world.entries("refused")) == 2
        assert world.traffic.unknown(UID)
        assert world.again == ["study-0"] * 5
        assert await world.ask(HEARTBEAT) == ALLOWED


async def test_so_many_replies_about_training_leave_whatever_the_hub_calls_their_round(tmp_path: Path) -> None:
    world = World(tmp_path, policy(rule(maxRounds=2)))
    async with world.running():
        for content in (b"a", b"b"):
            assert await world.ask(PUSH, reply("1", content)) == ALLOWED
            assert await world.ask(PUSH, reply("1", content)) == ALLOWED
            assert await world.ask(OBJECT, pushes(content)) == ALLOWED
        assert await world.ask(PUSH, reply("1", b"judged", type_="evaluate")) == ALLOWED
    async with world.running():
        assert await world.ask(OBJECT, pushes(b"judged")) == ALLOWED
        assert await world.ask(PUSH, reply("1", b"c")) == (503, Code.ROUNDS_EXHAUSTED.value)
        assert world.traffic.wanted(request_of(world.pod).key).rounds == 3  # type: ignore[union-attr]
        assert world.again == ["study-0"]
        world.put_policy(policy(rule(maxRounds=3)))
        assert await world.ask(PUSH, reply("1", b"c")) == ALLOWED
    assert [(each["type"], each["reply"]) for each in world.entries("left")] == [("train", 1), ("train", 2), ("evaluate", 1)]


async def test_a_pod_that_ends_while_the_process_is_away_has_its_replies_in_the_ledger(tmp_path: Path) -> None:
    world = World(tmp_path, policy(rule()))
    async with world.running():
        await world.ask(PUSH, reply("1", b"root", b"array"))
        await world.ask(OBJECT, pushes(b"array"))
    async with world.running():
        await world.traffic.end(UID, world.book.accounts.pods[UID])
    (left,), (ended,) = world.entries("left"), world.entries("ended")
    assert (left["notSent"], ended["replies"], ended["bytes"]) == (1, 1, left["bytes"])


async def test_a_request_that_is_decided_while_its_pod_ends_does_not_pass(tmp_path: Path) -> None:
    world = World(tmp_path, policy(rule()))
    async with world.running():
        asked = request_of(world.pod)
        assert isinstance(asked, Asked)

        async def push(path: str) -> Code | None:
            return (await world.traffic.check(asked, path, reply("1", b"root"), world.gate.judge(asked))).code

        ending = world.traffic.end(UID, world.book.accounts.pods[UID])
        _, *found = await asyncio.gather(ending, push(PUSH), push("/upload"))
        assert [*found, await push(PUSH)] == [Code.POD_NOT_RECOGNIZED] * 3
        assert not world.book.accounts.pods
    assert [each["kind"] for each in world.entries("left", "sent", "refused", "ended")] == ["ended"]
    assert not list((tmp_path / "messages").glob("*"))


async def test_what_is_kept_of_a_pod_that_has_ended_goes_and_of_one_that_is_not_known_stops_everything(tmp_path: Path) -> None:
    world = World(tmp_path, policy(rule()))
    async with world.running():
        await world.ask(PUSH, reply("1", b"root", b"array"))
        kept = (tmp_path / "messages" / f"{UID}.jsonl").read_text()
        await world.book.write(Kind.ENDED, **{**about_pod(request_of(world.pod)), "podUid": "gone"})  # type: ignore[arg-type]
    (tmp_path / "messages" / "gone.jsonl").write_text(kept)
    (tmp_path / "messages" / "other.jsonl").write_text(kept)
    async with world.running():
        assert await world.ask(HEARTBEAT) == (503, Code.LEDGER_UNAVAILABLE.value)
        assert "other.jsonl is of a Pod that the ledger does not know" in world.traffic.problem
        (tmp_path / "messages" / "other.jsonl").unlink()
        assert await world.ask(HEARTBEAT) == ALLOWED
        assert not world.traffic.problem
    assert [file.stem for file in (tmp_path / "messages").iterdir()] == [UID]


async def test_what_is_under_way_counts_also_after_a_line_that_cannot_be_read(tmp_path: Path) -> None:
    world = World(tmp_path, policy(rule(maxRounds=1)))
    async with world.running():
        await world.ask(PUSH, reply("1", b"root", b"array"))
        await world.ask(OBJECT, pushes(b"array"))
    with (tmp_path / "messages" / f"{UID}.jsonl").open("ab") as file:
        file.write(b"\0" * 100 + b"\n" + b"\xff\n" + b"\0" * 100)
    async with world.running():
        assert await world.ask(PUSH, reply("2", b"next")) == (503, Code.ROUNDS_EXHAUSTED.value)
        assert await world.ask(OBJECT, pushes(b"root")) == ALLOWED
    assert len(world.entries("left")) == 1


@pytest.mark.parametrize("instead", ["folder", "zeros", "nothing"])
async def test_nothing_passes_while_it_is_not_known_what_was_under_way(tmp_path: Path, instead: str) -> None:
    world = World(tmp_path, policy(rule()))
    file = tmp_path / "messages" / f"{UID}.jsonl"
    async with world.running():
        await world.ask(PUSH, reply("1", b"root", b"array"))
    kept = file.rename(tmp_path / "kept")
    if instead == "folder":
        file.mkdir()
    else:
        file.write_bytes(b"\0" * 100 if instead == "zeros" else b"")
    async with world.running():
        for _ in range(2):
            assert await world.ask(HEARTBEAT) == (503, Code.LEDGER_UNAVAILABLE.value)
        assert file.name in world.traffic.problem
        with pytest.raises(LedgerUnavailableError):
            await world.traffic.end(UID, world.book.accounts.pods[UID])
        if instead == "folder":
            file.rmdir()
        kept.rename(file)
        assert await world.ask(OBJECT, pushes(b"array")) == ALLOWED


async def test_so_many_bytes_leave_and_no_more(tmp_path: Path) -> None:
    world = World(tmp_path, policy(rule(maxBytes="1Mi")))
    big = b"x" * 600_000
    async with world.running():
        assert await world.ask(PUSH, reply("1", b"root", big)) == ALLOWED
        assert await world.ask(OBJECT, pushes(big)) == ALLOWED
        assert await world.ask(PUSH, reply("2", b"other", big + b"y")) == ALLOWED
        assert await world.ask(OBJECT, pushes(big + b"y")) == (503, Code.BYTES_EXHAUSTED.value)
    assert world.entries("refused")[0]["bytes"] > 1 << 20


async def test_a_policy_that_changes_holds_at_once_and_discloses_what_the_owner_likes(tmp_path: Path) -> None:
    world = World(tmp_path, policy(rule()))
    async with world.running():
        for spec, code in (
            (policy(rule(), suspend=True), Code.SUSPENDED),
            (policy(rule(), suspend=True, disclosure="None"), Code.UNDISCLOSED),
            (policy(rule(images=["other"])), Code.IMAGE_NOT_ALLOWED),
            (policy(rule(name="")), Code.POLICY_INVALID),
        ):
            world.put_policy(spec)
            assert await world.ask(HEARTBEAT) == (503, code.value)
        world.put_policy(policy(rule()))
        assert await world.ask(HEARTBEAT) == ALLOWED


async def test_other_frameworks_are_counted(tmp_path: Path) -> None:
    world = World(tmp_path, policy(rule()), framework="openfl")
    async with world.running():
        for _ in range(3):
            assert await world.ask("/any/path") == ALLOWED
        assert not world.entries("sent")
        world.time = 61
        assert await world.ask("/any/path", b"12345") == ALLOWED
        (sent,) = world.entries("sent")
        assert (sent["requests"], sent["bytes"]) == (4, 5)
        world.put_policy(policy(rule(maxBytes="1Gi")))
        assert await world.ask("/any/path") == (503, Code.LIMITS_NOT_SUPPORTED.value)


async def test_nothing_passes_that_cannot_be_recorded(tmp_path: Path) -> None:
    world = World(tmp_path, policy(rule()))
    async with world.running():
        await world.ask(PUSH, reply("1", b"root"))
        (tmp_path / "messages").rename(tmp_path / "gone")
        assert await world.ask(OBJECT, pushes(b"root")) == (503, Code.LEDGER_UNAVAILABLE.value)
        (tmp_path / "gone").rename(tmp_path / "messages")
        world.book.problem = "full"
        assert await world.ask(HEARTBEAT) == (503, Code.LEDGER_UNAVAILABLE.value)


async def test_a_reply_that_could_not_be_kept_is_kept_when_it_is_announced_again(tmp_path: Path) -> None:
    world, announced = World(tmp_path, policy(rule())), reply("1", b"root", b"array")
    async with world.running():
        (tmp_path / "messages").write_text("in the way")
        assert await world.ask(PUSH, announced) == (503, Code.LEDGER_UNAVAILABLE.value)
        (tmp_path / "messages").unlink()
        assert await world.ask(PUSH, announced) == ALLOWED
    async with world.running():
        assert await world.ask(OBJECT, pushes(b"array")) == ALLOWED


async def test_what_was_half_written_does_not_spoil_what_follows(tmp_path: Path) -> None:
    world = World(tmp_path, policy(rule()))
    async with world.running():
        await world.ask(PUSH, reply("1", b"root", b"array"))
    with (tmp_path / "messages" / f"{UID}.jsonl").open("a") as file:
        file.write('{"pushed": ["')
    for content in (b"array", b"root"):
        async with world.running():
            assert await world.ask(OBJECT, pushes(content)) == ALLOWED
    assert len(world.entries("left")) == 1


async def test_large_bodies_pass_and_larger_ones_do_not(tmp_path: Path) -> None:
    world = World(tmp_path, policy(rule()))
    large = b"x" * (16 << 20)
    async with world.running():
        assert await world.ask(PUSH, reply("1", large)) == ALLOWED
        assert await world.ask(OBJECT, pushes(large)) == ALLOWED
        trust = ssl.create_default_context(cadata=world.certificates.bundle)
        async with aiohttp.ClientSession() as session:
            headers = {"authorization": f"Bearer {TOKEN}", POD_UID: UID}
            url = f"https://127.0.0.1:{world.port}/v1/check{OBJECT}"
            async with session.post(
                url, data=io.BytesIO(b"x" * (LARGEST + 100)), headers=headers, ssl=trust, server_hostname=SERVER_NAME
            ) as answer:
                assert answer.status == 413


async def test_nobody_speaks_an_older_tls(tmp_path: Path) -> None:
    world = World(tmp_path, policy(rule()))
    async with world.running():
        trust = ssl.create_default_context(cadata=world.certificates.bundle)
        trust.maximum_version = ssl.TLSVersion.TLSv1_2
        async with aiohttp.ClientSession() as session:
            with pytest.raises(aiohttp.ClientError):
                await session.get(f"https://127.0.0.1:{world.port}/v1/check/", ssl=trust, server_hostname=SERVER_NAME)
