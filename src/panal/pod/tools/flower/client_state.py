"""Keeps the state of a client app (`context.state`) at its site, so that a run that goes on after a round continues with the state that the
client had after that round.

The server marks its messages with the attempt of the run, the round, and the round after which the attempt goes on (0: it began with the
first). After each message the state is written to a file of its round; the files of the last KEPT rounds are kept. Nothing of it leaves the
site except a digest with a key of the site's own (HMAC-SHA256), by which the server sees whether the state is the expected one.
"""

from __future__ import annotations

import contextlib
import hmac
import os
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..files import log_line, read_json, replace, write_json

KEPT = 3  # rounds: the server can be one checkpoint behind, and a damaged one more
KEY, CURRENT = "key", "current.json"


@dataclass(frozen=True)
class Mark:
    """What the server says of a message."""

    attempt: str
    round: int
    resumed: int

    @classmethod
    def of(cls, record: Any) -> Mark | None:
        """None unless the record is a mark."""
        attempt, round_, resumed = (record.get(name) for name in ("attempt", "round", "resumed"))
        if not isinstance(attempt, str) or not 0 < len(attempt) <= 64:
            return None
        if not all(isinstance(number, int) and 0 <= number < 1 << 62 for number in (round_, resumed)):
            return None
        return cls(attempt, round_, resumed)


def folder() -> Path:
    return Path(os.environ.get("PANAL_WORK_DIR", "/panal/work")) / "state"


@dataclass
class States:
    """The states of this site in `where`, as bytes."""

    where: Path

    def before(self, mark: Mark) -> bytes | None:
        """The state with which the client begins this message; empty if it has none; None if this attempt has no file, because the state
        is in Flower's memory or there is none."""
        current = read_json(self.where / CURRENT) or {}
        if current.get("attempt") == mark.attempt:
            rounds = self._rounds()
            return self._file(rounds[-1]).read_bytes() if rounds else None
        for number in self._rounds():
            if number > mark.resumed:
                self._file(number).unlink(missing_ok=True)
        left = self._rounds()
        self.where.mkdir(parents=True, exist_ok=True)
        write_json(self.where / CURRENT, {"attempt": mark.attempt})
        return self._file(left[-1]).read_bytes() if left else b""

    def after(self, mark: Mark, state: bytes) -> None:
        """Keeps the state after this message. A client that never had a state has no files."""
        rounds = self._rounds()
        if not state and not rounds:
            return
        replace(self._file(mark.round), state, mode=0o600)
        for number in sorted({*rounds, mark.round})[:-KEPT]:
            self._file(number).unlink(missing_ok=True)

    def digest(self, state: bytes) -> str:
        """64 digits; empty for an empty state."""
        return hmac.new(self._key(), state, "sha256").hexdigest() if state else ""

    def _key(self) -> bytes:
        path = self.where / KEY
        with contextlib.suppress(FileNotFoundError):
            return path.read_bytes()
        self.where.mkdir(parents=True, exist_ok=True)
        replace(path, secrets.token_bytes(32), mode=0o600)
        return path.read_bytes()

    def _file(self, round_: int) -> Path:
        return self.where / f"round-{round_}"

    def _rounds(self) -> list[int]:
        found = (each.name.removeprefix("round-") for each in self.where.glob("round-*"))
        return sorted(int(name) for name in found if name.isdecimal())


def take_mark(message: Any, name: str) -> Mark | None:
    """Removes the mark from a message; None if it has none."""
    if not message.has_content() or (record := message.content.config_records.get(name)) is None:
        return None
    del message.content[name]
    return Mark.of(record)


def restored(states: States, mark: Mark, context: Any) -> str:
    """Gives `context` the state of this message. Returns its digest."""
    found = states.before(mark)
    if found is not None and (found or context.state):
        context.state = decoded(found)
    return states.digest(encoded(context.state))


def kept(states: States, mark: Mark, context: Any) -> str | None:
    """Keeps the state of `context`. Returns its digest; None if it cannot be kept."""
    try:
        state = encoded(context.state)
        states.after(mark, state)
    except OSError as error:
        log_line(f"the client's state cannot be kept: {error}")
        return None
    return states.digest(state)


def encoded(state: Any) -> bytes:
    """Flower's own form of a RecordDict; empty for one without records."""
    from flwr.common.serde import recorddict_to_proto

    return bytes(recorddict_to_proto(state).SerializeToString(deterministic=True)) if state else b""


def decoded(content: bytes) -> Any:
    from flwr.app import RecordDict
    from flwr.common.serde import recorddict_from_proto, recorddict_to_proto

    if not content:
        return RecordDict()
    return recorddict_from_proto(type(recorddict_to_proto(RecordDict())).FromString(content))
