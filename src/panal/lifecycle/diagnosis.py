"""How each collaborator is doing, from what its cluster's agent reports, what the aggregator saw of it, and whether the cluster is there.

The first rule that applies wins; a collaborator in trouble is Failed for now and may recover: only the quorum ends a run. What is known of
an earlier collaborator of the cluster, of before it was shut out and let in again, is not held against the present one.
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from datetime import datetime, timedelta

from panal.api.names import ClusterName
from panal.api.progress import CollaboratorProgress, finite, non_finite
from panal.api.text import shown
from panal.api.types import CollaboratorStatus
from panal.lifecycle.collaborators import cannot_take_part
from panal.lifecycle.participants import uncertified
from panal.lifecycle.reasons import NONE, Reason, Trouble
from panal.lifecycle.runtime import runtime_of
from panal.lifecycle.world import WorkView, World
from panal.pod.tools.codes import Ending, Refused, Unanswered, read_termination

PENDING, READY, TRAINING, FAILED, DONE = "Pending", "Ready", "Training", "Failed", "Done"
IMAGE_REASONS = frozenset(
    {"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "ImageInspectError", "RegistryUnavailable"}
)
POD_SHOULD_EXIST_AFTER = timedelta(seconds=60)
# How long it may take the runtime to notice that a collaborator no longer answers.
NOTICED_AFTER = timedelta(seconds=120)
MESSAGE_LENGTH = 300
_ENDINGS = frozenset(Ending)
QUORUM = (Reason.QUORUM_NOT_REACHED, Reason.QUORUM_LOST)

Feedback = Mapping[str, str | int | bool]


def states(world: World, selected: frozenset[ClusterName], now: datetime) -> tuple[CollaboratorStatus, ...]:
    """One status for each selected cluster: those in trouble first, then by name."""
    known = world.progress.collaborators if world.progress else {}
    found = [_state(world, cluster, known.get(cluster), now) for cluster in selected]
    return tuple(sorted(found, key=lambda s: (s.state != FAILED, s.cluster)))


def _state(world: World, cluster: ClusterName, seen: CollaboratorProgress | None, now: datetime) -> CollaboratorStatus:
    work = _present(world, cluster)
    trouble = _trouble(world, cluster, now) or _training_trouble(cluster, seen, work)
    training = bool(world.progress and world.progress.started)
    if trouble:
        state = FAILED
    elif work and work.feedback.get("phase") == "Running" and work.feedback.get("ready") is True:
        state = TRAINING if training else READY
    else:
        state = PENDING
    numbers = seen or CollaboratorProgress()
    return CollaboratorStatus(
        cluster=cluster,
        state=state,
        reason=str(trouble.reason) if trouble else "",
        message=shown(trouble.message, MESSAGE_LENGTH) if trouble else "",
        round=numbers.round,
        seconds=numbers.seconds,
        metrics=finite(numbers.metrics),
        non_finite_metrics=non_finite(numbers.metrics),
    )


def _present(world: World, cluster: ClusterName) -> WorkView | None:
    """The cluster's collaborator, if it is not on its way out: another one takes its place if the cluster stays."""
    work = world.works.get(cluster)
    return work if work and work.deleting_since is None else None


def _trouble(world: World, cluster: ClusterName, now: datetime) -> Trouble | None:
    if outside := cannot_take_part(world, cluster):
        return outside
    view = world.clusters.get(cluster)
    if view is None or view.available is not True:
        return _told(Reason.CLUSTER_UNREACHABLE, f"{cluster}: the hub has lost contact with the cluster")
    refused = next((r for r in world.refused if r.kind == "ManifestWork" and r.namespace == cluster), None)
    if refused:
        return _told(Reason.WORK_REFUSED, f"{cluster}: {refused.message}")
    work = _present(world, cluster)
    if work is None:
        return None
    if work.applied is False:
        return _told(Reason.WORK_NOT_APPLIED, f"{cluster}: {work.applied_message}")
    return uncertified(world, cluster, now) or _pod_trouble(world, work, now)


def _pod_trouble(world: World, work: WorkView, now: datetime) -> Trouble | None:
    said, cluster = work.feedback, work.cluster
    if not work.pod_exists:
        late = work.applied and now - _created(work) > POD_SHOULD_EXIST_AFTER
        return _told(Reason.POD_NOT_CREATED, f"{cluster}: the collaborator's Pod does not exist") if late else None
    images = {"toolsWaiting": world.images.pod_tools, "gatewayWaiting": world.images.gateway, "waiting": world.run.spec.client.image}
    for name, image in images.items():
        waiting = said.get(name)
        if waiting in IMAGE_REASONS:
            return _told(Reason.IMAGE_PULL_FAILED, f"{cluster}: image {image}: {waiting}")
    if said.get("phase") == "Pending" and said.get("unschedulable"):
        return _unschedulable(cluster, str(said["unschedulable"]))
    return _container_trouble(cluster, said, runtime_of(world).remedies)


