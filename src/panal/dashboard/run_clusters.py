"""The clusters of a run: what each does, whether the aggregator hears of it, what it has sent. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from pydantic import ValidationError

from panal.api import names
from panal.api.figures import at
from panal.api.history import Round
from panal.api.progress import Metric, Progress
from panal.api.status import ENDED, Status
from panal.api.text import shown
from panal.dashboard.rows import ClusterRow
from panal.dashboard.run import Seen, data
from panal.dashboard.timeline import Failure, failures, stragglers
from panal.gateway.traffic import Traffic, of_text


@dataclass(frozen=True, slots=True)
class RunCluster:
    """A cluster of the run. `link`: whether the aggregator hears of it. `received` and `sent` are bytes at the aggregator's gateway.
    `row`: what the hub has of the cluster, if the viewer may see that. `failed`: the rounds in which its reply did not count, and `slow`
    those in which it was a straggler, as far as the history has them. `last`: its last failure."""

    cluster: str
    state: str
    link: str
    admitted: bool
    round: int
    seconds: float | None
    metrics: Mapping[str, Metric]
    received: int | None
    sent: int | None
    refused: int | None
    reason: str
    message: str
    heard: datetime | None
    row: ClusterRow | None
    failed: Sequence[int] = ()
    slow: Sequence[int] = ()
    last: Failure | None = None


def run_clusters(seen: Seen, status: Status, rounds: Sequence[Round], clusters: Mapping[str, ClusterRow]) -> list[RunCluster]:
    """All clusters of which the run knows: those with a problem first, then those that failed in a round, then the slow ones."""
    progress = progress_of(seen)
    traffic = of_text(data(seen, names.progress(seen.name), names.KEY_TRAFFIC))
    participants = _strings(data(seen, names.gateway(seen.name), names.KEY_PARTICIPANTS))
    reported = {each.cluster: each for each in status.collaborators}
    last = next((each.clusters for each in reversed(rounds) if each.clusters), None) or {}
    failed, slow = failed_in(rounds, progress), slow_in(rounds)
    known = sorted({*participants, *reported, *progress.collaborators, *last, *failed})
    ended = status.phase in ENDED
    found = [
        _run_cluster(
            each,
            reported.get(each),
            progress.collaborators.get(each),
            last.get(each),
            traffic.get(each),
            each in participants,
            ended,
        )
        for each in known
    ]
    return sorted(
        (_with_history(one, clusters.get(one.cluster), failed.get(one.cluster, {}), slow.get(one.cluster, ())) for one in found),
        key=lambda one: (one.state != "Failed", -len(one.failed), -len(one.slow), one.cluster),
    )


def _with_history(one: RunCluster, row: ClusterRow | None, failed: Mapping[int, Failure], slow: Sequence[int]) -> RunCluster:
    return replace(one, row=row, failed=sorted(failed), slow=slow, last=failed[max(failed)] if failed else None)


def failed_in(rounds: Sequence[Round], progress: Progress) -> dict[str, dict[int, Failure]]:
    """By cluster: the rounds in which its reply did not count, and why."""
    found: dict[str, dict[int, Failure]] = {}
    for each in rounds:
        for one in failures(each):
            found.setdefault(one.cluster, {})[each.round] = one
    for cluster, seen in progress.collaborators.items():
        if seen.failed and seen.round:
            found.setdefault(cluster, {})[seen.round] = Failure(cluster, seen.reason, seen.message)
    return found


def slow_in(rounds: Sequence[Round]) -> dict[str, list[int]]:
    """By cluster: the rounds in which it was a straggler."""
    found: dict[str, list[int]] = {}
    for each in rounds:
        for one in stragglers(each.clusters or {}):
            found.setdefault(one.cluster, []).append(each.round)
    return found


def _run_cluster(cluster: str, status: Any, progress: Any, last: Any, traffic: Traffic | None, admitted: bool, ended: bool) -> RunCluster:
    state = status.state if status else ("Done" if ended else "Pending")
    return RunCluster(
        cluster=cluster,
        state=state,
        link=_link(state, progress, traffic, admitted, ended),
        admitted=admitted,
        round=max(status.round if status else 0, progress.round if progress else 0),
        seconds=next((each.seconds for each in (status, progress, last) if each is not None and each.seconds is not None), None),
        metrics=_metrics(status, progress, last),
        received=traffic.bytes_received if traffic else None,
        sent=traffic.bytes_sent if traffic else None,
        refused=traffic.refused if traffic else None,
        reason=next((each.reason for each in (status, progress, last) if each is not None and each.reason), ""),
        message=next((each.message for each in (status, progress, last) if each is not None and each.message), ""),
        heard=at(progress.time) if progress else None,
        row=None,
    )


def _metrics(status: Any, progress: Any, last: Any) -> Mapping[str, Metric]:
    if status is not None and (status.metrics or status.non_finite_metrics):
        return {**status.metrics, **status.non_finite_metrics}
    return next((dict(each.metrics) for each in (progress, last) if each is not None and each.metrics), {})


def _link(state: str, progress: Any, traffic: Traffic | None, admitted: bool, ended: bool) -> str:
    if ended:
        return "Closed"
    if (traffic and traffic.bytes_received) or progress is not None or state in ("Ready", "Training"):
        return "Connected"
    return "Waiting" if admitted else "Not admitted"


def progress_of(seen: Seen) -> Progress:
    """Empty if there is none yet, or it cannot be read."""
    try:
        return Progress.model_validate_json(data(seen, names.progress(seen.name), names.KEY_PROGRESS) or "{}")
    except ValidationError:
        return Progress()


def _strings(text: str) -> list[str]:
    found = _json(text)
    return [shown(str(each), 253) for each in found] if isinstance(found, list) else []


def _json(text: str) -> Any:
    try:
        return json.loads(text) if text else None
    except (ValueError, RecursionError):
        return None
