"""The history of a run: what a row says, what a reporter that was restarted knows, and how much the ConfigMap gets."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Iterable, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from panal.api import history as api
from panal.api.history import FILE, ClusterRound, HistoryError, of_config_map
from panal.api.progress import Progress, SecureProgress
from panal.evidence.rows import examined, first
from panal.pod import history as module
from panal.pod.fold import fold
from panal.pod.history import Bytes, HistoryLog
from panal.pod.tools.codes import END, TRAIN
from panal.pod.tools.records import Number, Record, Reply, Resumed, Round, Secure
from panal.pod.tracking.points import points
from panal.pod.tracking.trace import Trace

RUN = {"namespace": "team", "name": "digits", "uid": "u"}
SITES = ("cluster1", "cluster2")


class Aggregator:
    """An attempt of the run, whose records arrive one after the other. `counters` are those of its gateway."""

    def __init__(self, attempt: str = "job-1", sites: Iterable[str] = SITES) -> None:
        self.counters: dict[str, Bytes] = {}
        self.sites = tuple(sites)
        self.records: list[Record] = []
        self.restart(attempt)

    def restart(self, attempt: str = "job-1", folder: Path | None = None) -> None:
        """The reporter begins anew."""
        self.state, self.history = Progress(attempt=attempt), HistoryLog(RUN, attempt, lambda: self.counters)
        if folder:
            self.history.load(folder)
        for record in self.records:
            self._take(record)

    def give(self, *records: Record) -> None:
        for record in records:
            self.records.append(record)
            self._take(record)

    def _take(self, record: Record) -> None:
        self.state = fold(self.state, record)
        self.history.note(self.state, record)

    def train(self, number: int, received: int = 100, sent: int = 200, **metrics: Number) -> None:
        """A round whose phases are complete, but not the round itself."""
        self.counters = {
            site: (before[0] + received, before[1] + sent) for site in self.sites for before in [self.counters.get(site, (0, 0))]
        }
        replies = {site: Reply(seconds=1.5, metrics=dict(metrics)) for site in self.sites}
        self.give(
            Round(round=number, phase=TRAIN, replies=len(replies), failures=0, seconds=2.0, collaborators=replies, metrics=metrics),
            Round(round=number, phase="evaluate", seconds=0.5, collaborators={site: Reply(seconds=0.1, metrics={}) for site in replies}),
        )

    def rounds(self, *numbers: int) -> None:
        for number in numbers:
            self.train(number, loss=1 / number)
            self.give(Round(round=number, phase=END, seconds=2.6, time=float(number)))

    @property
    def shown(self) -> api.History:
        return read(self.history.shortened(self.state))


def read(packed: bytes) -> api.History:
    found = of_config_map({"binaryData": api.for_config_map(packed)})
    assert found
    return found


def stored(folder: Path) -> api.History:
    return api.read((folder / FILE).read_bytes())


def traffic(found: api.History) -> list[Mapping[str, tuple[int | None, int | None]]]:
    return [{c: (each.received, each.sent) for c, each in (row.clusters or {}).items()} for row in found.rounds]


def test_a_row_says_what_happened_in_the_round() -> None:
    run = Aggregator()
    run.train(1, received=1000, sent=5000, loss=0.5)
    run.give(Round(round=1, phase=END, seconds=2.6, time=1700.0))
    (row,) = run.shown.rounds
    assert row.model_dump(exclude={"clusters"}) == {
        "round": 1, "complete": True, "resumed": False, "time": 1700.0, "seconds": 2.6, "phases": {"train": 2.0, "evaluate": 0.5},
        "replies": 2, "failures": 0, "metrics": {"loss": 0.5}, "failed": {},
        "selected": [],
        "secure": None,
    }  # fmt: skip
    assert row.clusters == {site: ClusterRound(seconds=1.5, metrics={"loss": 0.5}, received=1000, sent=5000) for site in SITES}


def test_a_row_names_the_cluster_that_failed_and_why() -> None:
    run = Aggregator()
    replies = {"cluster1": Reply(seconds=1.0, metrics={})}
    said = {"cluster2": "ZeroDivisionError"}
    run.give(
        Round(
            round=1, phase=TRAIN, replies=1, failures=1, collaborators=replies, failed=said, messages={"cluster2": "division\x1b[2J"}
        ),
        Round(round=1, phase=END, seconds=1.0),
    )  # fmt: skip
    (row,) = run.shown.rounds
    assert (row.replies, row.failures, row.failed) == (1, 1, said)
    assert row.clusters
    assert row.clusters["cluster2"] == ClusterRound(reason="ZeroDivisionError", message="division\\x1b[2J")


def test_a_row_has_the_threshold_of_secure_aggregation_and_who_has_dropped_out() -> None:
    run = Aggregator()
    secure: Secure = {"threshold": 3, "dropped": ["cluster2"]}
    for number, each in ((1, secure), (2, None)):
        run.give(Round(round=number, phase=TRAIN, replies=3, secure=each), Round(round=number, phase=END))
    assert [row.secure for row in run.shown.rounds] == [SecureProgress(threshold=3, dropped=["cluster2"]), None]


def test_a_row_names_the_clusters_that_a_method_of_aggregation_has_selected() -> None:
    run = Aggregator()
    for number, selected in ((1, ["cluster2"]), (2, None)):
        run.give(Round(round=number, phase=TRAIN, replies=2, selected=selected), Round(round=number, phase=END))
    assert [row.selected for row in run.shown.rounds] == [["cluster2"], []]


def test_a_metric_that_is_not_finite_is_kept() -> None:
    run = Aggregator()
    run.train(1, loss="NaN")
    run.give(Round(round=1, phase=END))
    (row,) = run.shown.rounds
    assert row.metrics == {"loss": "NaN"}


def test_the_round_that_goes_on_is_the_last_row_and_not_complete() -> None:
    run = Aggregator()
    run.rounds(1)
    run.train(2, loss=0.3)
    first, second = run.shown.rounds
    assert (first.complete, second.complete) == (True, False)
    assert (second.round, second.metrics, second.phases) == (2, {"loss": 0.3}, {"train": 2.0, "evaluate": 0.5})
    assert len(run.history.rows) == 1


def test_the_bytes_of_a_round_are_those_since_the_round_before() -> None:
    run = Aggregator(sites=["cluster1"])
    for number, size in ((1, 100), (2, 7)):
        run.train(number, received=size, sent=2 * size)
        run.give(Round(round=number, phase=END))
    run.counters = {"cluster1": (0, 0)}  # the gateway was restarted
    run.train(3, received=30, sent=60)
    run.give(Round(round=3, phase=END))
    assert traffic(run.shown) == [{"cluster1": (100, 200)}, {"cluster1": (7, 14)}, {"cluster1": (30, 60)}]


def test_bytes_that_have_not_been_read_are_not_known() -> None:
    run = Aggregator(sites=["cluster1"])
    run.rounds(1)
    before = run.counters
    run.train(2)
    run.counters = before  # there were so many that they were not read again
    run.give(Round(round=2, phase=END))
    run.rounds(3)
    assert traffic(run.shown) == [{"cluster1": (100, 200)}, {"cluster1": (None, None)}, {"cluster1": (100, 200)}]


def test_bytes_that_were_read_before_the_first_round_alone_are_not_known() -> None:
    """A gateway that was asked when a cluster had just connected, and then had no time."""
    run = Aggregator(sites=["cluster1"])
    run.train(1)
    run.counters = {"cluster1": (0, 0)}
    run.give(Round(round=1, phase=END))
    assert traffic(run.shown) == [{"cluster1": (None, None)}]


def test_a_reporter_that_was_restarted_has_the_same_rows_and_bytes(tmp_path: Path) -> None:
    run = Aggregator()
    run.rounds(1, 2, 3)
    before = run.shown
    run.history.save(tmp_path, list(run.history.rows))
    run.restart(folder=tmp_path)
    assert run.shown == before
    run.rounds(4)
    assert traffic(run.shown)[3] == dict.fromkeys(SITES, (100, 200))


def test_the_file_has_every_row_and_grows(tmp_path: Path) -> None:
    run = Aggregator()
    for number in (1, 2, 3):
        run.rounds(number)
        run.history.save(tmp_path, list(run.history.rows))
        assert stored(tmp_path) == run.shown
    assert stored(tmp_path).run == RUN


def test_a_line_that_was_not_written_completely_is_written_again(tmp_path: Path) -> None:
    run = Aggregator()
    run.rounds(1, 2)
    run.history.save(tmp_path, list(run.history.rows))
    whole = (tmp_path / FILE).read_bytes()
    (tmp_path / FILE).write_bytes(whole[:-20])
    run.restart(folder=tmp_path)
    run.history.save(tmp_path, list(run.history.rows))
    assert [row.round for row in stored(tmp_path).rounds] == [1, 2]


def test_another_aggregator_goes_on_after_the_rows_of_the_checkpoint(tmp_path: Path) -> None:
    first = Aggregator()
    first.rounds(1, 2, 3)
    packed = first.history.packed()
    second = Aggregator("job-2")
    second.give(Resumed(round=2))
    second.history.restore(packed, 2)
    second.state = second.state.model_copy(update={"rounds_completed": 2})
    second.rounds(3)
    rows = second.shown.rounds
    assert [(row.round, row.resumed) for row in rows] == [(1, False), (2, False), (3, True)]
    assert rows[:2] == first.shown.rounds[:2]
    second.history.save(tmp_path, list(second.history.rows))
    assert stored(tmp_path) == second.shown


def test_a_round_that_is_repeated_counts_once() -> None:
    run = Aggregator()
    run.rounds(1, 2)
    run.rounds(2, 3)
    assert [row.round for row in run.shown.rounds] == [1, 2, 3]


def large(rounds: int, clusters: int) -> Aggregator:
    run = Aggregator(sites=[f"cluster{number}" for number in range(clusters)])
    for number in range(1, rounds + 1):
        run.train(number, received=1_000_003 * number, loss=1 / (number + 0.123456789))
        run.give(Round(round=number, phase=END, seconds=2.6 + number / 7, time=1.7e9 + number))
    return run


@pytest.mark.parametrize("limit", [8_000, 4_000])
def test_the_config_map_gets_what_fits(limit: int) -> None:
    run = large(100, 50)
    packed = run.history.shortened(run.state, limit)
    assert len(packed) <= limit
    rows = read(packed).rounds
    assert [row.round for row in rows] == list(range(1, 101))
    named = [row.round for row in rows if row.clusters]
    assert named[-1] == 100
    assert 1 < len(named) < 100
    assert all(len(row.clusters or ()) == 50 for row in rows if row.clusters is not None)
    assert len({after - before for before, after in pairwise(named[:-1])}) <= 1  # evenly, and the last


def test_rows_are_left_out_when_not_even_their_numbers_fit() -> None:
    run = large(400, 2)
    packed = run.history.shortened(run.state, 3_000)
    assert len(packed) <= 3_000
    rows = [row.round for row in read(packed).rounds]
    assert rows[-1] == 400
    assert 5 < len(rows) < 400


def test_the_file_is_bounded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(module, "MAX_SIZE", 10_000)
    run = large(30, 20)
    run.history.save(tmp_path, list(run.history.rows))
    assert (tmp_path / FILE).stat().st_size < 20_000
    rows = stored(tmp_path).rounds
    assert len(rows) == 30
    assert rows[0].clusters
    assert rows[-1].clusters is None


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "malformed"),
        (b"[]\n", "no version"),
        (b'{"version": 2}\n', "use a newer panal"),
        (b'{"version": 1, "run": {"uid": 7}}\n', "malformed"),
        (b"not json\n", "not JSON"),
    ],
)
def test_what_is_not_a_history_is_refused(content: bytes, message: str) -> None:
    with pytest.raises(HistoryError, match=message):
        of_config_map({"binaryData": api.for_config_map(gzip.compress(content))})


def test_a_config_map_may_hold_something_else(monkeypatch: pytest.MonkeyPatch) -> None:
    assert of_config_map({}) is None
    for coded in ("!", "aGFsbG8="):
        with pytest.raises(HistoryError, match="gzip"):
            of_config_map({"binaryData": {"history": coded}})
    monkeypatch.setattr(api, "LONGEST", 1000)
    with pytest.raises(HistoryError, match="larger"):
        of_config_map({"binaryData": api.for_config_map(gzip.compress(b" " * 5000))})


def test_hostile_names_and_texts_are_escaped() -> None:
    hostile = b'{"version": 1}\n{"round": 1, "metrics": {"a\\u001b[2J": 1}, "clusters": {"c": {"message": "\\u202eevil", "reason": "R"}}}\n'
    (row,) = api.read(hostile).rounds
    assert "\x1b" not in "".join(row.metrics)
    assert row.clusters
    assert row.clusters["c"].message == "\\u202eevil"


@pytest.mark.parametrize(
    "row", [b'{"round": -1}', b'{"round": 1, "clusters": {"../x": {}}}', b"not json", b'{"round": 1, "seconds": 1e400}']
)
def test_a_row_that_is_none_does_not_hide_the_others(row: bytes) -> None:
    found = api.read(b'{"version": 1}\n{"round": 1}\n' + row + b'\n{"round": 3}\n')
    assert ([each.round for each in found.rounds], found.unreadable) == ([1, 3], 1)


def test_times_and_durations_that_cannot_be_are_left_out() -> None:
    run = Aggregator(sites=["cluster1"])
    long = {"cluster1": Reply(seconds=1.7e308, metrics={})}
    for _ in range(2):
        run.give(Round(round=1, phase=TRAIN, replies=1, failures=0, seconds=1e308, collaborators=long))
    run.give(Round(round=1, phase=END, seconds=-1.0, time=1e300))
    (row,) = run.shown.rounds
    assert row.clusters
    assert (row.time, row.seconds, row.phases, row.clusters["cluster1"].seconds) == (None, None, {"train": 0.0}, None)
    assert Trace({"uid": "u"}).round(run.history.rows[0])
    assert points(run.history.rows[0])


def test_a_file_that_was_written_in_part_is_written_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = Aggregator()
    run.rounds(1)
    run.history.save(tmp_path, list(run.history.rows))
    run.rounds(2)

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(module.os, "fsync", full)
        with pytest.raises(OSError, match="No space"):
            run.history.save(tmp_path, list(run.history.rows))
    (tmp_path / FILE).write_bytes((tmp_path / FILE).read_bytes()[:-30])
    run.rounds(3)
    run.history.save(tmp_path, list(run.history.rows))
    assert [row.round for row in stored(tmp_path).rounds] == [1, 2, 3]


def test_a_last_line_that_was_cut_costs_no_traffic_of_the_others(tmp_path: Path) -> None:
    run = Aggregator()
    run.rounds(1, 2, 3)
    before = traffic(run.shown)
    run.history.save(tmp_path, list(run.history.rows))
    (tmp_path / FILE).write_bytes((tmp_path / FILE).read_bytes()[:-20])
    run.restart(folder=tmp_path)
    assert traffic(run.shown)[:2] == before[:2]


def test_the_config_map_never_gets_more_than_fits() -> None:
    run = Aggregator(sites=[f"c{number}" for number in range(1000)])
    said = {site: hashlib.sha256(site.encode()).hexdigest() * 7 for site in run.sites}
    for number in (1, 2):
        failed = dict.fromkeys(run.sites, "NoReply")
        run.give(Round(round=number, phase=TRAIN, replies=0, failures=1000, failed=failed, messages=said))
        run.give(Round(round=number, phase=END, seconds=1.0, time=float(number)))
    packed = run.history.shortened(run.state, 20_000)
    assert len(packed) <= 20_000
    assert [row.round for row in read(packed).rounds][-1] == 2


def test_only_the_last_rows_of_very_many_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_ROWS", 20)
    run = Aggregator(sites=["cluster1"])
    run.rounds(*range(1, 101))
    assert len(run.history.rows) <= 20
    assert run.history.rows[-1].round == 100


def test_a_checkpoint_is_made_without_compressing_all_rows_again(tmp_path: Path) -> None:
    run = Aggregator()
    run.rounds(1, 2, 3)
    assert run.history.packed() == b"".join(row.full for row in run.history.rows)
    run.history.save(tmp_path, list(run.history.rows))
    assert gzip.decompress(run.history.packed()) == (tmp_path / FILE).read_bytes().split(b"\n", 1)[1]


# --- the chain --------------------------------------------------------------------------------------------------------
def chain(folder: Path, run: Aggregator) -> list[dict[str, Any]]:
    """The rows of the file, whose chain fits the head that the hub gets."""
    run.history.save(folder, list(run.history.rows))
    found = [json.loads(line) for line in (folder / FILE).read_bytes().splitlines()[1:]]
    head = run.history.head()
    assert head.rows == len(found)
    assert list(examined(found, head.rows, head.first, head.hash, "")) == []
    return found


def test_rows_are_chained_from_the_run_on(tmp_path: Path) -> None:
    run = Aggregator()
    assert chain(tmp_path, run) == []
    run.rounds(1, 2)
    rows = chain(tmp_path, run)
    assert [row["previous"] for row in rows] == [first(RUN), rows[0]["hash"]]
    run.rounds(3)
    assert chain(tmp_path, run)[:2] == rows


def test_a_reporter_that_was_restarted_writes_the_same_chain(tmp_path: Path) -> None:
    run = Aggregator()
    run.rounds(1, 2, 3)
    before = chain(tmp_path, run)
    run.counters = {}
    run.restart(folder=tmp_path)
    assert chain(tmp_path, run) == before


def test_a_chain_goes_on_after_a_checkpoint_and_a_repeated_round_counts_once(tmp_path: Path) -> None:
    lost = Aggregator()
    lost.rounds(1, 2, 3)
    before = chain(tmp_path, lost)
    after = Aggregator("job-2")
    after.history.restore(lost.history.packed(), 2)
    after.give(Resumed(round=2))
    after.rounds(3, 4)
    rows = chain(tmp_path, after)
    assert rows[:2] == before[:2]
    assert rows[2] != before[2]
    assert [row["round"] for row in rows] == [1, 2, 3, 4]


def test_a_checkpoint_of_an_earlier_version_is_chained_anew(tmp_path: Path) -> None:
    old = b"".join(gzip.compress(json.dumps({"round": number, "clusters": {}}).encode() + b"\n") for number in (1, 2))
    run = Aggregator()
    run.history.restore(old, 2)
    assert len(chain(tmp_path, run)) == 2


def test_the_chain_of_the_last_rows_holds_without_the_first_ones(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(module, "MAX_ROWS", 20)
    monkeypatch.setattr(module, "MAX_SIZE", 2_000)
    run = Aggregator()
    run.rounds(*range(1, 50))
    rows = chain(tmp_path, run)
    assert rows[0]["previous"] != first(RUN)
    again = Aggregator("job-2")
    again.history.restore(run.history.packed(), 49)
    assert chain(tmp_path, again) == rows


def test_the_head_is_in_the_progress() -> None:
    """Which is what the hub reads (`panal.pod.record_reader`)."""
    run = Aggregator()
    run.rounds(1)
    head = run.history.head()
    assert Progress.model_validate_json(Progress(history=head).model_dump_json(by_alias=True)).history == head
