"""What the pages of a run say, from the objects that were read of it. Pure.

Everything here that apps, sites and agents have written is escaped text (`panal.api.text`), and the templates escape it once more for HTML.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from pydantic import ValidationError

from panal.addon import issued
from panal.api import names
from panal.api.history import History, HistoryError, Round, of_config_map
from panal.api.parse import ParseError, parse_status
from panal.api.progress import Metric, Progress
from panal.api.status import USUAL_CONDITIONS, Status
from panal.api.text import shown
from panal.dashboard.numbers import at, left, moment
from panal.dashboard.rows import ENDED, ClusterRow
from panal.kube.objects import Object, labels_of, version_of

EVENTS = 200
_EPOCH = datetime.fromisoformat("1970-01-01T00:00:00+00:00")


@dataclass(frozen=True, slots=True)
class Seen:
    """What was read of a run. `unread`: what may not be read, or cannot be, as sentences."""

    run: Object
    config_maps: Mapping[str, Object] = field(default_factory=dict)  # by name
    events: Sequence[Object] = ()
    pods: Sequence[Object] = ()
    unread: Sequence[str] = ()
    known: dict[str, tuple[History | None, str]] = field(default_factory=dict)  # the last history that was parsed, by its version

    @property
    def name(self) -> str:
        return str(self.run["metadata"]["name"])

    @property
    def uid(self) -> str:
        return str(self.run["metadata"].get("uid", ""))


def of_this_run(objects: Iterable[Object], uid: str) -> list[Object]:
    """Without those of an earlier run with its name."""
    return [obj for obj in objects if labels_of(obj).get(names.LABEL_RUN_UID) == uid]


@dataclass(frozen=True, slots=True)
class Head:
    """The run in short. `left`: about how many seconds it still takes; None if that is not known."""

    namespace: str
    name: str
    phase: str
    message: str
    suspended: bool
    stopping: bool
    deleting: bool
    ended: bool
    framework: str
    image: str
    wanted: int
    status: Status
    created: datetime | None
    left: float | None
    seconds: float | None

    @property
    def path(self) -> str:
        return f"/runs/{self.namespace}/{self.name}"

    @property
    def total(self) -> int:
        return self.status.rounds.total or self.wanted


def head(seen: Seen, history: History | None, now: datetime) -> Head:
    metadata, spec, status = seen.run["metadata"], seen.run.get("spec") or {}, status_of(seen.run)
    server = spec.get("server") or {}
    ended, suspended = status.phase in ENDED, bool(spec.get("suspend"))
    total = status.rounds.total or int(server.get("rounds") or 0)
    until = status.completion_time or now
    return Head(
        namespace=metadata["namespace"],
        name=metadata["name"],
        phase=status.phase,
        message=status.message,
        suspended=suspended,
        stopping=bool(spec.get("stop")),
        deleting=bool(metadata.get("deletionTimestamp")),
        ended=ended,
        framework=shown(str(spec.get("framework") or ""), 60),
        image=shown(str(server.get("image") or ""), 300),
        wanted=int(server.get("rounds") or 0),
        status=status,
        created=moment(metadata.get("creationTimestamp")),
        left=None if ended or suspended else remaining(history, status, total),
        seconds=(until - status.start_time).total_seconds() if status.start_time else None,
    )


def status_of(run: Object) -> Status:
    """Of a status that this version cannot read, nothing."""
    try:
        return parse_status(run)
    except ParseError:
        return Status()


def remaining(history: History | None, status: Status, total: int) -> float | None:
    rounds = [each.seconds for each in history.rounds if each.complete and each.seconds is not None] if history else []
    if not rounds and status.rounds.seconds is not None:
        rounds = [status.rounds.seconds]
    return left(rounds, status.rounds.completed, total)


def history_of(seen: Seen) -> tuple[History | None, str]:
    """The history, and why there is none although there should be."""
    found = seen.config_maps.get(names.history(seen.name))
    if found is None:
        return None, ""
    version = version_of(found)
    if version not in seen.known:
        seen.known.clear()
        seen.known[version] = _parsed(found)
    return seen.known[version]


def _parsed(config_map: Object) -> tuple[History | None, str]:
    try:
        return of_config_map(config_map), ""
    except HistoryError as error:
        return None, shown(str(error), 300)


def conditions(status: Status) -> list[Any]:
    """The ones that exist only if there is something to report come first."""
    return sorted(status.conditions, key=lambda each: (each.type in USUAL_CONDITIONS, each.type))


# --- spokes ----------------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Spoke:
    """A cluster of the run. `link`: whether the aggregator hears of it. `received` and `sent` are bytes at the aggregator's gateway.
    `row`: what the hub has of the cluster, if the viewer may see that."""

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


def spokes(seen: Seen, status: Status, rounds: Sequence[Round], clusters: Mapping[str, ClusterRow]) -> list[Spoke]:
    """All clusters of which the run knows, those with a problem first."""
    progress = progress_of(seen)
    traffic = _object(_data(seen, names.progress(seen.name), names.KEY_TRAFFIC))
    participants = _strings(_data(seen, names.gateway(seen.name), names.KEY_PARTICIPANTS))
    reported = {each.cluster: each for each in status.collaborators}
    last = next((each.clusters for each in reversed(rounds) if each.clusters), None) or {}
    known = sorted({*participants, *reported, *progress.collaborators, *last})
    ended = status.phase in ENDED
    found = [
        _spoke(
            each,
            reported.get(each),
            progress.collaborators.get(each),
            last.get(each),
            _traffic(traffic.get(each)),
            each in participants,
            ended,
        )
        for each in known
    ]
    return sorted(
        (_with(spoke, clusters.get(spoke.cluster)) for spoke in found), key=lambda spoke: (spoke.state != "Failed", spoke.cluster)
    )


def _spoke(cluster: str, status: Any, progress: Any, last: Any, traffic: Any, admitted: bool, ended: bool) -> Spoke:
    refused, received, sent = traffic
    state = status.state if status else ("Done" if ended else "Pending")
    return Spoke(
        cluster=cluster,
        state=state,
        link=_link(state, progress, received, admitted, ended),
        admitted=admitted,
        round=max(status.round if status else 0, progress.round if progress else 0),
        seconds=next((each.seconds for each in (status, progress, last) if each is not None and each.seconds is not None), None),
        metrics=_metrics(status, progress, last),
        received=received,
        sent=sent,
        refused=refused,
        reason=next((each.reason for each in (status, progress, last) if each is not None and each.reason), ""),
        message=next((each.message for each in (status, progress, last) if each is not None and each.message), ""),
        heard=at(progress.time) if progress else None,
        row=None,
    )


def _metrics(status: Any, progress: Any, last: Any) -> Mapping[str, Metric]:
    if status is not None and (status.metrics or status.non_finite_metrics):
        return {**status.metrics, **status.non_finite_metrics}
    return next((dict(each.metrics) for each in (progress, last) if each is not None and each.metrics), {})


def _link(state: str, progress: Any, received: int | None, admitted: bool, ended: bool) -> str:
    if ended:
        return "Closed"
    if state == "Failed":
        return "Broken"
    if received or progress is not None or state in ("Ready", "Training"):
        return "Connected"
    return "Waiting" if admitted else "Not admitted"


def _with(spoke: Spoke, row: ClusterRow | None) -> Spoke:
    return Spoke(**{name: getattr(spoke, name) for name in Spoke.__slots__ if name != "row"}, row=row) if row else spoke


def progress_of(seen: Seen) -> Progress:
    """Empty if there is none yet, or it cannot be read."""
    try:
        return Progress.model_validate_json(_data(seen, names.progress(seen.name), names.KEY_PROGRESS) or "{}")
    except ValidationError:
        return Progress()


def aggregator_certificate(seen: Seen) -> datetime | None:
    """When the certificate of the aggregator's gateway expires."""
    try:
        return issued.certificate(_data(seen, names.gateway(seen.name), names.KEY_CERTIFICATE), "").ends
    except ValueError:
        return None


