"""The outline of a run: what a run as it is now needs next. Pure; `hub` observes and supplies before it, and applies after it.

deleted? ended?                                -> cleanup
cannot run here? stopped? deadline over?       -> Failed
suspended?                                     -> Waiting; aggregator and collaborators are removed
initial model not there yet?                   -> Waiting; Failed if it will never be
too many runs active in the namespace?         -> Waiting for its turn
Placement misconfigured? not enough clusters?  -> Waiting, with what is missing
no listener that the hub can have?             -> Waiting, with what it lacks
else the run starts. Each of these steps changes an object on the hub, which triggers the next reconcile:
1. The plan applies the Placement, the Services and the aggregator's Job, with the list of participants for its gateway.
2. The runtime reports that the aggregator is ready for collaborators: with Flower, when it has announced the app hash in the ConfigMap
   `<run>-progress`.
3. When the address is known as well, each participant gets its collaborator, which runs only this app.
4. Collaborators connect, and the same ConfigMap reports their number. With the quorum the run is Running.
5. When the Placement's decisions add or remove a cluster, its collaborator is created or deleted.
6. If the aggregator is lost, its Job is deleted, and the next pass applies another one (`recovery`).
7. The run ends with the Job: Completed, or Failed with the reason of its main container.
8. If the run is Completed, further Jobs export, validate and publish its model (`after_run`). The phase does not change any more.
   Beside that its record is stored, and sites with a policy countersign it (`countersigning`).
If the hub refuses an object before the Job exists, the run is Failed if a retry cannot help, else Waiting.
"""

from __future__ import annotations

from collections.abc import Collection, Container, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from panal.addon.config import NOTHING
from panal.api import names
from panal.api.names import ClusterName
from panal.api.progress import Progress
from panal.api.types import EvaluationStatus, Mode, ModelStatus, Phase, RestartsStatus, Status
from panal.lifecycle import (
    aggregator,
    cleanup,
    collaborators,
    countersigning,
    diagnosis,
    exposure,
    initial_model,
    placement,
    recovery,
    refused,
    run_limit,
    status,
    story,
)
from panal.lifecycle.after_run import after_run
from panal.lifecycle.aggregator_state import AggregatorState, aggregator_state
from panal.lifecycle.collaborators import Works
from panal.lifecycle.exposure import Found
from panal.lifecycle.outcome import Outcome
from panal.lifecycle.placement import Selection
from panal.lifecycle.plan import Plan, Ref
from panal.lifecycle.reasons import Reason, Trouble, with_remedy
from panal.lifecycle.runtime import runtime_of
from panal.lifecycle.stopping import deadline_left, stopped
from panal.lifecycle.support import unsupported
from panal.lifecycle.world import Object, World

LISTENER_CHECK_INTERVAL = 30.0  # seconds
CERTIFICATE_CHECK_INTERVAL = 600.0  # seconds; the aggregator's certificate is renewed in the last third of its lifetime


@dataclass(frozen=True, slots=True)
class Step:
    """The result of one policy; `_plan` makes the Plan from it."""

    outcome: Outcome
    apply: Sequence[Object] = ()
    works: Works | None = None
    delete: Sequence[Ref] = ()
    removed: Collection[ClusterName] = ()
    look_again: float | None = None


def decide(world: World, now: datetime) -> Plan:
    """The plan for this run. The same world and time give the same plan."""
    if world.run.deleting_since:
        return cleanup.deletion(world, now)
    if world.run.status.phase in (Phase.COMPLETED, Phase.FAILED):
        return countersigning.follow(world, after_run(world, cleanup.after_end(world), now), now)
    return _plan(world, _refused(world, _step(world, now)), now)


