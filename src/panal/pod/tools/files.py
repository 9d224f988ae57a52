"""The files by which the programs of a Pod communicate (docs/design/pods.md), and the environment variables that they read."""

from __future__ import annotations

import dataclasses
import json
import os
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from .codes import MAX_TERMINATION, termination
from .records import InvalidRecordError, Record, parse
from .tail import Tail

Json = dict[str, Any]

# In the run's folder, which the reporter and the containers of the user's image share.
# Written by the runtime:
PROGRESS = "progress.jsonl"  # the records
MODELS, MODEL, ARRAYS = "models", "model.json", "model.npz"  # models/N/ holds model.json and model.npz of model number N
APP_FILES = "files.json"  # the list of the files that the app wrote
CHECKPOINTS = "checkpoints"  # checkpoints/N/ holds the checkpoint of round N until the reporter has stored it
EVALUATION = "evaluation.json"  # the metrics of each site, of an evaluation (spec.mode: Evaluate)
# Written by the reporter:
STORED, STORING = "stored.json", "storing"  # the result for each model; touched while storing makes progress
EVALUATED = "evaluated.json"  # the result for the evaluation
COLLECTED = "collected.json"  # the result for the app's files
PARTICIPANTS = "participants.json"  # the clusters that take part now
SPENT = "spent.json"  # in a private run: the updates for which earlier aggregators have asked, by cluster
ROUNDS = "rounds"  # the number of rounds that the spec wants now
RESUME, RESUMED = "resume", "resumed.json"  # the checkpoint from which the run goes on, and its round; 0: there is none
INITIAL = "initial"  # the model with which the run begins: model.npz and model.json

MESSAGE_LENGTH = 1500
LONGEST = 2000  # characters of a log line


class RunError(Exception):
    """Ends the program with a reason code and a message for users."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message


def run_dir() -> Path:
    return Path(os.environ.get("PANAL_RUN_DIR", "/panal/run"))


def number(name: str, default: int) -> int:
    """An environment variable as a number; `default` if it is unset or empty."""
    return int(os.environ.get(name) or default)


def straggler_grace() -> float | None:
    """How long a round waits for the others once enough collaborators have replied (spec.server.stragglerGraceSeconds), if it is set."""
    text = os.environ.get("PANAL_STRAGGLER_GRACE")
    return float(text) if text else None


def loopback() -> str:
    return os.environ.get("PANAL_LOOPBACK") or "127.0.0.1"


def gateway_port() -> int:
    """The port of the Pod's gateway on loopback, through which a collaborator reaches the aggregator."""
    return number("PANAL_GATEWAY_PORT", 8000)


def append(record: Record) -> None:
    """Appends `record` to progress.jsonl."""
    append_line(PROGRESS, dataclasses.replace(record, time=round(time.time(), 3)).content())


def append_line(name: str, content: Json) -> None:
    """Appends `content` to the file `name` in the run's folder with one write, so that lines of several processes do not mix."""
    line = json.dumps(content, allow_nan=False, separators=(",", ":")) + "\n"
    handle = os.open(run_dir() / name, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK, 0o664)  # the user may have put a FIFO there
    try:
        os.write(handle, line.encode())
    finally:
        os.close(handle)


def read_records() -> list[Record]:
    """The records of progress.jsonl so far, without an incomplete last line and without lines that are not records."""
    return records_in(Tail(run_dir() / PROGRESS).poll())


def records_in(lines: Iterable[bytes]) -> list[Record]:
    """Without the lines that are not records."""
    return [record for line in lines if (record := _parsed(line)) is not None]


def _parsed(line: bytes) -> Record | None:
    try:
        return parse(line)
    except InvalidRecordError:
        return None


def participants() -> frozenset[str] | None:
    """The clusters that take part now; None until the reporter has written them."""
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
    """Replaces a file atomically. `mode` is not subject to the umask. `durable`: syncs the content before the rename."""
    part = path.with_name(f".{path.name}.part")
    part.unlink(missing_ok=True)  # a killed process may have left it with another mode
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


def log_line(message: str) -> None:
    """Logs `message` as one line."""
    print(f"panal: {shown(message)}", flush=True)


def shown(text: str, most: int = LONGEST) -> str:
    """Same as `panal.api.text.shown`: escapes what is not printable, and truncates to `most` characters."""
    found = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text[: most + 1])
    return found if len(found) <= most else found[: most - 1] + "…"


def terminate(reason: str, message: str) -> None:
    """Writes the termination message, which the controller reads from the container's status."""
    log_line(f"{reason}: {message}")
    path = Path(os.environ.get("PANAL_TERMINATION_LOG", "/dev/termination-log"))
    most = MESSAGE_LENGTH
    while len(text := termination(reason, shown(message, most))) > MAX_TERMINATION:
        most = most * 3 // 4
    try:
        path.write_bytes(text)
    except OSError as error:
        log_line(f"cannot write {path}: {error}")
