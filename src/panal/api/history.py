"""The history of a run: JSON lines, first one with the version, then one for each round, oldest first.

It exists twice. The file `history.jsonl` beside the model has every row in full. The ConfigMap `<run>-history` has these rows, while the
run goes on and afterwards, compressed with gzip and limited to LIMIT bytes: of a run with many rounds and clusters, only some rows have
what each cluster reported (`clusters`) there, and of one with very many rounds some rows are left out. The rows have numbers and texts of
apps and sites, which are examined when they are read. The rows of the file are chained (`panal.evidence.rows`).
"""

from __future__ import annotations

import base64
import binascii
import io
import json
import zlib
from collections.abc import Mapping
from gzip import GzipFile
from typing import Annotated, Any

from pydantic import Field, ValidationError

from panal.api.names import KEY_HISTORY
from panal.api.progress import MAX_COLLABORATORS, Code, Count, Metrics, Number, SecureProgress, Text
from panal.api.text import shown
from panal.api.types import Model
from panal.pod.tools.codes import CLUSTER, PHASE

VERSION = 1
FILE = "history.jsonl"
LIMIT = 256 << 10  # bytes in the ConfigMap, compressed
LONGEST = 8 << 20  # bytes in the ConfigMap, decompressed
MAX_ROWS = 25_000  # that are read
MAX_FAILED = 20  # clusters in `failed`

Cluster = Annotated[str, Field(pattern=rf"^{CLUSTER}$")]
Phase = Annotated[str, Field(pattern=rf"^{PHASE}$")]


class HistoryError(ValueError):
    """What is stored is not a history that this version can read. The message says why."""


class ClusterRound(Model):
    """What a cluster did in a round. `reason` is why its reply does not count; without one it counts. `seconds` is its training's duration.
    `received` and `sent` are the bytes from and to the cluster at the aggregator's gateway since the end of the round before."""

    seconds: Number | None = None
    metrics: Metrics = Field(default_factory=dict)
    received: Count | None = None
    sent: Count | None = None
    reason: Code = ""
    message: Text = ""


class Round(Model):
    """A round. `time` is its end, in seconds since 1970, `seconds` its duration, `phases` the seconds of its phases. A round that is not
    `complete` goes on, or the run ended in it. `resumed`: another aggregator went on before it. `metrics` are the app's, over all clusters.
    `failed` has the reasons of the first clusters whose reply does not count. `selected` are the clusters whose updates a method of
    spec.server.aggregation has selected; it is empty with other methods. `secure`: of secure aggregation. `clusters` is None if it is left
    out here, with `selected`."""

    round: Count
    complete: bool = True
    resumed: bool = False
    time: Number | None = None
    seconds: Number | None = None
    phases: dict[Phase, Number] = Field(default_factory=dict)
    replies: Count = 0
    failures: Count = 0
    metrics: Metrics = Field(default_factory=dict)
    failed: Annotated[dict[Cluster, Code], Field(max_length=MAX_FAILED)] = Field(default_factory=dict)
    selected: Annotated[list[Cluster], Field(max_length=MAX_COLLABORATORS)] = Field(default_factory=list)
    secure: SecureProgress | None = None
    clusters: dict[Cluster, ClusterRound] | None = None


class History(Model):
    """`run` has namespace, name and uid. `unreadable`: rows that are not what they should be."""

    version: int
    run: dict[str, str] = Field(default_factory=dict)
    rounds: list[Round] = Field(default_factory=list)
    unreadable: int = 0


def head(run: Mapping[str, str], attempt: str) -> bytes:
    """The first line. `attempt` is the uid of the aggregator's Job that wrote the file."""
    return json.dumps({"version": VERSION, "run": dict(run), "attempt": attempt}).encode() + b"\n"


def read(content: bytes) -> History:
    """Reads a file `history.jsonl`. Raises HistoryError."""
    first, *rows = content.splitlines() or [b""]
    try:
        found = json.loads(first)
        if not isinstance(found, dict) or not isinstance(found.get("version"), int):
            raise HistoryError("the first line has no version")
        if found["version"] > VERSION:
            raise HistoryError(f"the history has version {found['version']}, and this panal reads {VERSION}: use a newer panal")
        about = History.model_validate({"version": found["version"], "run": found.get("run") or {}})
    except HistoryError:
        raise
    except ValidationError as error:
        raise HistoryError(shown(f"the history is malformed: {error.errors()[0]['msg']}", 300)) from error
    except (ValueError, RecursionError) as error:
        raise HistoryError("the history is malformed: the first line is not JSON") from error
    rounds = [each for row in rows[:MAX_ROWS] if (each := _round(row)) is not None]
    return about.model_copy(update={"rounds": rounds, "unreadable": len(rows) - len(rounds)})


def _round(row: bytes) -> Round | None:
    """None for what is no row: it does not hide the others."""
    try:
        return Round.model_validate_json(row)
    except ValidationError:
        return None


def of_config_map(config_map: Mapping[str, Any]) -> History | None:
    """The history in a ConfigMap; None before the first round. Raises HistoryError."""
    content = unpacked(config_map)
    return None if content is None else read(content)


def unpacked(config_map: Mapping[str, Any]) -> bytes | None:
    """The lines in a ConfigMap; None before the first round. Raises HistoryError."""
    coded = (config_map.get("binaryData") or {}).get(KEY_HISTORY, "")
    if not coded:
        return None
    try:
        with GzipFile(fileobj=io.BytesIO(base64.b64decode(coded, validate=True))) as file:
            content = file.read(LONGEST + 1)
    except (binascii.Error, OSError, EOFError, zlib.error) as error:
        raise HistoryError("the history is not compressed with gzip") from error
    if len(content) > LONGEST:
        raise HistoryError(f"the history is larger than {LONGEST >> 20} MiB")
    return content


def for_config_map(packed: bytes) -> dict[str, str]:
    """The `binaryData` of the ConfigMap."""
    return {KEY_HISTORY: base64.b64encode(packed).decode()}
