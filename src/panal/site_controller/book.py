"""The files of the ledger: `ledger.jsonl`, and the full ones before it, `ledger-NUMBER.jsonl`, named by their first entry.

An entry counts when it is on the disk. What cannot be read back or written is a problem: without a ledger nothing is allowed. `keep` looks
again, so that the owner only has to mend it.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import hashlib
import logging
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from panal.evidence.canonical import canonical
from panal.evidence.ledger import BrokenLedgerError, Entry, Head, checked, sealed
from panal.evidence.sealed import public_pem, signed
from panal.site.accounts import Accounts
from panal.site.entries import Kind

log = logging.getLogger(__name__)

LEDGER, KEY, LOCK = "ledger.jsonl", "key.pub", "lock"
LARGEST = 64 << 20  # bytes of a file
LOOK_AGAIN = 10.0  # seconds
T = TypeVar("T")


class LedgerUnavailableError(Exception):
    """The entry was not written. The message says why."""


def files(folder: Path) -> list[Path]:
    """Those that there are, in the order of their entries."""
    current = folder / LEDGER
    return [*sorted(folder.glob("ledger-*.jsonl")), *([current] if current.exists() else [])]


def lines(folder: Path) -> Iterator[bytes]:
    """All whole lines of the ledger, whose files another process may be writing. One without an end is being written."""
    with contextlib.ExitStack() as opened:
        while True:
            paths = files(folder)
            with contextlib.suppress(FileNotFoundError):
                found = [opened.enter_context(path.open("rb")) for path in paths]
                if files(folder) == paths:  # no other file has begun meanwhile
                    break
        for file in found:
            yield from whole(file)


def whole(file: Iterable[bytes]) -> Iterator[bytes]:
    """The lines that have an end."""
    return (line for line in file if line.endswith(b"\n"))


def written(moment: datetime) -> str:
    """RFC 3339 in UTC, with milliseconds."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class Book:
    """`problem`: why nothing can be recorded; empty if it can. `accounts` follow the entries."""

    def __init__(self, folder: Path, key: Ed25519PrivateKey, now: Callable[[], datetime], version: str, largest: int = LARGEST) -> None:
        self.accounts = Accounts()
        self.problem = "the ledger has not been read yet"
        self._folder = folder
        self._key = key
        self._now = now
        self._version = version
        self._largest = largest
        self._head = Head()
        self._file: BinaryIO | None = None
        self._first = 1  # number of the first entry of the file
        self._writing = asyncio.Lock()
        self._busy = threading.Lock()  # of the thread that reads or writes, which nothing cancels
        self._lock: BinaryIO | None = None

    @property
    def public_key(self) -> Ed25519PublicKey:
        return self._key.public_key()

    def signature(self, hash_: str) -> str:
        """Of a receipt, by its SHA-256."""
        return signed(hash_, self._key)

    async def open(self) -> None:
        """Reads everything. Sets `problem`."""
        async with self._writing:
            await _ended(_in_thread(self._open))

    async def keep(self, again: Callable[[], object]) -> None:
        """Until cancelled. `again` is called when a problem has gone."""
        while True:
            await asyncio.sleep(LOOK_AGAIN)
            if self.problem:
                await self.open()
                if not self.problem:
                    log.info("the ledger can be written again")
                    again()

    async def write(self, kind: Kind, **content: Any) -> Entry:
        """Returns when it is on the disk, also if it is cancelled meanwhile. Raises LedgerUnavailableError."""
        async with self._writing:
            writing = _in_thread(lambda: self._write(kind, content))
            try:
                await _ended(writing)
            finally:  # accounts change between two steps of the event loop only, whose tasks read them
                if writing.exception() is None:
                    self.accounts.add(writing.result())
            return writing.result()

    def close(self) -> None:
        with self._busy:
            for file in (self._file, self._lock):
                if file:
                    file.close()
            self._file, self._lock = None, None
            self.problem = self.problem or "the ledger is closed"

    # --- in a thread ----------------------------------------------------------------------------------------------
    def _open(self) -> None:
        with self._busy:
            self._reopen()

    def _reopen(self) -> None:
        if self._file:
            self._file.close()
            self._file = None
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._lock_folder()
            self._read()
        except BrokenLedgerError as error:
            self._problem(f"the ledger in {self._folder} is broken: {error}: move its files away, messages/ as well, and keep them")
        except OSError as error:
            self._problem(f"the ledger in {self._folder} cannot be read: {error}")
        except LedgerUnavailableError:
            pass  # the problem is set

    def _lock_folder(self) -> None:
        """Raises BlockingIOError while another process has it."""
        if self._lock is None:
            self._lock = (self._folder / LOCK).open("ab")
        fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def _read(self) -> None:
        public = self._key.public_key()
        (self._folder / KEY).write_text(public_pem(public))
        current, accounts, head = self._folder / LEDGER, Accounts(), Head()
        rest = cut(current)
        first = 1
        for path in files(self._folder):
            first = head.number + 1
            with path.open("rb") as file:
                for entry in checked(whole(file), public, head):
                    head = Head(entry["number"], entry["hash"])
                    accounts.add(entry)
        if not current.exists():
            first = head.number + 1
        self._file = current.open("ab")
        self._head, self._first, self.accounts, self.problem = head, first, accounts, ""
        if rest:  # no accounts follow from these two
            self._append(Kind.CUT, {"bytes": len(rest), "sha256": hashlib.sha256(rest).hexdigest()})
        self._append(Kind.STARTED, {"version": self._version})

    def _write(self, kind: Kind, content: dict[str, Any]) -> Entry:
        with self._busy:
            return self._append(kind, content)

    def _append(self, kind: Kind, content: dict[str, Any]) -> Entry:
        if self._file is None or self.problem:
            raise LedgerUnavailableError(self.problem)
        content = {**content, **self.accounts.noted(kind, content)}
        entry, head = sealed({"time": written(self._now()), "kind": kind.value, **content}, self._head, self._key)
        size = self._file.tell()
        try:
            self._file.write(canonical(entry) + b"\n")
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            self._take_back(size)
            self._problem(f"the ledger in {self._folder} cannot be written: {error}")
            raise LedgerUnavailableError(self.problem) from error
        self._head = head
        if self._file.tell() >= self._largest:
            self._begin_another()
        return entry

    def _take_back(self, size: int) -> None:
        """What was written of an entry. If that fails as well, it is cut off when the ledger is read again."""
        file, self._file = self._file, None
        if file is None:
            return
        with contextlib.suppress(OSError):
            os.ftruncate(file.fileno(), size)
        with contextlib.suppress(OSError):
            file.close()

    def _begin_another(self) -> None:
        current = self._folder / LEDGER
        try:
            current.rename(self._folder / f"ledger-{self._first:012d}.jsonl")
            sync(self._folder)
            if self._file:
                self._file.close()
            self._file, self._first = current.open("ab"), self._head.number + 1
        except OSError as error:
            self._problem(f"the ledger in {self._folder} cannot be continued: {error}")

    def _problem(self, text: str) -> None:
        if text != self.problem:
            log.error("%s", text)
        self.problem = text


def _in_thread(work: Callable[[], T]) -> asyncio.Future[T]:
    """No task, so that the end of the event loop does not cancel it."""
    return asyncio.get_running_loop().run_in_executor(None, work)


async def _ended(working: asyncio.Future[Any]) -> None:
    """Waits for what a thread does, also when it is cancelled, which it raises at the end: until then nothing else may begin."""
    cancelled: asyncio.CancelledError | None = None
    while not working.done():
        try:
            await asyncio.wait([working])
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled:
        raise cancelled
    working.result()


def cut(path: Path) -> bytes:
    """Takes what follows the last whole line off the file, and returns it."""
    if not path.exists():
        return b""
    with path.open("r+b") as file:
        size = at = file.seek(0, os.SEEK_END)
        while at > 0:
            start = max(0, at - 65536)
            file.seek(start)
            found = file.read(at - start).rfind(b"\n")
            if found >= 0:
                at = start + found + 1
                break
            at = start
        if at == size:
            return b""
        file.seek(at)
        rest = file.read()
        file.truncate(at)
        file.flush()
        os.fsync(file.fileno())
        return rest


def sync(folder: Path) -> None:
    number = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