def _step(world: World, now: datetime) -> Step:
    spec = world.run.spec
    why = unsupported(world.run.name, spec) or stopped(world, now)
    if why:
        return _failed(world, _before(world), why)
    if spec.suspend:
        return _suspended(world)
    selection = placement.select(world)
    if not _started(world):
        if absent := initial_model.missing(world, now):
            return _failed(world, _before(world), absent.trouble) if absent.final else _without_initial_model(world, absent, now)
        if full := run_limit.reached(world):
            return Step(Outcome(phase=Phase.WAITING, reason=Reason.RUN_LIMIT_REACHED, message=full.message))
        if placement.misconfigured(world):
            return _misconfigured(world)
        if not selection.enough:
            return _waiting_for_clusters(world, selection)
        if problem := exposure.problem(world):
            return _without_listener(world, selection, problem, now)
    return _started_step(world, selection, now)


def _refused(world: World, step: Step) -> Step:
    """Reports an object that the API server refused before the run started; the run fails if a retry cannot help."""
    found = next((r for r in world.refused if r.kind != "ManifestWork"), None)
    if found is None or world.job is not None or step.outcome.phase is not Phase.WAITING:
        return step
    why = refused.by_the_hub(found)
    if found.invalid:
        return _failed(world, _before(world), why)
    return replace(step, outcome=replace(step.outcome.ended(Phase.WAITING, why.reason, why.message), started=world.run.status.start_time))


def _started(world: World) -> bool:
    return _job_is_there(world) or world.run.status.start_time is not None


def _job_is_there(world: World) -> bool:
    return world.job is not None and not world.job.deleting


def _before(world: World) -> Outcome:
    """The outcome according to the current status."""
    old = world.run.status
    return Outcome(
        phase=old.phase,
        reason=Reason.PLACEMENT_PENDING,
        message="",
        clients=old.clients,
        collaborators=tuple(old.collaborators),
        clusters_selected=any(c.type == "ClustersSelected" and c.status == "True" for c in old.conditions),
        started=old.start_time,
        restarts=old.restarts,
    )


def _suspended(world: World) -> Step:
    """Deletes the aggregator and the collaborators. A resumed run goes on after its last checkpoint."""
    message = with_remedy(Reason.SUSPENDED, "suspended")
    outcome = Outcome(phase=Phase.WAITING, reason=Reason.SUSPENDED, message=message)
    return Step(outcome, delete=[*cleanup.works_of(world, world.works), *cleanup.job(world)])


def _without_initial_model(world: World, absent: initial_model.Missing, now: datetime) -> Step:
    outcome = Outcome(phase=Phase.WAITING, reason=Reason.INITIAL_MODEL_PENDING, message=absent.trouble.message)
    looks = [seconds for seconds in (absent.look_again, deadline_left(world, now)) if seconds is not None]
    return Step(outcome, look_again=min(looks, default=None))


def _misconfigured(world: World) -> Step:
    message = with_remedy(Reason.PLACEMENT_MISCONFIGURED, placement.misconfigured(world))
    outcome = Outcome(phase=Phase.WAITING, reason=Reason.PLACEMENT_MISCONFIGURED, message=message)
    return Step(outcome, apply=placement.objects(world))


def _waiting_for_clusters(world: World, selection: Selection) -> Step:
    outcome = Outcome(
        phase=Phase.WAITING,
        reason=selection.reason,
        message=selection.message,
        clients=diagnosis.counts(len(selection.clusters)),
        selection_message=selection.message,
    )
    return Step(outcome, apply=placement.objects(world))


def _without_listener(world: World, selection: Selection, problem: str, now: datetime) -> Step:
    """Looks again, since nothing tells that the hub has got a further kind of object."""
    message = with_remedy(Reason.LISTENER_NOT_SUPPORTED, problem)
    outcome = Outcome(
        phase=Phase.WAITING,
        reason=Reason.LISTENER_NOT_SUPPORTED,
        message=message,
        clients=diagnosis.counts(len(selection.clusters)),
        clusters_selected=True,
        selection_message=selection.message,
    )
    left = deadline_left(world, now)
    look_again = LISTENER_CHECK_INTERVAL if left is None else min(left, LISTENER_CHECK_INTERVAL)
    return Step(outcome, apply=placement.objects(world), look_again=look_again)


