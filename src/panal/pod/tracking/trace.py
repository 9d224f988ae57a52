"""A run as a trace: placement and start, each round, its phases, and in the training each cluster. Pure; `otlp` sends it.

Identifiers are derived from the run's uid, so every aggregator of a run adds to the same trace. The form is OTLP's JSON
(https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding).
"""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from panal.pod.history import LAST_MOMENT, Row
from panal.pod.tools.codes import QUERY, TRAIN

OK, ERROR = 1, 2
Span = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Trace:
    """`run` has namespace, name and uid."""

    run: Mapping[str, str]

    def span(
        self, name: str, key: str, start: float, end: float, about: Mapping[str, Any] | None = None, parent: str = "", error: str = ""
    ) -> Span:
        """`key` identifies the span in the trace; `parent` is the key of another one, by default of the root. Times are seconds since
        1970."""
        root = key == ROOT
        return {
            "traceId": self.id,
            "spanId": self._span_id(key),
            **({} if root else {"parentSpanId": self._span_id(parent or ROOT)}),
            "name": name,
            "kind": 1,
            "startTimeUnixNano": _nanoseconds(start),
            "endTimeUnixNano": _nanoseconds(max(start, end)),
            "attributes": attributes_of(about or {}),
            "status": {"code": ERROR, "message": error} if error else {"code": OK},
        }

    @property
    def id(self) -> str:
        return hashlib.sha256(self.run["uid"].encode()).hexdigest()[:32]

    def _span_id(self, key: str) -> str:
        return hashlib.sha256(f"{self.run['uid']}/{key}".encode()).hexdigest()[:16]

    def whole(self, created: float, ended: float, rounds: int) -> Span:
        name = f"{self.run['namespace']}/{self.run['name']}"
        return self.span(f"federated run {name}", ROOT, created, ended, {"panal.rounds": rounds})

    def beginning(self, created: float, announced: float, started: float, attempt: str) -> list[Span]:
        """Until the aggregator knew its app, and until enough collaborators were there."""
        return [
            self.span("placement and start of the aggregator", f"start/{attempt}", created, announced),
            self.span("start of the collaborators", f"quorum/{attempt}", announced, started),
        ]

    def round(self, row: Row) -> list[Span]:
        content = json.loads(gzip.decompress(row.full))
        end, clusters = float(row.time or 0), content.get("clusters") or {}
        begin, round_ = end - float(content.get("seconds") or 0), f"round/{row.round}/{row.time}"
        failed = ", ".join(f"{cluster}: {reason}" for cluster, reason in (content.get("failed") or {}).items())
        metrics = {f"panal.metric.{name}": value for name, value in (content.get("metrics") or {}).items()}
        counts = {f"panal.{name}": content.get(name) for name in ("replies", "failures")}
        about = {"panal.round": row.round, **counts, **metrics, "panal.failed": failed}
        found, at = [self.span(f"round {row.round}", round_, begin, end, about)], begin
        for phase, seconds in (content.get("phases") or {}).items():
            key, until = f"{round_}/{phase}", min(at + seconds, end)
            found.append(self.span(phase, key, at, until, parent=round_))
            if phase in (TRAIN, QUERY):
                found += self._clusters(clusters, key, at, until)
            at = until
        return found

    def _clusters(self, clusters: Mapping[str, Any], parent: str, begin: float, end: float) -> Iterable[Span]:
        for cluster, each in clusters.items():
            seconds, reason = each.get("seconds"), each.get("reason", "")
            until = min(begin + float(seconds), end) if seconds is not None else end
            about = {f"panal.{name}": each.get(name) for name in ("received", "sent")}
            about |= {f"panal.metric.{name}": value for name, value in (each.get("metrics") or {}).items()}
            error = f"{reason} {each.get('message', '')}".strip() if reason else ""
            about = {"k8s.cluster.name": cluster, **about}
            yield self.span(cluster, f"{parent}/{cluster}", begin, until, about, parent, error)

    def request(self, spans: list[Span], version: str) -> dict[str, Any]:
        """The body of a request with these spans."""
        about = {"service.name": "panal", "service.version": version, **{f"panal.run.{name}": value for name, value in self.run.items()}}
        scope = {"scope": {"name": "panal", "version": version}, "spans": spans}
        return {"resourceSpans": [{"resource": {"attributes": attributes_of(about)}, "scopeSpans": [scope]}]}


ROOT = "run"


def _nanoseconds(seconds: float) -> str:
    return str(round(min(max(seconds, 0.0), LAST_MOMENT) * 1e9))


def attributes_of(values: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Without those that are None or empty."""
    return [{"key": key, "value": _value(value)} for key, value in values.items() if value is not None and value != ""]


def _value(value: Any) -> dict[str, Any]:
    match value:
        case bool():
            return {"boolValue": value}
        case int():
            return {"intValue": str(value)}
        case float():
            return {"doubleValue": value}
    return {"stringValue": str(value)}
