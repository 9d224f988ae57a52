"""The ledger's files: what is written stays, whatever happens to the process, the file or the disk."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from panal.evidence.ledger import checked
from panal.evidence.sealed import fingerprint
from panal.site.accounts import Accounts
from panal.site.entries import Kind
from panal.site_controller.book import KEY, LEDGER, Book, LedgerUnavailableError, files, lines
from panal.site_controller.ledger import moment

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
SIGNS = Ed25519PrivateKey.generate()
POD = {"pod": "p", "podUid": "1", "request": "r", "run": "team/study", "uid": "u"}


def book(folder: Path, key: Ed25519PrivateKey = SIGNS, largest: int = 1 << 20) -> Book:
    return Book(folder, key, lambda: NOW, "1", largest)


async def opened(folder: Path, **options: Any) -> Book:
    found = book(folder, **options)
    await found.open()
    return found


def entries(folder: Path) -> list[dict[str, Any]]:
    return list(checked(lines(folder), SIGNS.public_key()))


async def test_it_goes_on_after_a_restart(tmp_path: Path) -> None:
    first = await opened(tmp_path)
    await first.write(Kind.LEFT, **POD, type="train", round="1", digest="d", announcement="a", bytes=7)
    first.close()
    again = await opened(tmp_path)
    assert not again.problem
    assert (again.accounts.runs["u"].bytes, again.accounts.runs["u"].replies) == (7, {"train": 1})
    await again.write(Kind.ENDED, **POD, bytes=7, rounds=["1"], replies=1)
    assert not again.accounts.pods
    assert [each["kind"] for each in entries(tmp_path)] == ["started", "left", "started", "ended"]
    assert entries(tmp_path)[0]["time"] == "2026-03-01T12:00:00.000Z"
    again.close()


async def test_a_half_written_line_is_cut_off_and_recorded(tmp_path: Path) -> None:
    (await opened(tmp_path)).close()
    with (tmp_path / LEDGER).open("ab") as file:
        file.write(b"x" * 200_000)
    (await opened(tmp_path)).close()
    cut = entries(tmp_path)[1]
    assert (cut["kind"], cut["bytes"]) == ("cut", 200_000)


async def test_full_files_are_put_aside_and_the_chain_goes_on(tmp_path: Path) -> None:
    first = await opened(tmp_path, largest=1500)
    for _ in range(20):
        await first.write(Kind.SENT, **POD, requests=1, bytes=1)
    first.close()
    assert len(files(tmp_path)) > 3
    numbers = [int(path.stem.partition("-")[2]) for path in files(tmp_path)[:-1]]
    assert numbers == [json.loads(path.read_text().splitlines()[0])["number"] for path in files(tmp_path)[:-1]]
    again = await opened(tmp_path, largest=1500)
    assert again.accounts.runs["u"].bytes == 20
    again.close()
    assert [each["number"] for each in entries(tmp_path)] == list(range(1, 23))


async def test_a_broken_ledger_is_left_as_it_is(tmp_path: Path) -> None:
    first = await opened(tmp_path)
    await first.write(Kind.SENT, **POD, requests=1, bytes=1)
    first.close()
    file = tmp_path / LEDGER
    broken = file.read_text().replace('"requests":1', '"requests":2')
    file.write_text(broken)
    again = await opened(tmp_path)
    assert "entry 2 was changed" in again.problem
    with pytest.raises(LedgerUnavailableError, match="entry 2"):
        await again.write(Kind.SENT, **POD, requests=1, bytes=1)
    assert file.read_text() == broken
    file.unlink()
    await again.open()
    assert not again.problem
    again.close()


async def test_another_key_is_not_this_ledgers(tmp_path: Path) -> None:
    (await opened(tmp_path)).close()
    other = await opened(tmp_path, key=Ed25519PrivateKey.generate())
    assert "was not signed with this key" in other.problem
    other.close()


async def test_two_processes_do_not_write_one_ledger(tmp_path: Path) -> None:
    one = await opened(tmp_path)
    two = await opened(tmp_path)
    assert "cannot be read" in two.problem
    one.close()
    await two.open()
    assert not two.problem
    two.close()


async def test_what_does_not_reach_the_disk_did_not_happen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = await opened(tmp_path)

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(LedgerUnavailableError, match="No space left"):
            await first.write(Kind.LEFT, **POD, type="train", round="1", digest="d", announcement="a", bytes=7)
        assert not first.accounts.runs
        await first.open()
        assert "No space left" in first.problem
    await first.open()
    assert not first.problem
    first.close()
    assert [each["kind"] for each in entries(tmp_path)] == ["started", "started"]


@contextmanager
def slow_disk(patched: pytest.MonkeyPatch) -> Iterator[tuple[threading.Event, threading.Event]]:
    """The first sync sets `begun`, and then waits for `goes_on`."""
    begun, goes_on, sync = threading.Event(), threading.Event(), os.fsync

    def slow(number: int) -> None:
        if not begun.is_set():
            begun.set()
            assert goes_on.wait(10)
        sync(number)

    with patched.context() as here:
        here.setattr(os, "fsync", slow)
        yield begun, goes_on
        goes_on.set()


async def test_who_is_cancelled_while_writing_lets_nobody_in_before_the_entry_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As every task is at SIGTERM."""
    found = await opened(tmp_path)
    with slow_disk(monkeypatch) as (begun, goes_on):
        one = asyncio.create_task(found.write(Kind.SENT, **POD, requests=1, bytes=1))
        await asyncio.to_thread(begun.wait)
        one.cancel()
        other = asyncio.create_task(found.write(Kind.SENT, **POD, requests=1, bytes=2))
        await asyncio.wait([other], timeout=0.2)
        one.cancel()
        goes_on.set()
        with pytest.raises(asyncio.CancelledError):
            await one
        await other
    assert found.accounts.runs["u"].bytes == 3
    found.close()
    assert [each.get("bytes") for each in entries(tmp_path)] == [None, 1, 2]
    again = await opened(tmp_path)
    assert not again.problem
    again.close()


