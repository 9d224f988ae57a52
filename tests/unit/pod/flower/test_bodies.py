"""Bodies of requests and answers that wait in files."""

import asyncio

import pytest

from panal.pod.tools.flower import bodies
from panal.pod.tools.flower.bodies import Bodies, NoSpaceError

LARGE = bytes(range(256)) * 4096  # 1 MiB


def request(*pieces, then=None):
    """`receive` of a request with these pieces, and what it does when they are read."""
    messages = [{"type": "http.request", "body": piece, "more_body": piece is not pieces[-1] or then is not None} for piece in pieces]

    async def receive():
        if messages:
            return messages.pop(0)
        return await then() if then else {"type": "http.disconnect"}

    return receive


class Echo:
    """An app that answers with what it has received, in two pieces."""

    def __init__(self):
        self.pieces, self.now, self.most = [], 0, 0

    async def __call__(self, scope, receive, send):
        self.now += 1
        self.most = max(self.most, self.now)
        message = await receive()
        self.pieces.append(message)
        await asyncio.sleep(0)
        await send({"type": "http.response.start", "status": 200})
        body = message["body"]
        await send({"type": "http.response.body", "body": body[:10], "more_body": True})
        await send({"type": "http.response.body", "body": body[10:]})
        self.now -= 1


class Sent:
    def __init__(self):
        self.messages = []

    async def __call__(self, message):
        self.messages.append(message)

    @property
    def body(self):
        return b"".join(message.get("body", b"") for message in self.messages)


async def test_a_body_reaches_the_app_in_one_piece():
    app, sent, heard = Echo(), Sent(), []
    await Bodies(app).receive({}, request(LARGE[:1000], LARGE[1000:]), sent, lambda: heard.append(1))
    assert app.pieces == [{"type": "http.request", "body": LARGE, "more_body": False}]
    assert sent.body == LARGE
    assert len(heard) == 2


async def test_an_answer_leaves_in_small_pieces():
    sent = Sent()
    await Bodies(Echo()).answer({}, request(LARGE), sent)
    assert sent.body == LARGE
    assert [m["type"] for m in sent.messages[:2]] == ["http.response.start", "http.response.body"]
    assert max(len(m.get("body", b"")) for m in sent.messages) == bodies.PIECE
    assert [m["more_body"] for m in sent.messages[1:]] == [True] * 4 + [False]


async def test_a_client_that_leaves_is_not_handled():
    app, sent = Echo(), Sent()

    async def leave():
        return {"type": "http.disconnect"}

    await Bodies(app).receive({}, request(LARGE, then=leave), sent)
    assert app.pieces == sent.messages == []


async def test_slow_bodies_take_nobodys_place_and_few_are_handled_at_a_time():
    app, forever = Echo(), asyncio.Event()
    kept = Bodies(app)
    slow = [asyncio.create_task(kept.receive({}, request(LARGE, then=forever.wait), Sent())) for _ in range(5 * bodies.AT_A_TIME)]
    quick = [kept.receive({}, request(LARGE), Sent()) for _ in range(3 * bodies.AT_A_TIME)]
    await asyncio.wait_for(asyncio.gather(*quick), 30)
    assert len(app.pieces) == len(quick)
    assert app.most <= bodies.AT_A_TIME
    for task in slow:
        task.cancel()
    await asyncio.gather(*slow, return_exceptions=True)


async def test_slow_readers_take_nobodys_place():
    kept, forever = Bodies(Echo()), asyncio.Event()

    async def never(_message):
        await forever.wait()

    slow = [asyncio.create_task(kept.answer({}, request(LARGE), never)) for _ in range(3 * bodies.AT_A_TIME)]
    sent = Sent()
    await asyncio.wait_for(kept.answer({}, request(LARGE), sent), 30)
    assert sent.body == LARGE
    for task in slow:
        task.cancel()
    await asyncio.gather(*slow, return_exceptions=True)


@pytest.mark.parametrize("way", ["receive", "answer"])
async def test_without_space_nothing_is_answered(tmp_path, monkeypatch, way):
    monkeypatch.setenv("PANAL_TMP", str(tmp_path / "absent"))
    sent = Sent()
    with pytest.raises(NoSpaceError, match="temporary file"):
        await getattr(Bodies(Echo()), way)({}, request(LARGE), sent)
    assert sent.messages == []
