"""Collects the history of a run (`panal.api.history`), stores it beside the model, and shortens it for the ConfigMap.

A row is derived from the progress when its round is complete, so reading the records again gives the same rows. The bytes of a round are
the difference of two readings of the gateway's counters, which only the file keeps: a reporter that was restarted takes them from there.
"""

from __future__ import annotations

import gzip
import json
import logging
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from panal.api.figures import kept
from panal.api.history import FILE, LIMIT, MAX_FAILED, head
from panal.api.progress import HistoryHead, Metric, Progress
from panal.evidence.rows import HASH, PREVIOUS, chained, first
from panal.pod.tools.codes import END
from panal.pod.tools.files import replace
from panal.pod.tools.records import Record, Resumed, Round

log = logging.getLogger("panal.reporter")

MAX_SIZE = 64 << 20  # bytes of the rows with `clusters`; the rows that follow are without
MAX_ROWS = 20_000  # the last ones
MAX_SECONDS = 1e9  # of a duration; a longer one, and a negative one, is not believed
LAST_MOMENT = 9.2e9  # in seconds since 1970: nanoseconds then still fit into 63 bits
Bytes = tuple[int, int]  # received and sent


@dataclass(frozen=True, slots=True)
class Row:
    """A complete round as a line of JSON, compressed with gzip. `brief` is without `clusters` and chain. `size`: bytes of all rows up to
    this one. `previous` and `hash` chain the rows of the file (`panal.evidence.rows`)."""

    round: int
    time: float | None
    size: int
    full: bytes
    brief: bytes
    previous: str
    hash: str


def _no_traffic() -> Mapping[str, Bytes]:
    return {}


