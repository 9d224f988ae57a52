"""Host names of aggregators: resolved when wanted, reported when they change, and kept while they are valid."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest

from panal.hub.resolve import Resolver


async def resolve(resolver: Resolver, changed: list[str], count: int) -> None:
    task = asyncio.create_task(resolver.run())
    with suppress(TimeoutError):
        async with asyncio.timeout(10):
            while len(changed) < count:
                await asyncio.sleep(0.01)
    task.cancel()


async def test_a_wanted_name_is_resolved() -> None:
    changed: list[str] = []
    resolver = Resolver(changed.append)
    resolver.want("localhost")
    assert resolver.known == {}
    await resolve(resolver, changed, 1)
    assert changed == ["localhost"]
    assert resolver.known == {"localhost": "127.0.0.1"}


async def test_a_new_address_is_reported_and_a_valid_one_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    changed: list[str] = []
    resolver = Resolver(changed.append)
    answers = [["10.0.0.2"], ["10.0.0.1", "10.0.0.2"], ["10.0.0.1"]]

    async def answer(*_: object, **__: object) -> list[tuple[object, ...]]:
        return [(None, None, None, "", (a, 0)) for a in answers.pop(0)]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", answer)
    found = []
    resolver.want("hub.example")
    for _ in range(3):
        await resolver._resolve("hub.example")
        found.append(resolver.known["hub.example"])
    assert found == ["10.0.0.2", "10.0.0.2", "10.0.0.1"]
    assert changed == ["hub.example", "hub.example"]


async def test_an_unresolved_name_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    resolver = Resolver(lambda _: None)
    resolver.want("no-such-name.invalid")
    await resolver._resolve("no-such-name.invalid")
    assert resolver.known == {}
    assert "no-such-name.invalid" in caplog.text
