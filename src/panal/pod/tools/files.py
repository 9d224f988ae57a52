"""The files by which the programs of a pod talk to each other (docs/design/pods.md), and the environment that they are given."""

from __future__ import annotations

import dataclasses
import json
import os
import time
from pathlib import Path
from typing import Any

from .codes import MAX_TERMINATION, termination
from .records import Record, UnfitError, parse

Json = dict[str, Any]

# In the run's folder, which the reporter and the containers of the user's image share.
PROGRESS = "progress.jsonl"  # `records`, by the runtime
MODELS, MODEL, ARRAYS = "models", "model.json", "model.npz"  # by the runtime: a folder for each model, by number, with these in it
STORED, STORING = "stored.json", "storing"  # by the reporter: what came of each model; touched while it gets on
APP_FILES, COLLECTED = "files.json", "collected.json"  # what the app has written, by the runtime; what came of it, by the reporter
PARTICIPANTS = "participants.json"  # by the reporter: the clusters that take part now
ROUNDS = "rounds"  # by the reporter: how many rounds are wanted now

MESSAGE_LENGTH = 1500
LONGEST = 2000  # characters of what is said, some of which is the app's or the framework's


class RunError(Exception):
    """The program's end, with a reason and a sentence for people."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message


def run_dir() -> Path:
    return Path(os.environ.get("PANAL_RUN_DIR", "/panal/run"))


def number(name: str, default: int) -> int:
    """An environment variable as a number; `default` if it is unset or empty."""
    return int(os.environ.get(name) or default)


def loopback() -> str:
    return os.environ.get("PANAL_LOOPBACK") or "127.0.0.1"


def gateway_port() -> int:
    """Where a collaborator finds the aggregator: its own pod's gateway, on loopback."""
    return number("PANAL_GATEWAY_PORT", 8000)


def append(record: Record) -> None:
    """Adds `record` to progress.jsonl."""
    append_line(PROGRESS, dataclasses.replace(record, time=round(time.time(), 3)).content())


def append_line(name: str, content: Json) -> None:
    """Adds `content` to the file `name` of the run's folder, in one write, so that lines of several processes never mix."""
    line = json.dumps(content, allow_nan=False, separators=(",", ":")) + "\n"
    handle = os.open(run_dir() / name, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o664)
    try:
        os.write(handle, line.encode())
    finally:
        os.close(handle)


def read_records() -> list[Record]:
    """What progress.jsonl holds so far; an unfinished last line is left out, and what an app may have written into it beside us."""
    try:
        lines = (run_dir() / PROGRESS).read_bytes().split(b"\n")[:-1]
    except FileNotFoundError:
        return []
    return [record for line in lines if (record := _parsed(line)) is not None]


def _parsed(line: bytes) -> Record | None:
    try:
        return parse(line)
    except UnfitError:
        return None


def participants() -> frozenset[str] | None:
    """The clusters that take part now, as the reporter knows; None before it does."""
    found = read_json(run_dir() / PARTICIPANTS)
    return None if found is None else frozenset(found["clusters"])


def read_json(path: Path) -> Json | None:
    try:
        content: Json = json.loads(path.read_text())
    except FileNotFoundError:
        return None
    return content


def write_json(path: Path, content: Json) -> None:
    replace(path, json.dumps(content))


def replace(path: Path, content: str | bytes, *, mode: int = 0o644, durable: bool = False) -> None:
    """Writes a temporary file and renames it, so that a reader finds the old content or the new, never a part. `mode` does not depend on
    the umask. `durable`: the content is on disk when this returns."""
    part = path.with_name(f".{path.name}.part")
    part.unlink(missing_ok=True)  # left by a process that was killed; it may have another mode
    try:
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode & 0o700), "wb") as file:
            os.fchmod(file.fileno(), mode)
            file.write(content.encode() if isinstance(content, str) else content)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def say(message: str) -> None:
    """One line, whatever stands in the message."""
    print(f"panal: {shown(message)}", flush=True)


def shown(text: str, most: int = LONGEST) -> str:
    """As `panal.api.text.shown`: what does not print as its escape, and of bounded length."""
    found = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text[: most + 1])
    return found if len(found) <= most else found[: most - 1] + "…"


def terminate(reason: str, message: str) -> None:
    """The last word for the controller, which reads it from the container's status."""
    say(f"{reason}: {message}")
    path = Path(os.environ.get("PANAL_TERMINATION_LOG", "/dev/termination-log"))
    most = MESSAGE_LENGTH
    while len(text := termination(reason, shown(message, most))) > MAX_TERMINATION:
        most = most * 3 // 4
    try:
        path.write_bytes(text)
    except OSError as error:
        say(f"cannot write {path}: {error}")
