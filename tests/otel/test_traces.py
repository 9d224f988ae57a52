"""The reporter and a real collector: the trace of a run, after a kill and an outage as well."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

from otel_collector import Collector, attributes, collecting
from panal.pod.tracking.trace import Trace
from processes import free_port
from reported import CLUSTERS, Run, eventually

CREATED = 1.7e9 - 100


def traced(folder: Path, uid: str, endpoint: str) -> Run:
    return Run(folder, uid, PANAL_TELEMETRY=json.dumps({"endpoint": endpoint, "created": CREATED}))


def begin(run: Run) -> None:
    announced = {"event": "bundle", "sha256": "a" * 64, "time": CREATED + 20}
    run.append(announced, {"event": "started", "rounds": 3, "time": CREATED + 30})


def nanoseconds(seconds: float) -> str:
    return str(round(seconds * 1e9))


async def test_a_run_is_one_trace_by_phase_and_cluster(tmp_path: Path, collector: Collector) -> None:
    run = traced(tmp_path, "whole", collector.endpoint)
    async with run.reported():
        begin(run)
        run.train(1, 2)
        await eventually(lambda: "round 2" in [span["name"] for span in collector.spans()])
        assert "federated run team/digits" not in [span["name"] for span in collector.spans()]
        run.complete(2)
        await eventually(lambda: run.answered)
    await eventually(lambda: "federated run team/digits" in [span["name"] for span in collector.spans()])
    spans = collector.spans()
    assert {span["traceId"] for span in spans} == {Trace({"uid": "whole"}).id}
    assert spans[0]["resource"]["panal.run.name"] == "digits"
    ids = {span["spanId"]: span for span in spans}
    assert len(ids) == len(spans)
    below = Counter((ids[span["parentSpanId"]]["name"], span["name"]) for span in spans if span.get("parentSpanId"))
    root = "federated run team/digits"
    expected = {(root, name) for name in ("placement and start of the aggregator", "start of the collaborators", "round 1", "round 2")}
    expected |= {(f"round {number}", "train") for number in (1, 2)}
    assert set(below) == expected | {("train", cluster) for cluster in CLUSTERS}
    (start,) = (span for span in spans if span["name"] == "placement and start of the aggregator")
    assert (start["startTimeUnixNano"], start["endTimeUnixNano"]) == (nanoseconds(CREATED), nanoseconds(CREATED + 20))
    (first,) = (span for span in spans if span["name"] == "round 1")
    assert (first["startTimeUnixNano"], first["endTimeUnixNano"]) == (nanoseconds(1.7e9 + 1 - 1.5), nanoseconds(1.7e9 + 1))
    assert attributes(first)["panal.metric.loss"] == 2
    assert "TrackingFailed" not in run.config_map.progress.notices


async def test_a_cluster_that_failed_is_an_error(tmp_path: Path, collector: Collector) -> None:
    run = traced(tmp_path, "failed", collector.endpoint)
    async with run.reported():
        begin(run)
        training = {"event": "round", "round": 1, "phase": "train", "replies": 0, "failures": 1, "seconds": 1.0, "time": 1.7e9}
        run.append(
            {**training, "failed": {"cluster1": "NoReply"}}, {"event": "round", "round": 1, "phase": "end", "seconds": 1.0, "time": 1.7e9}
        )
        await eventually(lambda: "cluster1" in [span["name"] for span in collector.spans()])
    (found,) = (span for span in collector.spans() if span["name"] == "cluster1")
    assert found["status"] == {"code": 2, "message": "NoReply"}


async def test_a_reporter_that_was_killed_sends_each_span_once(tmp_path: Path, collector: Collector) -> None:
    run = traced(tmp_path, "killed", collector.endpoint)
    for first, last in ((1, 2), (3, 5)):
        async with run.killed():
            if first == 1:
                begin(run)
            run.train(*range(first, last + 1))
            await eventually(lambda last=last: f"round {last}" in [span["name"] for span in collector.spans()])
            await eventually(lambda last=last: f"{last}@" in (tmp_path / "volume/team/digits/killed/.traced").read_text())
    async with run.reported():
        run.train(6)
        run.complete(6)
        await eventually(lambda: run.answered)
    await eventually(lambda: "federated run team/digits" in [span["name"] for span in collector.spans()])
    names = Counter(span["name"] for span in collector.spans())
    once = ["placement and start of the aggregator", "start of the collaborators", *(f"round {number}" for number in range(1, 7))]
    assert {name: names[name] for name in once} == dict.fromkeys(once, 1)


async def test_what_was_not_sent_in_an_outage_is_sent_afterwards(tmp_path: Path) -> None:
    port = free_port()
    (tmp_path / "collector").mkdir()
    run = traced(tmp_path, "outage", f"http://127.0.0.1:{port}")
    async with run.reported():
        begin(run)
        run.train(1, 2)
        await eventually(lambda: "spec.tracking.openTelemetry.endpoint" in run.config_map.progress.notices.get("TrackingFailed", ""))
        with collecting(tmp_path / "collector", port) as collector:
            await eventually(lambda: "round 2" in [span["name"] for span in collector.spans()])
            await eventually(lambda: "TrackingFailed" not in run.config_map.progress.notices)
