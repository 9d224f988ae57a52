"""The state of each collaborator, from the feedback of its cluster's agent, the aggregator's progress and the cluster's availability.

The first rule that applies wins. A collaborator that has failed may recover; only a lost quorum ends a run. Failures of an earlier
collaborator of the same cluster, from before it was excluded and admitted again, do not count.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Container, Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from panal.api import names
from panal.api.names import ClusterName
from panal.api.progress import CollaboratorProgress, finite, non_finite
from panal.api.status import MAX_COLLABORATORS
from panal.api.types import ClientsStatus, CollaboratorStatus
from panal.lifecycle.participants import uncertified
from panal.lifecycle.reasons import Reason, Trouble
from panal.lifecycle.refused import by_a_cluster
from panal.lifecycle.runtime import runtime_of
from panal.lifecycle.world import WorkView, World
from panal.pod.tools.codes import COHORT, FAILURES, Refused, Unanswered, Withheld, read_termination

PENDING, READY, TRAINING, REPLIED, FAILED, DONE = "Pending", "Ready", "Training", "Replied", "Failed", "Done"
IMAGE_REASONS = frozenset(
    {"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "ImageInspectError", "RegistryUnavailable"}
)
WAITING = frozenset({"toolsWaiting", "gatewayWaiting", "waiting"})  # feedback that a Pod without waiting containers does not have
POD_SHOULD_EXIST_AFTER = timedelta(seconds=60)
# The time in which the runtime notices that a collaborator no longer responds.
NOTICED_AFTER = timedelta(seconds=120)
MESSAGE_LENGTH = 200  # characters, without the remedy
_UNANSWERED, _REFUSED, _WITHHELD = frozenset(Unanswered), frozenset(Refused), frozenset(Withheld)
NO_PROGRESS = CollaboratorProgress()
BY_CLUSTERS = (Reason.QUORUM_NOT_REACHED, Reason.QUORUM_LOST, Reason.ALL_COLLABORATORS_FAILED)  # ends of which clusters are the cause

_BY_SITE_POLICY = re.compile(rf"ValidatingAdmissionPolicy '{names.SITE_CONTROLLER}[-a-z0-9.]*'")
_SITE_CODE = re.compile(r"[A-Z][A-Za-z]{1,40}")

Feedback = Mapping[str, str | int | bool]


class Collaborator(NamedTuple):
    """The state of one collaborator. `trouble`: why it has failed, or waits for its site's decision. `seen`: what the aggregator has seen
    of it."""

    cluster: ClusterName
    state: str
    trouble: Trouble | None
    seen: CollaboratorProgress

    @property
    def reason(self) -> str:
        return str(self.trouble.reason) if self.trouble else ""

    def message(self, remedies: Mapping[str, str]) -> str:
        return self.trouble.shortened(MESSAGE_LENGTH, remedies) if self.trouble else ""

    def status(self, remedies: Mapping[str, str]) -> CollaboratorStatus:
        return CollaboratorStatus(
            cluster=self.cluster,
            state=self.state,
            reason=self.reason,
            message=self.message(remedies),
            round=self.seen.round,
            seconds=self.seen.seconds,
            metrics=finite(self.seen.metrics),
            non_finite_metrics=non_finite(self.seen.metrics),
        )


States = Sequence[Collaborator]


def states(world: World, selected: frozenset[ClusterName], excluded: Mapping[ClusterName, Trouble], now: datetime) -> States:
    """The state of each selected cluster: failed collaborators first, then by name. `excluded`: why a cluster gets no collaborator."""
    known = world.progress.collaborators if world.progress else {}
    refused = {r.namespace: r.message for r in world.refused if r.kind == "ManifestWork"}
    found = [
        _state(world, cluster, excluded.get(cluster) or _trouble(world, cluster, refused, now), known.get(cluster))
        for cluster in sorted(selected)
    ]
    return [*(s for s in found if s.state == FAILED), *(s for s in found if s.state != FAILED)]


def counts(selected: int, found: States = ()) -> ClientsStatus:
    """`found`: the states of the selected clusters, of which there are none before the run starts."""
    of = Counter(s.state for s in found)
    ready = of[READY] + of[TRAINING] + of[REPLIED]
    return ClientsStatus(selected=selected, ready=ready, failed=of[FAILED], summary=f"{ready}/{selected}")


def shown(found: States, remedies: Mapping[str, str]) -> tuple[CollaboratorStatus, ...]:
    """Those that the run's status shows."""
    return tuple(each.status(remedies) for each in found[:MAX_COLLABORATORS])


