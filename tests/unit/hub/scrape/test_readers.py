"""Who may read the metrics: what the API server's reviews come to, how long they count, and what strangers can cost."""

from __future__ import annotations

import asyncio
import ssl
from datetime import UTC, datetime
from typing import Any

import aiohttp
import pytest

from panal.hub.scrape import readers
from panal.hub.scrape.exposition import Exposition
from panal.hub.scrape.readers import ACCESS_REVIEW, BUSY, NO_PERMISSION, NO_REVIEW, NO_TOKEN, TOKEN_REVIEW, WRONG_TOKEN, YES, Readers
from panal.hub.server import Protected, served
from panal.kube.errors import ApiError, Forbidden, Unauthorized, Unavailable
from panal.kube.kinds import Kind
from panal.kube.objects import Object
from panal.kube.serving import self_signed
from processes import free_port

USERS = {"reader": "system:serviceaccount:monitoring:prometheus", "stranger": "system:serviceaccount:default:default"}
MAY = {USERS["reader"]}


class Reviews:
    """An API server that knows the tokens of USERS. `error`: what it raises instead."""

    def __init__(self) -> None:
        self.asked: list[tuple[Kind | None, dict[str, Any]]] = []
        self.error: ApiError | None = None
        self.may = set(MAY)
        self.now = 0.0

    def clock(self) -> float:
        return self.now

    async def create(self, obj: Object, kind: Kind | None = None) -> Object:
        await asyncio.sleep(0)
        self.asked.append((kind, obj["spec"]))
        if self.error:
            raise self.error
        if kind == TOKEN_REVIEW:
            user = USERS.get(obj["spec"]["token"])
            return (
                {"status": {"authenticated": True, "user": {"username": user, "uid": "1", "groups": ["g"], "extra": {"k": ["v"]}}}}
                if (user)
                else {"status": {"error": "not a token"}}
            )
        return {"status": {"allowed": obj["spec"]["user"] in self.may}}


@pytest.fixture
def api() -> Reviews:
    return Reviews()


@pytest.fixture
def who(api: Reviews) -> Readers:
    return Readers(api, api.clock)


async def test_a_reader_is_asked_about_with_all_that_the_token_says(api: Reviews, who: Readers) -> None:
    assert await who.answer("Bearer reader", "10.0.0.1") == YES
    attributes = {"nonResourceAttributes": {"path": "/metrics", "verb": "get"}}
    user = {"user": USERS["reader"], "uid": "1", "groups": ["g"], "extra": {"k": ["v"]}}
    assert api.asked == [(TOKEN_REVIEW, {"token": "reader"}), (ACCESS_REVIEW, attributes | user)]


@pytest.mark.parametrize(
    ("header", "answer"),
    [
        ("", NO_TOKEN),
        ("Bearer", NO_TOKEN),
        ("Basic cmVhZGVy", NO_TOKEN),
        ("Bearer two words", NO_TOKEN),
        ("Bearer \N{SNOWMAN}", NO_TOKEN),
        ("Bearer " + "x" * 20000, NO_TOKEN),
        ("Bearer unknown", WRONG_TOKEN),
        ("Bearer stranger", NO_PERMISSION),
        ("bearer  reader ", YES),
    ],
)
async def test_answers(who: Readers, header: str, answer: object) -> None:
    assert await who.answer(header, "10.0.0.1") == answer


@pytest.mark.parametrize(
    "status",
    [
        {},
        {"authenticated": "true", "user": {"username": "x"}},
        {"authenticated": True},
        {"authenticated": True, "user": {"username": ""}},
        {"authenticated": False, "user": {"username": "x"}},
    ],
)
async def test_a_review_that_does_not_say_yes_is_a_no(status: Object) -> None:
    class Odd(Reviews):
        async def create(self, obj: Object, kind: Kind | None = None) -> Object:
            return {"status": status}

    assert await Readers(Odd()).answer("Bearer x", "10.0.0.1") == WRONG_TOKEN


@pytest.mark.parametrize("status", [{}, {"allowed": "yes"}, {"allowed": False}, {"allowed": True, "denied": True}])
async def test_a_permission_that_is_not_given_is_a_no(status: Object) -> None:
    class Odd(Reviews):
        async def create(self, obj: Object, kind: Kind | None = None) -> Object:
            return await super().create(obj, kind) if kind == TOKEN_REVIEW else {"status": status}

    assert await Readers(Odd()).answer("Bearer reader", "10.0.0.1") == NO_PERMISSION


@pytest.mark.parametrize("token", ["reader", "stranger"])
async def test_an_answer_counts_for_a_while_and_those_who_ask_together_share_it(api: Reviews, who: Readers, token: str) -> None:
    first = await asyncio.gather(*(who.answer(f"Bearer {token}", "10.0.0.1") for _ in range(5)))
    assert len(api.asked) == 2
    api.now += readers.SECONDS - 1
    assert await who.answer(f"Bearer {token}", "10.0.0.1") == first[0]
    assert len(api.asked) == 2
    api.now += 1
    api.may ^= {USERS[token]}
    assert await who.answer(f"Bearer {token}", "10.0.0.1") == (NO_PERMISSION if token == "reader" else YES)
    assert await who.answer(f"Bearer {token}", "10.0.0.1") == (NO_PERMISSION if token == "reader" else YES)
    assert len(api.asked) == 4


