"""The status that a reconcile writes. It is built from the World; only history (times, conditions) is kept from the old status."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Literal

from panal.api.figures import number
from panal.api.progress import Metric, Progress, finite, non_finite, ranked
from panal.api.text import shown
from panal.api.types import Condition, Evaluation, EvaluationStatus, Mode, Phase, RoundsStatus, Spec, Status
from panal.lifecycle import exposure, privacy
from panal.lifecycle.outcome import Outcome
from panal.lifecycle.reasons import NONE, NOTICES, Reason, with_remedy
from panal.lifecycle.support import ignored_fields
from panal.lifecycle.world import World
from panal.runtimes import framework_of, runtime_for

Truth = Literal["True", "False", "Unknown"]


def build(world: World, outcome: Outcome, now: datetime) -> Status:
    """The status of this reconcile. `now` enters it only if something changed, so an unchanged run writes nothing."""
    old = world.run.status
    ended = outcome.phase in (Phase.COMPLETED, Phase.FAILED)
    progress = world.progress if outcome.started else None
    metrics = progress.metrics if progress else _metrics_of(old) if outcome.started else {}
    evaluation = (progress.evaluation if progress else None) or (old.evaluation if ended and outcome.started else None)
    return Status(
        phase=outcome.phase,
        message=outcome.message,
        observed_generation=world.run.generation,
        conditions=_conditions(world, outcome, now),
        rounds=_rounds(world, outcome, progress),
        restarts=outcome.restarts,
        clients=outcome.clients,
        collaborators=privacy.by_cluster(world.run.spec, progress, outcome.collaborators, old.collaborators),
        metrics=finite(metrics),
        non_finite_metrics=non_finite(metrics),
        headline_metric=evaluated(evaluation) or headline(metrics),
        privacy=privacy.status(world.run.spec, progress, old.privacy),
        listeners=exposure.status(world) if outcome.started or outcome.reason == Reason.LISTENER_NOT_SUPPORTED else [],
        initial_model=(progress.initial_model if progress else None) or (old.initial_model if outcome.started else None),
        evaluation=evaluation,
        model=outcome.model,
        files=progress.files if progress else (old.files if outcome.started else None),
        start_time=outcome.started,
        completion_time=(old.completion_time or now) if ended else None,
    )


def _metrics_of(status: Status) -> dict[str, Metric]:
    return {**status.metrics, **status.non_finite_metrics}  # type: ignore[dict-item]  # the schema does not list the words


def headline(metrics: Mapping[str, Metric]) -> str:
    """The metric that summarizes a run, such as "accuracy 0.934"."""
    names = ranked(metrics)
    return _named_value(names[0], metrics[names[0]]) if names else ""


def evaluated(found: EvaluationStatus | None) -> str:
    """What summarizes an evaluation, such as "spread 0.038, worst accuracy 0.924": an average hides both. Empty without a value."""
    if found is None or found.worst is None or found.spread is None:
        return ""
    return f"{_named_value('spread', found.spread)}, {_named_value(f'worst {found.metric}', found.worst)}"


def _named_value(name: str, value: Metric) -> str:
    return f"{name} {number(value)}"


def rounds_wanted(spec: Spec) -> int:
    """As far as the spec says. An evaluation has one for the given model, and one for each training of the local models."""
    return spec.server.rounds if spec.mode is Mode.TRAIN else 1 + (spec.evaluation or Evaluation()).local_rounds


def _rounds(world: World, outcome: Outcome, progress: Progress | None) -> RoundsStatus:
    wanted = rounds_wanted(world.run.spec)
    stored = world.run.status.rounds.checkpoint  # the next aggregator goes on after it
    completed = progress.rounds_completed if progress else stored
    total = max(wanted, progress.rounds_total) if progress and progress.started else wanted
    if outcome.phase is Phase.COMPLETED and progress:
        total = progress.rounds_total or completed  # rounds requested too late were not trained
    last = progress or Progress(checkpoint=stored)
    return RoundsStatus(
        completed=completed,
        total=total,
        summary=f"{completed}/{total}",
        replies=last.replies,
        failures=last.failures,
        seconds=last.seconds,
        checkpoint=last.checkpoint,
        resumed=last.resumed,
    )


def _conditions(world: World, outcome: Outcome, now: datetime) -> list[Condition]:
    going = outcome.phase in (Phase.WAITING, Phase.RUNNING)
    ignored = ignored_fields(world.run.spec)
    accepted = f"no effect: {', '.join(ignored)}" if ignored else ""
    needed = world.run.spec.server.min_available_clients
    enough = outcome.clients.ready >= needed
    collaborators = Reason.COLLABORATORS_READY if enough else Reason.COLLABORATORS_STARTING
    selection = Reason.CLUSTERS_SELECTED if outcome.clusters_selected else _waiting_reason(outcome)
    starting = Reason.AGGREGATOR_STARTING if going else outcome.reason
    aggregator = Reason.AGGREGATOR_READY if outcome.aggregator_ready else starting
    rows: list[tuple[str, Truth, str, str]] = [
        ("SpecAccepted", "True", str(Reason.FIELD_IGNORED) if ignored else "Accepted", accepted),
        ("ClustersSelected", _truth(outcome.clusters_selected), str(selection), outcome.selection_message),
        ("AggregatorReady", _truth(outcome.aggregator_ready), str(aggregator), ""),
        ("CollaboratorsReady", _truth(enough), str(collaborators), f"{outcome.clients.ready} of {needed} needed"),
        ("Progressing", _truth(going), str(outcome.reason), outcome.message if going else ""),
        ("Complete", _truth(outcome.phase is Phase.COMPLETED), str(outcome.reason), _if(outcome.phase is Phase.COMPLETED, outcome)),
        ("Failed", _truth(outcome.phase is Phase.FAILED), str(outcome.reason), _if(outcome.phase is Phase.FAILED, outcome)),
    ]
    rows += [(reason, "True", reason, message) for reason, message in notices(world)]
    old = {c.type: c for c in world.run.status.conditions}
    return [_condition(old.get(row[0]), row, world.run.generation, now) for row in rows]


def notices(world: World) -> list[tuple[str, str]]:
    """Reason and message of each condition that does not end the run."""
    found = world.progress.notices if world.progress else {}
    runtime = runtime_for(framework_of(world.run.spec))
    own, remedies = (runtime.notices, runtime.remedies) if runtime else ((), NONE)
    return [(reason, with_remedy(reason, found[reason], remedies)) for reason in (*map(str, NOTICES), *own) if reason in found]


def _if(true: bool, outcome: Outcome) -> str:
    return outcome.message if true else ""


def _waiting_reason(outcome: Outcome) -> str:
    return outcome.reason if outcome.phase is Phase.WAITING else Reason.NOT_ENOUGH_CLUSTERS


def _condition(old: Condition | None, row: tuple[str, Truth, str, str], generation: int, now: datetime) -> Condition:
    name, status, reason, message = row
    since = old.last_transition_time if old and old.status == status else now
    return Condition(
        type=name, status=status, reason=reason, message=shown(message, 1024), last_transition_time=since, observed_generation=generation
    )


def _truth(value: bool) -> Truth:
    return "True" if value else "False"