async def test_it_is_closed_when_the_entry_that_is_being_written_is_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = await opened(tmp_path)
    with slow_disk(monkeypatch) as (begun, goes_on):
        writing = asyncio.create_task(found.write(Kind.SENT, **POD, requests=1, bytes=1))
        await asyncio.to_thread(begun.wait)
        closing = asyncio.create_task(asyncio.to_thread(found.close))
        await asyncio.wait([closing], timeout=0.2)
        assert not closing.done()
        goes_on.set()
        await asyncio.gather(writing, closing)
    with pytest.raises(LedgerUnavailableError, match="closed"):
        await found.write(Kind.SENT, **POD, requests=1, bytes=1)
    assert len(entries(tmp_path)) == 2


async def test_accounts_change_in_the_thread_of_the_event_loop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found, threads = await opened(tmp_path), []
    monkeypatch.setattr(Accounts, "add", lambda *_: threads.append(threading.current_thread()))
    await found.write(Kind.SENT, **POD, requests=1, bytes=1)
    assert threads == [threading.current_thread()]
    found.close()


async def test_a_file_that_begins_while_the_ledger_is_read_costs_no_entry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = await opened(tmp_path)
    for number in range(3):
        await found.write(Kind.SENT, **POD, requests=number, bytes=1)
    was, moved = Path.open, []

    def late(path: Path, *args: Any) -> Any:
        if path.name == LEDGER and not moved:
            moved.append(path.rename(tmp_path / "ledger-000000000001.jsonl"))
            path.touch()
        return was(path, *args)

    monkeypatch.setattr(Path, "open", late)
    assert [each["number"] for each in entries(tmp_path)] == [1, 2, 3, 4]
    assert moved
    found.close()


def command(folder: Path, *args: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PANAL_LEDGER_DIR": str(folder)}
    program = [sys.executable, "-m", "panal.site_controller.ledger", *args]
    return subprocess.run(program, env=env, capture_output=True, text=True, check=False)


async def test_the_command_prints_entries_and_the_head(tmp_path: Path) -> None:
    first = await opened(tmp_path)
    entry = await first.write(Kind.SENT, **POD, requests=1, bytes=1)
    first.close()
    with (tmp_path / LEDGER).open("ab") as file:
        file.write(b'{"number":3')  # is being written
    key = (tmp_path / KEY).read_text()
    printed = [json.loads(line) for line in command(tmp_path, "--verify", "--run", "team/study").stdout.splitlines()]
    assert printed == [entry, {"number": 2, "hash": entry["hash"], "key": key, "fingerprint": fingerprint(SIGNS.public_key())}]
    assert not command(tmp_path, "--since", "1d", "--run", "team/other").stdout
    file_text = (tmp_path / LEDGER).read_text()
    (tmp_path / LEDGER).write_text(file_text.replace('"requests":1', '"requests":2'))
    done = command(tmp_path, "--verify")
    assert (done.returncode, done.stdout) == (1, "")
    assert "entry 2 was changed" in done.stderr
    for wrong in ("long", "999999w"):
        done = command(tmp_path, "--runs", "--since", wrong)
        assert (done.returncode, "write 7d" in done.stderr) == (2, True)
    assert command(tmp_path, "--unknown").returncode == 2


def test_times_are_ago_or_of_a_calendar() -> None:
    assert moment("7d", NOW) == datetime(2026, 2, 22, 12, tzinfo=UTC)
    assert moment("2026-02-01", NOW) == datetime(2026, 2, 1, tzinfo=UTC)
    assert moment("2026-02-01T00:00:00Z", NOW) == moment("2026-02-01", NOW)