def _started_step(world: World, selection: Selection, now: datetime) -> Step:
    """Applies the aggregator and a collaborator on each selected cluster, and derives the run's phase from their states."""
    listeners, announced = exposure.found(world), runtime_of(world).announced(world.progress)
    excluded = collaborators.excluded(world, selection.clusters | world.works.keys())
    participants = _participants(world, selection, excluded)
    apply = [*placement.objects(world), *exposure.objects(world), *aggregator.objects(world, participants)]
    works = collaborators.works(world, participants, listeners, announced) if listeners and announced else None
    gone = [c for c in world.works if c in excluded or (selection.settled and c not in selection.clusters)]
    states, remedies = diagnosis.states(world, selection.clusters, excluded, now), runtime_of(world).remedies
    state = aggregator_state(world, now)
    outcome = replace(
        _before(world),
        clients=diagnosis.counts(len(selection.clusters), states),
        clusters_selected=selection.enough,
        selection_message=selection.message,
        aggregator_ready=state.running,
        collaborators=diagnosis.shown(states, remedies),
        started=_start_time(world, now),
    )
    if state.completed:
        return _completed(world, outcome, state)
    if state.lost:
        next_one = recovery.successor(world, state.lost, now)
        if isinstance(next_one, RestartsStatus):
            return _restarting(world, replace(outcome, restarts=next_one), apply)
        return _failed(world, outcome, next_one)
    if state.stop:
        return _failed(world, outcome, diagnosis.explained(state.stop, states, remedies))
    waits = state.look_again, deadline_left(world, now), None if selection.settled else 1.0, CERTIFICATE_CHECK_INTERVAL
    looks = [s for s in waits if s is not None]
    return Step(
        _going(world, outcome, state, listeners, diagnosis.in_trouble(states, remedies)),
        apply=apply,
        works=works,
        delete=cleanup.works_of(world, gone),
        removed=[c for c in gone if world.works[c].deleting_since is None],
        look_again=min(looks, default=None),
    )


def _start_time(world: World, now: datetime) -> datetime:
    """The time of the run's first aggregator."""
    known = world.run.status.start_time
    if world.job and _job_is_there(world) and not (known and world.run.status.restarts):
        return world.job.created
    return known or now


def _restarting(world: World, outcome: Outcome, apply: Sequence[Object]) -> Step:
    """Deletes the lost aggregator's Job. Without one, `apply` has the successor's."""
    message = f"{outcome.restarts.message}; another aggregator starts" if outcome.restarts else ""
    outcome = replace(outcome.ended(world.run.status.phase, Reason.AGGREGATOR_RESTARTING, message), aggregator_ready=False)
    return Step(outcome, apply=apply, delete=cleanup.job(world))


def _participants(world: World, selection: Selection, excluded: Container[ClusterName]) -> list[ClusterName]:
    """The clusters that the aggregator admits. While OCM rewrites its decisions, none is removed."""
    staying = selection.clusters if selection.settled else selection.clusters | world.works.keys()
    return [c for c in sorted(staying) if c not in excluded]


def _going(world: World, outcome: Outcome, state: AggregatorState, listeners: Sequence[Found], trouble: str) -> Outcome:
    """The outcome of a run in progress. It waits until the quorum is connected, and then runs until its end. `trouble`: text
    about the failed collaborators."""
    progress = world.progress
    needed = world.run.spec.server.min_available_clients
    connected = (progress.connected if progress else None) or 0
    if progress and (progress.started or connected >= needed):
        reason, current = _round(world, progress)
        current = f"{current}: {progress.waiting}" if progress.waiting else current
        return outcome.ended(Phase.RUNNING, reason, f"{current}. {trouble}" if trouble else current)
    phase = world.run.status.phase if world.run.status.start_time == outcome.started else Phase.WAITING
    if not state.running:
        restarts = outcome.restarts
        starting = "the aggregator is starting" + (f"; the last one was lost: {restarts.message}" if restarts else "")
        message = state.trouble.message if state.trouble else starting
        return outcome.ended(phase, state.trouble.reason if state.trouble else Reason.AGGREGATOR_STARTING, message)
    if exposure.way(world, listeners, NOTHING) is None:
        return outcome.ended(phase, Reason.ADDRESS_PENDING, exposure.waiting_for(world))
    message = f"{connected} of {needed} needed collaborators connected"
    message = f"{message}: {progress.waiting}" if progress and progress.waiting else message
    return outcome.ended(phase, Reason.COLLABORATORS_STARTING, f"{message}. {trouble}" if trouble else message)


