"""Deletes the works of clusters that left, all but the model when a run ends, and everything on the hub when the run is deleted.

OCM's agent removes the objects of a work before the work itself, so an unreachable agent blocks the deletion. After a limit, the work's
finalizer is removed and an Event names the cluster; the agent removes the objects when the cluster is available again.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import datetime

from panal.api import names
from panal.api.names import ClusterName
from panal.lifecycle.collaborators import WORK_API
from panal.lifecycle.placement import CLUSTER_API
from panal.lifecycle.plan import Event, Plan, Ref
from panal.lifecycle.reasons import Reason, with_remedy
from panal.lifecycle.world import WorkView, World

NAMED = 10
ENTRANCES = ("Service", "Route", "TLSRoute", "Ingress")


def asking(world: World) -> list[Ref]:
    """The works by which sites are asked to countersign the record, as far as they are not being deleted yet."""
    return [_work(w) for _, w in sorted(world.asking.items()) if w.deleting_since is None]


def works_of(world: World, clusters: Iterable[ClusterName]) -> list[Ref]:
    """The works of these clusters that are not being deleted yet."""
    found = (world.works[c] for c in sorted(clusters) if c in world.works)
    return [_work(w) for w in found if w.deleting_since is None]


def job(world: World) -> list[Ref]:
    """The aggregator's Job, with its Pod."""
    if world.job is None or world.job.deleting:
        return []
    return [Ref("batch/v1", "Job", world.run.namespace, names.aggregator(world.run.name), world.job.uid)]


def after_end(world: World) -> Plan:
    """An ended run keeps its Job (for the logs), its progress and its model. What leads to it is deleted after the last work, because a
    collaborator that still dials its port or name must not reach another run."""
    going = works_of(world, world.works)
    going += [Ref(api, kind, world.run.namespace, name) for api, kind, name in world.leftovers if kind not in ENTRANCES or not world.works]
    if world.job and not (world.job.succeeded or world.job.failed):
        going += job(world)
    return Plan(delete=tuple(going), look_again=10.0 if going else None)


def deletion(world: World, now: datetime) -> Plan:
    """Deletes the works first. Then our finalizer is removed, and Kubernetes deletes what the run owns."""
    if names.FINALIZER not in world.run.finalizers:
        return Plan()
    works = [*world.works.values(), *world.asking.values()]
    given_up = [w for w in works if _overdue(world, w, now)]
    going = works_of(world, world.works) + asking(world) + [_work(w, strip=True) for w in given_up]
    events = (_given_up(given_up),) if given_up else ()
    if going or works:
        return Plan(delete=(*going, *job(world)), events=events, look_again=_next_look(world, now))
    return Plan(delete=(*job(world), *bindings(world, frozenset())), remove_finalizer=True)


def _overdue(world: World, work: WorkView, now: datetime) -> bool:
    return work.deleting_since is not None and now - work.deleting_since > world.cleanup_limit


def _next_look(world: World, now: datetime) -> float:
    since = [w.deleting_since for w in (*world.works.values(), *world.asking.values()) if w.deleting_since]
    left = min(((s + world.cleanup_limit - now).total_seconds() for s in since), default=world.cleanup_limit.total_seconds())
    return max(left, 0.0) + 1.0


def _given_up(works: list[WorkView]) -> Event:
    clusters = sorted({w.cluster for w in works})
    named = ", ".join(clusters[:NAMED]) + (f" and {len(clusters) - NAMED} more" if len(clusters) > NAMED else "")
    message = f"{named} did not remove its collaborator in time; the hub no longer waits for it"
    return Event("Warning", Reason.CLEANUP_INCOMPLETE.value, with_remedy(Reason.CLEANUP_INCOMPLETE, message))


def bindings(world: World, named: Collection[str]) -> list[Ref]:
    """The bindings that panal created for cluster sets that no run of the namespace names any longer; this run names `named`."""
    unused = sorted(world.own_bound_sets - world.sets_of_others - frozenset(named))
    return [Ref(f"{CLUSTER_API}/v1beta2", "ManagedClusterSetBinding", world.run.namespace, name) for name in unused]


def _work(work: WorkView, strip: bool = False) -> Ref:
    return Ref(WORK_API, "ManifestWork", work.cluster, work.name, work.uid, strip_finalizers=strip)