def at_end(found: Sequence[CollaboratorStatus]) -> tuple[CollaboratorStatus, ...]:
    """As the status of a run that has ended shows them: no collaborator works any more. One that never was ready stays Pending."""
    return tuple(each.model_copy(update={"state": DONE}) if each.state in (READY, TRAINING, REPLIED) else each for each in found)


def _state(world: World, cluster: ClusterName, trouble: Trouble | None, seen: CollaboratorProgress | None) -> Collaborator:
    work = _present(world, cluster)
    waiting = None if trouble or work is None else _site_pending(work)
    trouble = trouble or (None if waiting else _training_trouble(cluster, seen, work))
    training = bool(world.progress and world.progress.started)
    if trouble:
        state = FAILED
    elif work and work.feedback.get("phase") == "Running" and work.feedback.get("ready") is True:
        state = READY if not training else REPLIED if world.progress and cluster in world.progress.replied else TRAINING
    else:
        state = PENDING
    return Collaborator(cluster, state, trouble or waiting, seen or NO_PROGRESS)


def _present(world: World, cluster: ClusterName) -> WorkView | None:
    """The cluster's collaborator, unless it is being deleted: if the cluster stays selected, it gets a new one."""
    work = world.works.get(cluster)
    return work if work and work.deleting_since is None else None


def _trouble(world: World, cluster: ClusterName, refused: Mapping[str, str], now: datetime) -> Trouble | None:
    view = world.clusters.get(cluster)
    if view and view.available is False:
        return Trouble.of(
            Reason.CLUSTER_UNAVAILABLE, f"{cluster}: the cluster's agent reports that its Kubernetes API server is not healthy"
        )
    if view is None or view.available is None:
        return Trouble.of(Reason.CLUSTER_UNREACHABLE, f"{cluster}: the hub has no contact with the cluster")
    if cluster in refused:
        return Trouble.of(Reason.WORK_REFUSED, f"{cluster}: {refused[cluster]}")
    work = _present(world, cluster)
    if work is None:
        return None
    if work.applied is False:
        return _not_applied(work)
    return uncertified(world, cluster, now) or _pod_trouble(world, work, now)


def _not_applied(work: WorkView) -> Trouble:
    if _BY_SITE_POLICY.search(work.applied_message):
        return Trouble.of(Reason.SITE_REFUSED, f"{work.cluster}: the site refuses the collaborator: {work.applied_message}")
    if invalid := by_a_cluster(work.applied_message):
        return Trouble.of(Reason.INVALID_SPEC, f"{work.cluster}: {invalid}")
    return Trouble.of(Reason.WORK_NOT_APPLIED, f"{work.cluster}: {work.applied_message}")


def _pod_trouble(world: World, work: WorkView, now: datetime) -> Trouble | None:
    feedback, cluster = work.feedback, work.cluster
    if not work.pod_exists:
        late = work.applied and now - work.created > POD_SHOULD_EXIST_AFTER
        return Trouble.of(Reason.POD_NOT_CREATED, f"{cluster}: the collaborator's Pod does not exist") if late else None
    if feedback.get("siteDecision") == "False":  # also of a Pod that still runs
        return Trouble.of(Reason.SITE_REFUSED, f"{cluster}: the site refuses the run{_code(feedback)}")
    if feedback.get("ready") is True and WAITING.isdisjoint(feedback):
        return None
    if "siteGate" in feedback:
        return None
    images = {"toolsWaiting": world.images.pod_tools, "gatewayWaiting": world.images.gateway, "waiting": world.run.spec.client.image}
    for name, image in images.items():
        waiting = feedback.get(name)
        if waiting in IMAGE_REASONS:
            return Trouble.of(Reason.IMAGE_PULL_FAILED, f"{cluster}: image {image}: {waiting}")
    if feedback.get("phase") == "Pending" and feedback.get("unschedulable"):
        return _unschedulable(cluster, str(feedback["unschedulable"]))
    return _container_trouble(cluster, feedback, runtime_of(world).remedies)


def _site_pending(work: WorkView) -> Trouble | None:
    """What a collaborator waits for whose site has not decided yet."""
    feedback, cluster = work.feedback, work.cluster
    decided = feedback.get("siteDecision")
    if decided in ("True", "False") or not ("siteGate" in feedback or (decided == "Unknown" and feedback.get("ready") is not True)):
        return None
    return Trouble.of(Reason.SITE_PENDING, f"{cluster}: the site has not allowed the run yet{_code(feedback)}")


def _code(feedback: Feedback) -> str:
    """The site's code in parentheses, if it is one."""
    found = str(feedback.get("siteReason") or "")
    return f" ({found})" if _SITE_CODE.fullmatch(found) else ""


