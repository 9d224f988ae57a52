"""A run as a trace, without a collector."""

from __future__ import annotations

from panal.pod.history import _row
from panal.pod.tracking.otlp import headers_of
from panal.pod.tracking.trace import Trace, attributes_of

TRACE = Trace({"namespace": "team", "name": "digits", "uid": "u"})
CLUSTERS = {
    "cluster1": {"seconds": 2.0, "metrics": {"loss": 0.5}, "received": 10, "sent": 5},
    "cluster2": {"reason": "NoReply", "message": "late"},
}


def test_phases_follow_each_other_and_clusters_are_below_the_training() -> None:
    phases = {"train": 3.0, "evaluate": 1.0, "server": 9.0}
    row = _row({"round": 2, "time": 110.0, "seconds": 5.0, "replies": 1, "failures": 1, "phases": phases, "clusters": CLUSTERS})
    spans = {span["name"]: span for span in TRACE.round(row)}
    times = {name: (int(span["startTimeUnixNano"]) / 1e9, int(span["endTimeUnixNano"]) / 1e9) for name, span in spans.items()}
    assert times == {
        "round 2": (105, 110),
        "train": (105, 108),
        "cluster1": (105, 107),
        "cluster2": (105, 108),
        "evaluate": (108, 109),
        "server": (109, 110),
    }
    assert spans["cluster1"]["parentSpanId"] == spans["train"]["spanId"]
    assert spans["train"]["parentSpanId"] == spans["round 2"]["spanId"]
    assert spans["round 2"]["parentSpanId"] == TRACE.whole(0, 1, 0)["spanId"]
    assert spans["cluster1"]["status"] == {"code": 1}
    assert spans["cluster2"]["status"] == {"code": 2, "message": "NoReply late"}


def test_identifiers_are_the_same_for_every_aggregator_and_differ_between_runs() -> None:
    row = _row({"round": 1, "time": 1.0, "phases": {"train": 1.0}})
    assert TRACE.round(row) == Trace(TRACE.run).round(row)
    other = Trace({**TRACE.run, "uid": "v"})
    assert not {span["spanId"] for span in TRACE.round(row)} & {span["spanId"] for span in other.round(row)}
    assert (len(TRACE.id), len(TRACE.round(row)[0]["spanId"])) == (32, 16)


def test_attributes_keep_their_types() -> None:
    found = {each["key"]: each["value"] for each in attributes_of({"a": 1, "b": 0.5, "c": True, "d": "NaN", "e": None, "f": ""})}
    assert found == {"a": {"intValue": "1"}, "b": {"doubleValue": 0.5}, "c": {"boolValue": True}, "d": {"stringValue": "NaN"}}


def test_headers_have_the_form_that_exporters_read() -> None:
    assert headers_of("Authorization=Bearer%20a%3Db, x-scope=team") == {"Authorization": "Bearer a=b", "x-scope": "team"}
    assert headers_of("") == {}
    assert headers_of("nothing") == {}