def _round(world: World, progress: Progress) -> tuple[Reason, str]:
    """The round that goes on."""
    total = max(progress.rounds_total, status.rounds_wanted(world.run.spec))
    number = min(progress.rounds_completed + 1, total)
    current = f"round {number} of {total}"
    if world.run.spec.mode is Mode.TRAIN:
        return Reason.TRAINING, current
    if number == 1:
        return Reason.EVALUATING, f"{current}, the sites evaluate the model"
    return Reason.EVALUATING, f"{current}, each site trains a model of its own{' and evaluates it' if number == total else ''}"


def _completed(world: World, outcome: Outcome, state: AggregatorState) -> Step:
    reason, message = _result(world, state.model)
    outcome = replace(
        outcome.ended(Phase.COMPLETED, reason, message), model=state.model, collaborators=diagnosis.at_end(outcome.collaborators)
    )
    return Step(outcome, delete=cleanup.works_of(world, world.works))


def _result(world: World, model: ModelStatus | None) -> tuple[Reason, str]:
    number = status.headline(world.progress.metrics) if world.progress else ""
    ending = f", {number}" if number else ""
    if world.progress and world.progress.evaluation:
        return Reason.EVALUATED, evaluated(world.progress.evaluation)
    if model is None:
        files = world.progress.files if world.progress else None
        left = f"{files.count} file{'s' if files.count != 1 else ''} at {files.uri}, and " if files else ""
        return Reason.WITHOUT_MODEL, f"the app has ended; it leaves {left}no model{ending}"
    return Reason.COMPLETED, f"model after {model.round} round{'s' if model.round != 1 else ''} at {model.uri}{ending}"


def evaluated(found: EvaluationStatus) -> str:
    """The headline of an evaluation."""
    missing = f", {found.without} more without a value" if found.without else ""
    sites = f"{found.sites} site{'s' if found.sites != 1 else ''} evaluated{missing}"
    if not found.sites or found.worst is None or found.spread is None:
        return f"{sites}; the table is at {found.uri}"
    worst = f"{found.metric} is {found.worst:.4g} at {found.worst_site}, the worst, and differs by {found.spread:.4g} between sites"
    local = f"; the model is better than the local one at {found.better} of {found.compared}" if found.compared else ""
    return f"{sites}: {worst}{local}"


def _failed(world: World, outcome: Outcome, why: Trouble) -> Step:
    going = cleanup.works_of(world, world.works)
    if world.job and not (world.job.failed or world.job.succeeded):
        going += cleanup.job(world)
    model = (world.progress.model if world.progress else None) or outcome.model  # a stored model stays, also if the run fails
    place = f" The model of round {model.round} is at {model.uri}." if model else ""
    outcome = replace(outcome.ended(Phase.FAILED, why.reason, why.message + place), model=model)
    return Step(replace(outcome, collaborators=diagnosis.at_end(outcome.collaborators)), delete=going)


def _plan(world: World, step: Step, now: datetime) -> Plan:
    new = status.build(world, step.outcome, now)
    changed = new != world.run.status or not world.run.has_status
    look_again = step.look_again
    if step.outcome.phase in (Phase.COMPLETED, Phase.FAILED) and world.evidence is not None:
        look_again = 0.0  # for its record
    if look_again is None and step.outcome.phase is Phase.WAITING:
        look_again = deadline_left(world, now)
    changes = story.events(world.run.status if world.run.has_status else Status(), new) if changed else []
    named = world.run.spec.client.placement.get("clusterSets") or ()
    return Plan(
        apply=tuple(step.apply),
        works=step.works,
        delete=(*step.delete, *cleanup.bindings(world, named)),
        status=new if changed else None,
        events=(*story.removed(step.removed), *changes),
        add_finalizer=names.FINALIZER not in world.run.finalizers and bool(step.apply),
        look_again=look_again,
    )
