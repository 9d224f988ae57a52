"""Names of aggregators' addresses: looked up once they are wanted, told when they change, and kept while they are still true."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest

from panal.hub.resolve import Resolver


async def looked_up(resolver: Resolver, told: list[str], count: int) -> None:
    task = asyncio.create_task(resolver.run())
    with suppress(TimeoutError):
        async with asyncio.timeout(10):
            while len(told) < count:
                await asyncio.sleep(0.01)
    task.cancel()


async def test_a_name_is_known_after_it_was_wanted() -> None:
    told: list[str] = []
    resolver = Resolver(told.append)
    resolver.want("localhost")
    assert resolver.known == {}
    await looked_up(resolver, told, 1)
    assert told == ["localhost"]
    assert resolver.known == {"localhost": "127.0.0.1"}


async def test_a_new_address_is_told_and_one_that_is_still_true_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    resolver = Resolver(told.append)
    answers = [["10.0.0.2"], ["10.0.0.1", "10.0.0.2"], ["10.0.0.1"]]

    async def answer(*_: object, **__: object) -> list[tuple[object, ...]]:
        return [(None, None, None, "", (a, 0)) for a in answers.pop(0)]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", answer)
    found = []
    resolver.want("hub.example")
    for _ in range(3):
        await resolver._look("hub.example")
        found.append(resolver.known["hub.example"])
    assert found == ["10.0.0.2", "10.0.0.2", "10.0.0.1"]
    assert told == ["hub.example", "hub.example"]


async def test_a_name_that_cannot_be_resolved_is_asked_for_again(caplog: pytest.LogCaptureFixture) -> None:
    resolver = Resolver(lambda _: None)
    resolver.want("no-such-name.invalid")
    await resolver._look("no-such-name.invalid")
    assert resolver.known == {}
    assert "no-such-name.invalid" in caplog.text