def _unschedulable(cluster: ClusterName, message: str) -> Trouble:
    claim_is_missing = "persistentvolumeclaim" in message and "not found" in message
    return Trouble.of(Reason.DATA_NOT_FOUND if claim_is_missing else Reason.UNSCHEDULABLE, f"{cluster}: {message}")


def _container_trouble(cluster: ClusterName, feedback: Feedback, remedies: Mapping[str, str]) -> Trouble | None:
    waiting, message = str(feedback.get("waiting") or ""), str(feedback.get("waitingMessage") or "")
    if waiting.startswith(("CreateContainer", "RunContainer")):
        reason = Reason.DATA_NOT_FOUND if "subPath" in message else Reason.CONTAINER_CONFIG_INVALID
        return Trouble.of(reason, f"{cluster}: {waiting}: {message}")
    ended = bool(feedback.get("restarts")) and feedback.get("ready") is not True
    if waiting != "CrashLoopBackOff" and not ended:
        return None
    reason_at_end, message = termination_of(str(feedback.get("lastMessage") or ""), remedies)
    if reason_at_end:
        return Trouble.of(reason_at_end, f"{cluster}: {message}", remedies)
    why = f"exit code {feedback.get('lastExitCode', '?')}, {feedback.get('lastReason', 'Error')}"
    return Trouble.of(Reason.CRASHING, f"{cluster}: the collaborator's container ended ({why})")


def termination_of(text: str, own: Container[str]) -> tuple[str | None, str]:
    """Reason and message of a container's termination message if its code is an Ending or one of the runtime's `own`. (None, "") for any
    other text, which may come from user code."""
    found = read_termination(text)
    return found if found and (found[0] in FAILURES or found[0] in own) else (None, "")


def _training_trouble(cluster: ClusterName, seen: CollaboratorProgress | None, work: WorkView | None) -> Trouble | None:
    if seen is None or not seen.failed or _is_previous(seen, work):
        return None
    if seen.reason in _UNANSWERED:
        return Trouble.of(Reason.NO_REPLY, f"{cluster}: it did not reply in round {seen.round} ({seen.reason})")
    why = seen.reason or "no reason given"
    shared = f": {seen.message}" if seen.message else ""  # shared by the site, or written by the aggregator
    if seen.reason in _WITHHELD:
        reason = Reason.REPLY_WITHHELD if seen.reason in COHORT else Reason.UPDATE_WITHHELD
        return Trouble.of(reason, f"{cluster}: it withholds its reply of round {seen.round} ({seen.reason})")
    if seen.reason in _REFUSED:
        return Trouble.of(Reason.REPLY_REFUSED, f"{cluster}: its reply of round {seen.round} does not count ({why}{shared})")
    return Trouble.of(Reason.CRASHING, f"{cluster}: its training failed in round {seen.round} ({why}{shared})")


def _is_previous(seen: CollaboratorProgress, work: WorkView | None) -> bool:
    """Whether an earlier collaborator of the cluster failed: the aggregator may notice that after the current one was created."""
    if work is None:
        return True
    if seen.time is None:  # from a reporter that does not write it
        return False
    noticed_after = NOTICED_AFTER.total_seconds() if seen.reason in _UNANSWERED else 0.0
    return seen.time < work.created.timestamp() + noticed_after


def in_trouble(found: States, remedies: Mapping[str, str], limit: int = 3) -> str:
    """The failed collaborators in one text, the first `limit` of them with their messages; then those that wait for their site."""
    failed = _first([s.message(remedies) for s in found if s.state == FAILED], limit, "cluster has failed", "clusters have failed")
    waiting = [s.message(remedies) for s in found if s.state == PENDING and s.trouble]
    return " ".join(filter(None, (failed, _first(waiting, limit, "cluster waits for its site", "clusters wait for their sites"))))


def _first(messages: Sequence[str], limit: int, one: str, several: str) -> str:
    more = len(messages) - limit
    return " ".join(messages[:limit]) + (f" And {more} more {one if more == 1 else several}." if more > 0 else "")


def explained(why: Trouble, found: States, remedies: Mapping[str, str]) -> Trouble:
    """The end of a run with the reasons of the failed and waiting collaborators before its remedy. If none could start and all share one
    reason, it is the run's."""
    troubled = {c.reason for c in found if c.trouble}
    if why.reason not in BY_CLUSTERS or not troubled:
        return why
    shared = len(troubled) == 1 and why.reason == Reason.QUORUM_NOT_REACHED
    reason = troubled.pop() if shared else why.reason
    what, remedy = why.parts(remedies)
    return Trouble(reason, " ".join(filter(None, (what, in_trouble(found, remedies), remedy))))
