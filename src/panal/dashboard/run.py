"""What the pages of a run say, from the objects that were read of it.

Everything here that apps, sites and agents have written is escaped text (`panal.api.text`), and the templates escape it once more for HTML.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from panal.addon import issued
from panal.api import names
from panal.api.figures import left, moment
from panal.api.history import History, HistoryError, of_config_map
from panal.api.parse import ParseError, parse_status
from panal.api.spec import Mode
from panal.api.status import ENDED, USUAL_CONDITIONS, Condition, Status
from panal.api.text import shown
from panal.kube.objects import Object, labels_of, version_of

EVENTS = 200
_EPOCH = datetime.fromisoformat("1970-01-01T00:00:00+00:00")


class Histories:
    """Parses the history of a run, once for each version of its ConfigMap. It may be large, so a thread does it, one at a time."""

    def __init__(self) -> None:
        self._version = ""
        self._found: tuple[History | None, str] = (None, "")
        self._parsing = asyncio.Lock()

    async def of(self, config_map: Object) -> tuple[History | None, str]:
        """The history, or why it cannot be read."""
        async with self._parsing:
            version = version_of(config_map)
            if not version or version != self._version:
                self._found = await asyncio.to_thread(_parsed, config_map)
                self._version = version
            return self._found


@dataclass(frozen=True, slots=True)
class Seen:
    """What was read of a run. `unread`: what may not be read, or cannot be, as sentences."""

    run: Object
    config_maps: Mapping[str, Object] = field(default_factory=dict)  # by name
    events: Sequence[Object] = ()
    pods: Sequence[Object] = ()
    unread: Sequence[str] = ()
    histories: Histories = field(default_factory=Histories)

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
    evaluates: bool
    framework: str
    image: str
    wanted: int
    needed: int
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
        evaluates=spec.get("mode") == Mode.EVALUATE,
        framework=shown(str(spec.get("framework") or ""), 60),
        image=shown(str(server.get("image") or ""), 300),
        wanted=int(server.get("rounds") or 0),
        needed=int(server.get("minAvailableClients") or 0),
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


async def history_of(seen: Seen) -> tuple[History | None, str]:
    """The history, and why there is none although there should be."""
    found = seen.config_maps.get(names.history(seen.name))
    return (None, "") if found is None else await seen.histories.of(found)


def _parsed(config_map: Object) -> tuple[History | None, str]:
    try:
        return of_config_map(config_map), ""
    except HistoryError as error:
        return None, shown(str(error), 300)


@dataclass(frozen=True, slots=True)
class Told:
    """A condition. `mark`: `good`, `bad`, `warn` or `neutral`. `expected`: it says what the phase says already."""

    condition: Condition
    mark: str
    expected: bool


WORSE_IF_TRUE = ("Failed",)
AFTER_THE_RUN = {"Exported": "bad", "Published": "bad", "Validated": "bad", "Countersigned": "warn"}  # the mark of those that are False
ABOUT_PODS = ("AggregatorReady", "CollaboratorsReady")  # of a run that has ended there are none


def conditions(status: Status) -> list[Told]:
    """Those that are not as expected come first, and before them the ones that exist only if there is something to report."""
    told = [_told(each, status.phase in ENDED) for each in status.conditions]
    return sorted(told, key=lambda each: (each.expected, each.condition.type in USUAL_CONDITIONS, each.condition.type))


def _told(found: Condition, ended: bool) -> Told:
    true = found.status == "True"
    if found.status == "Unknown":
        return Told(found, "neutral", False)
    if found.type in AFTER_THE_RUN:
        return Told(found, "good" if true else AFTER_THE_RUN[found.type], False)
    if found.type not in USUAL_CONDITIONS:
        return Told(found, "warn" if true else "neutral", False)
    if found.type in WORSE_IF_TRUE:
        return Told(found, "bad" if true else "neutral", not true)
    over = ended and found.type in (*ABOUT_PODS, "Progressing")
    if found.type == "Complete" and not true:
        return Told(found, "neutral", True)  # the phase says it, and Failed why
    if over:
        return Told(found, "neutral", True)
    return Told(found, "good" if true else "warn", true and not (found.type == "SpecAccepted" and found.message))


def run_config(spec: Mapping[str, Any]) -> dict[str, str]:
    """The values that the resource gives to the app."""
    found = (spec.get("server") or {}).get("runConfig")
    return {shown(str(name), 80): shown(str(value), 300) for name, value in found.items()} if isinstance(found, Mapping) else {}


def aggregator_certificate(seen: Seen) -> datetime | None:
    """When the certificate of the aggregator's gateway expires."""
    try:
        return issued.certificate(data(seen, names.gateway(seen.name), names.KEY_CERTIFICATE), "").ends
    except ValueError:
        return None


def data(seen: Seen, config_map: str, key: str) -> str:
    """Empty if there is none."""
    found = (seen.config_maps.get(config_map) or {}).get("data")
    return str(found.get(key) or "") if isinstance(found, Mapping) else ""


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