def _data(seen: Seen, config_map: str, key: str) -> str:
    found = (seen.config_maps.get(config_map) or {}).get("data")
    return str(found.get(key) or "") if isinstance(found, Mapping) else ""


def _object(text: str) -> Mapping[str, Any]:
    found = _json(text)
    return {shown(str(name), 253): value for name, value in found.items()} if isinstance(found, Mapping) else {}


def _strings(text: str) -> list[str]:
    found = _json(text)
    return [shown(str(each), 253) for each in found] if isinstance(found, list) else []


def _json(text: str) -> Any:
    try:
        return json.loads(text) if text else None
    except (ValueError, RecursionError):
        return None


def _traffic(found: Any) -> tuple[int | None, int | None, int | None]:
    """Refused requests, bytes received and bytes sent, of what the reporter wrote for a cluster (`panal.pod.gatekeeper`)."""
    counts = found[1:4] if isinstance(found, list) and len(found) == 4 else []
    good = [each for each in counts if isinstance(each, int) and not isinstance(each, bool) and 0 <= each < 2**63]
    return (good[0], good[1], good[2]) if len(good) == 3 else (None, None, None)


# --- events ----------------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Happened:
    time: datetime | None
    warning: bool
    reason: str
    message: str
    count: int


def events(seen: Seen) -> list[Happened]:
    """The newest first."""
    found = [_event(each) for each in seen.events if (each.get("involvedObject") or {}).get("uid") in (seen.uid, None)]
    return sorted(found, key=lambda each: each.time or _EPOCH, reverse=True)[:EVENTS]


def _event(found: Object) -> Happened:
    times = (found.get("lastTimestamp"), found.get("eventTime"), found["metadata"].get("creationTimestamp"))
    count = found.get("count")
    return Happened(
        time=next((time for time in map(moment, times) if time), None),
        warning=found.get("type") == "Warning",
        reason=shown(str(found.get("reason") or ""), 128),
        message=shown(str(found.get("message") or ""), 1024),
        count=count if isinstance(count, int) and count > 0 else 1,
    )