@pytest.mark.parametrize(
    ("error", "known"),
    [
        (Unavailable(0, "", "no route"), YES),
        (Forbidden(403, "Forbidden", "cannot create tokenreviews"), NO_REVIEW),
        (Unauthorized(401, "Unauthorized", "the controller's own token"), NO_REVIEW),
    ],
)
async def test_without_an_api_server_readers_go_on_for_a_while_and_nobody_else(
    api: Reviews, who: Readers, error: ApiError, known: object
) -> None:
    await who.answer("Bearer reader", "10.0.0.1")
    await who.answer("Bearer stranger", "10.0.0.1")
    api.error, api.now = error, readers.SECONDS
    assert await who.answer("Bearer reader", "10.0.0.1") == known
    assert await who.answer("Bearer stranger", "10.0.0.1") == NO_REVIEW
    assert await who.answer("Bearer unknown", "10.0.0.1") == NO_REVIEW
    api.now = readers.SECONDS + readers.OUTAGE
    assert await who.answer("Bearer reader", "10.0.0.1") == NO_REVIEW
    api.error = None
    assert await who.answer("Bearer reader", "10.0.0.1") == YES


async def flooded(who: Readers, numbers: range, pods: int) -> list[object]:
    """The answers to as many unknown tokens, which so many Pods send."""
    return list(await asyncio.gather(*(who.answer(f"Bearer {number}", f"10.0.1.{number % pods}") for number in numbers)))


async def test_strangers_do_not_flood_the_api_server_nor_lock_readers_out(api: Reviews, who: Readers) -> None:
    await who.answer("Bearer reader", "10.0.0.1")
    api.now += readers.SECONDS
    answers = await flooded(who, range(1000), 100)
    assert answers.count(WRONG_TOKEN) == readers.RATE
    assert answers.count(BUSY) == 1000 - readers.RATE
    assert await who.answer("Bearer reader", "10.0.0.1") == YES
    api.now += 0.5
    assert (await flooded(who, range(1000, 2000), 100)).count(WRONG_TOKEN) == readers.RATE / 2


async def test_one_pod_does_not_lock_out_a_reader_whose_token_is_new(api: Reviews, who: Readers) -> None:
    for second in range(10):
        answers = await flooded(who, range(1000 * second, 1000 * second + 1000), 1)
        assert answers.count(WRONG_TOKEN) == readers.EACH
        api.now += 1
    await flooded(who, range(20000, 21000), 1)
    assert await who.answer("Bearer reader", "10.0.0.1") == YES


async def test_the_addresses_that_are_remembered_are_bounded(api: Reviews, who: Readers) -> None:
    for second in range(10):
        await flooded(who, range(1000 * second, 1000 * second + 1000), 200)
        assert len(who._each) <= readers.RATE
        api.now += 1


async def test_what_is_remembered_is_bounded(api: Reviews, who: Readers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readers, "MOST_REFUSED", 3)
    await who.answer("Bearer reader", "10.0.0.1")
    for number in range(10):
        await who.answer(f"Bearer {number}", "10.0.0.1")
        api.now += 1
    assert (len(who._accepted), len(who._refused), len(who._asking)) == (1, 3, 0)


async def test_the_endpoint_asks_for_a_token_and_probes_need_none(api: Reviews) -> None:
    probes, port = free_port(), free_port()
    protected = Protected(port, self_signed("panal-metrics.panal-system.svc", datetime.now(UTC)), Readers(api))
    async with served(probes, list, Exposition(lambda: None), protected), aiohttp.ClientSession() as session:

        async def get(url: str, token: str = "") -> tuple[int, str]:
            headers = {"Authorization": f"Bearer {token}"} if token else {}
            async with session.get(url, headers=headers, ssl=False) as answer:
                assert ("WWW-Authenticate" in answer.headers) is (answer.status == 401)
                return answer.status, await answer.text()

        metrics = f"https://127.0.0.1:{port}/metrics"
        for path in ("healthz", "readyz"):
            assert await get(f"http://127.0.0.1:{probes}/{path}") == (200, "ok\n")
            assert (await get(f"https://127.0.0.1:{port}/{path}", "reader"))[0] == 404
        assert (await get(f"http://127.0.0.1:{probes}/metrics", "reader"))[0] == 404
        for token, answer in (("", NO_TOKEN), ("unknown", WRONG_TOKEN), ("stranger", NO_PERMISSION)):
            assert await get(metrics, token) == (answer.status, answer.text)
        status, text = await get(metrics, "reader")
        assert (status, "panal_leader" in text) == (200, True)
        with pytest.raises(aiohttp.ClientError):
            await get(f"http://127.0.0.1:{port}/metrics", "reader")


async def test_the_certificate_names_the_service(api: Reviews) -> None:
    name, port = "panal-metrics.panal-system.svc", free_port()
    async with served(free_port(), list, Exposition(lambda: None), Protected(port, self_signed(name, datetime.now(UTC)), Readers(api))):
        pem = await asyncio.to_thread(ssl.get_server_certificate, ("127.0.0.1", port))
        trusting = ssl.create_default_context(cadata=pem)
        async with aiohttp.ClientSession() as session:
            async with session.get(f"https://127.0.0.1:{port}/metrics", ssl=trusting, server_hostname=name) as answer:
                assert answer.status == 401
            with pytest.raises(aiohttp.ClientConnectorCertificateError):
                await session.get(f"https://127.0.0.1:{port}/metrics", ssl=trusting, server_hostname="other.svc")