@dataclass(slots=True)
class HistoryLog:
    """`traffic` returns the bytes received from and sent to each cluster since the gateway started."""

    run: Mapping[str, str]
    attempt: str
    traffic: Callable[[], Mapping[str, Bytes]] = _no_traffic
    rows: list[Row] = field(default_factory=list)
    version: int = 0  # grows with every change
    _phases: dict[str, float] = field(default_factory=dict)  # of the round that is not complete
    _phases_of: int = 0
    _resumed: bool = False
    _before: dict[str, Bytes] = field(default_factory=dict)  # the counters when the last round ended
    _known: dict[tuple[int, float | None], Mapping[str, Bytes]] = field(default_factory=dict)  # of the file, by round and time
    saved: list[Row] = field(default_factory=list)  # what the file has
    _saving: threading.Lock = field(default_factory=threading.Lock)
    _step: int = 1  # every so many rows name their clusters in the ConfigMap

    def load(self, folder: Path) -> None:
        """Reads the traffic of the rows that this attempt has already stored. Raises OSError."""
        try:
            first, *rows = (folder / FILE).read_bytes().splitlines()
            if json.loads(first).get("attempt") == self.attempt:
                for row in map(json.loads, rows):
                    self._known[row["round"], row.get("time")] = _traffic_of(row)
        except (FileNotFoundError, ValueError, KeyError, TypeError, AttributeError):
            return  # there is none, or from here on a line is not complete

    def note(self, state: Progress, record: Record | None) -> None:
        """`state` is the progress after `record`."""
        match record:
            case Round(round=number, phase=phase, time=time) if phase == END:
                self._add(state, number, time)
            case Round(round=number, phase=phase, seconds=seconds):
                self._phases = self._phases if number == self._phases_of else {}
                self._phases_of = number
                self._phases[phase] = round(min(self._phases.get(phase, 0.0) + (_duration(seconds) or 0.0), MAX_SECONDS), 3)
                self.version += 1
            case Resumed(round=number):
                self._drop_after(number)
                self._resumed = True

    def restore(self, packed: bytes, most: int) -> None:
        """Takes the rows of rounds up to `most` from a checkpoint. Raises OSError, ValueError, KeyError or TypeError; then it has none."""
        rows: list[Row] = []
        for line in gzip.decompress(packed).splitlines():
            if int((content := json.loads(line))["round"]) <= most:
                rows.append(self._row(content, rows))
        self.rows = rows
        self.version += 1

    def packed(self) -> bytes:
        """The rows for a checkpoint."""
        return b"".join(row.full for row in self.rows)  # several files of gzip, one after the other, are one

    def _add(self, state: Progress, number: int, time: float | None) -> None:
        self._drop_after(number - 1)
        time, counters = _moment(time), self.traffic()
        known = self._known.pop((number, time), None)
        traffic = _since(self._before, counters) if known is None else known  # {}: the counters have not been read since
        self._before = dict(counters) if known is None else _sum(self._before, known)
        phases = self._phases if self._phases_of == number else {}
        ended = {"resumed": self._resumed or None, "time": time, "seconds": _duration(state.seconds), "metrics": _rounded(state.metrics)}
        self.rows.append(self._row(_content(state, number, phases, traffic, ended), self.rows))
        if len(self.rows) > MAX_ROWS:
            self.rows = self.rows[MAX_ROWS // 10 :]
        self._resumed = False
        self.version += 1

    def _row(self, content: Mapping[str, Any], before: Sequence[Row]) -> Row:
        """The row that follows `before`. Without one it may be the first that a checkpoint has kept."""
        last = before[-1] if before else None
        previous = last.hash if last else str(content.get(PREVIOUS) or first(self.run))
        own = {name: value for name, value in content.items() if name not in (PREVIOUS, HASH)}
        return _row(own, last.size if last else 0, previous)

    def head(self) -> HistoryHead:
        """The end of the chain, for the hub."""
        rows = self.rows
        begin = rows[0].previous if rows else first(self.run)
        return HistoryHead(rows=len(rows), first=begin, hash=rows[-1].hash if rows else begin)

    def _drop_after(self, number: int) -> None:
        """Rounds that are repeated count once."""
        while self.rows and self.rows[-1].round > number:
            self.rows.pop()
            self.version += 1

    def save(self, folder: Path, rows: list[Row]) -> None:
        """Writes the file so that it has `rows`. Raises OSError. May run in a thread."""
        with self._saving:
            try:
                self._save(folder, rows)
            except OSError:
                self.saved = []  # what the file has now is not known: the next time it is written anew
                raise

    def _save(self, folder: Path, rows: list[Row]) -> None:
        kept = len(self.saved)
        if kept and rows[:kept] == self.saved:
            with (folder / FILE).open("ab") as file:
                file.writelines(gzip.decompress(row.full) for row in rows[kept:])
                file.flush()
                os.fsync(file.fileno())
        else:
            folder.mkdir(parents=True, exist_ok=True)
            lines = b"".join(gzip.decompress(row.full) for row in rows)
            replace(folder / FILE, head(self.run, self.attempt) + lines, durable=True)
        self.saved = rows

    def shortened(self, state: Progress, limit: int = LIMIT) -> bytes:
        """For the ConfigMap: gzip of at most `limit` bytes. The last complete round and the current one name their clusters, unless these
        alone are more."""
        while True:
            packed = gzip.compress(b"".join(self._lines(state)), 6, mtime=0)
            if len(packed) <= limit:
                return packed
            if self._step > 4 * len(self.rows) + 4:
                return gzip.compress(head(self.run, self.attempt) + b"".join(gzip.decompress(row.brief) for row in self.rows[-1:]), mtime=0)
            self._step *= 2

    def _lines(self, state: Progress) -> Iterator[bytes]:
        yield head(self.run, self.attempt)
        rows = list(self.rows)
        last = len(rows) - 1
        every = max(1, self._step // len(rows)) if rows else 1  # without any cluster it is still too large: rows are left out
        named = self._step <= 2 * len(rows) + 2  # the clusters of the last row and of the current one
        for number, row in enumerate(rows):
            if (number == last and named) or number % self._step == 0:
                yield gzip.decompress(row.full)
            elif number % every == 0 or number == last:
                yield gzip.decompress(row.brief)
        if state.reported_round > (rows[-1].round if rows else 0) and not state.result:
            phases = self._phases if self._phases_of == state.reported_round else {}
            going = {"complete": False, "metrics": _rounded(state.reported)}
            content = _content(state, state.reported_round, phases, _since(self._before, self.traffic()), going)
            yield _line(content if named else _brief(content))


def _content(
    state: Progress, number: int, phases: Mapping[str, float], traffic: Mapping[str, Bytes], more: Mapping[str, Any]
) -> dict[str, Any]:
    """A row of the history; `more` is what is known of the round itself."""
    of_round = {cluster: each for cluster, each in sorted(state.collaborators.items()) if each.round == number}
    failed = [(cluster, each.reason) for cluster, each in of_round.items() if each.failed]
    clusters = {}
    for cluster, each in of_round.items():
        received, sent = traffic.get(cluster, (None, None))
        found = {
            "seconds": _duration(each.seconds),
            "metrics": _rounded(each.metrics),
            "received": received,
            "sent": sent,
            "message": each.message,
        }
        clusters[cluster] = _without_empty(found | {"reason": each.reason if each.failed else ""})
    return _without_empty(
        {
            "round": number,
            **more,
            "phases": dict(phases),
            "replies": state.replies,
            "failures": state.failures,
            "failed": dict(failed[:MAX_FAILED]),
            "selected": state.selected or None,
            "secure": state.secure.model_dump() if state.secure else None,
        }
    ) | {"clusters": clusters}


def _rounded(metrics: Mapping[str, Metric]) -> dict[str, Metric]:
    """Fewer digits are half of the file's size."""
    return {name: value if isinstance(value, str) else kept(value) for name, value in metrics.items()}


def _without_empty(found: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in found.items() if value is not None and value != "" and value != {}}


def _duration(seconds: float | None) -> float | None:
    return seconds if seconds is not None and 0 <= seconds <= MAX_SECONDS else None


def _moment(time: float | None) -> float | None:
    return time if time is not None and 0 <= time <= LAST_MOMENT else None


def _row(content: Mapping[str, Any], before: int = 0, previous: str = "") -> Row:
    """`before`: the size of the rows before it."""
    brief = _brief(content)
    row = chained(content if before < MAX_SIZE else brief, previous)
    full = _line(row)
    size = before + len(full)
    return Row(int(content["round"]), content.get("time"), size, _packed(full), _packed(_line(brief)), previous, row[HASH])


def _packed(line: bytes) -> bytes:
    return gzip.compress(line, 6, mtime=0)


def _brief(content: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in content.items() if name not in ("clusters", "selected")}


def _line(content: Mapping[str, Any]) -> bytes:
    return json.dumps(content, separators=(",", ":")).encode() + b"\n"


def _traffic_of(content: Mapping[str, Any]) -> dict[str, Bytes]:
    found = content.get("clusters") or {}
    return {cluster: (int(each["received"]), int(each["sent"])) for cluster, each in found.items() if "received" in each}


def _since(before: Mapping[str, Bytes], now: Mapping[str, Bytes]) -> dict[str, Bytes]:
    """A counter that is smaller than before belongs to a gateway that was restarted. One that has not changed has not been read again: a
    cluster that is connected always sends something."""
    found = {}
    for cluster, counters in now.items():
        base = before.get(cluster, (0, 0))
        restarted = counters[0] < base[0] or counters[1] < base[1]
        found[cluster] = counters if restarted else (counters[0] - base[0], counters[1] - base[1])
    return {cluster: counted for cluster, counted in found.items() if counted != (0, 0)}


def _sum(before: Mapping[str, Bytes], more: Mapping[str, Bytes]) -> dict[str, Bytes]:
    return {**before, **{c: (before.get(c, (0, 0))[0] + each[0], before.get(c, (0, 0))[1] + each[1]) for c, each in more.items()}}