def _unschedulable(cluster: ClusterName, message: str) -> Trouble:
    claim_is_missing = "persistentvolumeclaim" in message and "not found" in message
    return _told(Reason.DATA_NOT_FOUND if claim_is_missing else Reason.UNSCHEDULABLE, f"{cluster}: {message}")


def _container_trouble(cluster: ClusterName, said: Feedback, remedies: Mapping[str, str]) -> Trouble | None:
    waiting, message = str(said.get("waiting") or ""), str(said.get("waitingMessage") or "")
    if waiting.startswith(("CreateContainer", "RunContainer")):
        reason = Reason.DATA_NOT_FOUND if "subPath" in message else Reason.CONTAINER_CONFIG_INVALID
        return _told(reason, f"{cluster}: {waiting}: {message}")
    ended = bool(said.get("restarts")) and said.get("ready") is not True
    if waiting != "CrashLoopBackOff" and not ended:
        return None
    told, message = said_at_end(str(said.get("lastMessage") or ""), remedies)
    if told:
        return _told(told, f"{cluster}: {message}", remedies)
    why = f"exit code {said.get('lastExitCode', '?')}, {said.get('lastReason', 'Error')}"
    return _told(Reason.CRASHING, f"{cluster}: the collaborator's container ended ({why})")


def said_at_end(text: str, own: Container[str]) -> tuple[str | None, str]:
    """Reason and message of a container's termination message, if its code is an Ending or one of the runtime's `own`; (None, "") for any
    other text, which may be of user code."""
    said = read_termination(text)
    return said if said and (said[0] in _ENDINGS or said[0] in own) else (None, "")


def _training_trouble(cluster: ClusterName, seen: CollaboratorProgress | None, work: WorkView | None) -> Trouble | None:
    if seen is None or not seen.failed or _of_former(seen, work):
        return None
    if seen.reason in set(Unanswered):
        return _told(Reason.NO_REPLY, f"{cluster}: it did not answer in round {seen.round} ({seen.reason})")
    why = seen.reason or "no reason given"
    shared = f": {seen.message}" if seen.message else ""  # by the word of the site's owner, or the aggregator's own
    if seen.reason in set(Refused):
        return _told(Reason.REPLY_REFUSED, f"{cluster}: its reply of round {seen.round} does not count ({why}{shared})")
    return _told(Reason.CRASHING, f"{cluster}: its training failed in round {seen.round} ({why}{shared})")


def _of_former(seen: CollaboratorProgress, work: WorkView | None) -> bool:
    """Whether what failed was an earlier collaborator of the cluster: that it is gone may be noticed after the present one was made."""
    if work is None:
        return True
    if seen.time is None:  # of a reporter that does not say
        return False
    noticed_after = NOTICED_AFTER.total_seconds() if seen.reason in set(Unanswered) else 0.0
    return seen.time < _created(work).timestamp() + noticed_after


def _created(work: WorkView) -> datetime:
    return datetime.fromisoformat(work.object["metadata"]["creationTimestamp"])


def _told(reason: str, message: str, remedies: Mapping[str, str] = NONE) -> Trouble:
    return Trouble.of(reason, shown(message, MESSAGE_LENGTH - 100), remedies)


def in_trouble(found: tuple[CollaboratorStatus, ...], limit: int = 3) -> str:
    """The troubled clusters in one sentence, the first `limit` of them by their messages."""
    troubled = [s for s in found if s.state == FAILED]
    text = " ".join(s.message for s in troubled[:limit])
    more = len(troubled) - limit
    return f"{text} And {more} more clusters in trouble." if more > 0 else text


def explained(why: Trouble, states: tuple[CollaboratorStatus, ...]) -> Trouble:
    """A missing quorum with the clusters' own reasons; if none could start and they share one, it is the run's."""
    troubled = {c.reason for c in states if c.state == FAILED}
    if why.reason not in QUORUM or not troubled:
        return why
    shared = len(troubled) == 1 and why.reason == Reason.QUORUM_NOT_REACHED
    reason = troubled.pop() if shared else why.reason
    return Trouble(reason, f"{why.message} {in_trouble(states)}")
