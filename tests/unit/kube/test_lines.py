"""The lines of a stream: whoever writes one without an end costs neither memory nor computing time."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

import pytest

from panal.kube import connection
from panal.kube.errors import Unavailable


def response(chunks: list[bytes]) -> Any:
    async def arriving():
        for chunk in chunks:
            yield chunk

    return SimpleNamespace(content=SimpleNamespace(iter_any=arriving))


async def lines(*chunks: bytes, text: bool = False) -> list[bytes]:
    return [line async for line in connection._lines(response(list(chunks)), text)]


async def test_lines_are_joined_and_empty_ones_left_out():
    assert await lines(b"a", b"b\nc\n\n", b"\nd", b"\ne") == [b"ab", b"c", b"d"]
    assert await lines(b"a", b"b\nc\n\n", b"\nd", b"\ne", text=True) == [b"ab", b"c", b"d", b"e"]


async def test_a_long_line_of_a_log_is_cut_and_the_next_one_is_whole(monkeypatch):
    monkeypatch.setattr(connection, "LONGEST_TEXT", 4)
    assert await lines(b"1234567\nabcd\n12", b"345", b"67\nabc\n12345", text=True) == [b"1234", b"abcd", b"1234", b"abc", b"1234"]


async def test_a_line_of_a_log_that_never_ends_is_shown_at_once(monkeypatch):
    monkeypatch.setattr(connection, "LONGEST_TEXT", 4)

    async def endless():
        while True:
            yield b"123"

    stream: Any = SimpleNamespace(content=SimpleNamespace(iter_any=endless))
    assert await anext(connection._lines(stream, True)) == b"1231"


async def test_a_long_line_of_a_watch_is_an_error(monkeypatch):
    monkeypatch.setattr(connection, "LONGEST", 4)
    assert await lines(b"1234\n12", b"34", b"\n") == [b"1234", b"1234"]
    for chunks in ([b"12345\n"], [b"1234", b"5"]):
        with pytest.raises(Unavailable, match="a line of more than"):
            await lines(*chunks)


async def test_a_line_in_many_pieces_takes_time_in_proportion_to_its_length():
    began = time.process_time()
    (line,) = await lines(*[b"x" * 100] * 200_000, b"\n")
    assert len(line) == 20_000_000
    assert time.process_time() - began < 3
