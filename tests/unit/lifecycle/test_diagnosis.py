"""The status of one collaborator, with text from sites: tables over frozen worlds."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from panal.api.names import ClusterName
from panal.api.status import MAX_COLLABORATORS
from panal.api.types import CollaboratorStatus, ModelStatus, Phase
from panal.lifecycle.decide import decide
from panal.lifecycle.diagnosis import FAILED, NO_PROGRESS, Collaborator, in_trouble
from panal.lifecycle.reasons import REMEDY, Reason, Trouble
from panal.lifecycle.world import PlacementView, Refusal, World
from panal.pod.tools.flower.codes import FlowerEnding
from worlds import (
    NOW,
    ago,
    cluster,
    clusters,
    done,
    job,
    launcher,
    names_of,
    pod,
    progress,
    reason_of,
    remedy,
    run,
    running,
    said,
    seen,
    sites,
    status_after,
    work,
    works,
)

LATELY, LONG_AGO = ago(20), ago(600)  # when the collaborator was created
SHUT_OUT = {"cluster3": replace(sites(3)["cluster3"], certified=None, revoked="2026-03-01T11:58:00Z")}  # type: ignore[index]
HOSTILE = "\x1b[2Jgone\r\nround 3 of 3\u202e\0\ud800" + "x" * 10_000
SEEN = r"\x1b[2Jgone\r\nround 3 of 3\u202e\x00\ud800"


def failed(reason: str, seconds_ago: float | None) -> dict[str, Any]:
    time = None if seconds_ago is None else ago(seconds_ago).timestamp()
    return {"cluster3": seen(round=2, failed=True, reason=reason, time=time)}


def of_cluster3(world: World) -> CollaboratorStatus:
    return next(c for c in status_after(world).collaborators if c.cluster == "cluster3")


STARTING = {"phase": "Pending", "ready": False, "waiting": "ContainerCreating"}
ENDED = {"ready": False, "restarts": 1, "lastExitCode": 3, "lastReason": "Error"}


@pytest.mark.parametrize(
    ("three", "known", "expected"),
    [
        # While it is excluded, that is its reason.
        ("shut out", {}, ("Failed", Reason.CERTIFICATE_REVOKED)),
        ("shut out", failed("NodeUnavailable", 10), ("Failed", Reason.CERTIFICATE_REVOKED)),
        ("shut out", failed("ValueError", 10), ("Failed", Reason.CERTIFICATE_REVOKED)),
        # Admitted again, it has no work yet, or the old one is still being deleted.
        (None, failed("NodeUnavailable", 10), ("Pending", "")),
        (replace(work(3, LONG_AGO, **ENDED), deleting_since=ago(5)), failed("NodeUnavailable", 10), ("Pending", "")),
        (replace(work(3, LONG_AGO), deleting_since=ago(5)), {}, ("Pending", "")),
        # It joins: failures of the previous collaborator do not count, even if noticed after the new one was created.
        (work(3, LATELY, **STARTING), failed("NodeUnavailable", 60), ("Pending", "")),
        (work(3, LATELY, **STARTING), failed("NodeUnavailable", 5), ("Pending", "")),
        (work(3, LATELY), failed("NodeUnavailable", 60), ("Training", "")),
        (work(3, LATELY), failed("NoReply", 5), ("Training", "")),
        (work(3, LATELY), failed("ValueError", 60), ("Training", "")),
        # Later failures count.
        (work(3, LATELY), failed("ValueError", 5), ("Failed", Reason.CRASHING)),
        (work(3, LATELY, **ENDED), failed("NodeUnavailable", 60), ("Failed", Reason.CRASHING)),
        (work(3, LATELY, ready=False, waiting="CrashLoopBackOff"), {}, ("Failed", Reason.CRASHING)),
        (work(3, LONG_AGO, **ENDED), failed("NodeUnavailable", 10), ("Failed", Reason.CRASHING)),
        # A collaborator that does not reply has not crashed.
        (work(3, LONG_AGO), failed("NodeUnavailable", 5), ("Failed", Reason.NO_REPLY)),
        (work(3, LONG_AGO), failed("NoReply", 5), ("Failed", Reason.NO_REPLY)),
        (work(3, LONG_AGO), failed("ValueError", 5), ("Failed", Reason.CRASHING)),
        (work(3, LATELY), failed("ValueError", None), ("Failed", Reason.CRASHING)),  # a reporter that writes no time
        (work(3, LONG_AGO), failed("ReplyIncomplete", 5), ("Failed", Reason.REPLY_REFUSED)),
        (work(3, LONG_AGO), failed("ArraysDiffer", 5), ("Failed", Reason.REPLY_REFUSED)),
    ],
)
def test_a_cluster_that_is_excluded_and_admitted_again(three: Any, known: Any, expected: tuple[str, str]) -> None:
    others = [work(1), work(2)]
    if three == "shut out":
        world = running(works=works(*others, work(3, LONG_AGO)), sites=sites(1, 2) | SHUT_OUT)  # type: ignore[operator]
    else:
        world = running(works=works(*others, *([three] if three else [])))
    found = of_cluster3(replace(world, progress=progress(collaborators=known)))
    assert (found.state, found.reason) == expected
    assert bool(found.message) == bool(found.reason)


def no_data(text: str) -> str:
    return json.dumps({"reason": "DataNotFound", "message": text})


@pytest.mark.parametrize(
    "world",
    [
        running(works=works(work(1), work(2), work(3, ready=False, restarts=1, lastReason=HOSTILE))),
        running(works=works(work(1), work(2), work(3, ready=False, restarts=1, lastMessage=no_data(HOSTILE)))),
        running(works=works(work(1), work(2), work(3, phase="Pending", ready=False, unschedulable=HOSTILE))),
        running(works=works(work(1), work(2), work(3, waiting="CreateContainerError", waitingMessage=HOSTILE))),
        running(works=works(work(1), work(2), work(3, waiting=f"CreateContainer{HOSTILE}"))),
        running(works=works(work(1), work(2), replace(work(3), applied=False, applied_message=HOSTILE))),
        running(refused=(Refusal("ManifestWork", "cluster3", "w", HOSTILE, invalid=False),)),
        running(clusters=clusters(cluster(1), cluster(2), cluster(3, claim=f"pvc://{HOSTILE}"))),
        running(sites=sites(1, 2) | {"cluster3": replace(sites(3)["cluster3"], certified=None, denied=HOSTILE)}),  # type: ignore[index, operator]
        running(sites=sites(1, 2) | {"cluster3": replace(sites(3)["cluster3"], revoked=HOSTILE)}),  # type: ignore[index, operator]
        running(progress=progress(collaborators={"cluster3": seen(failed=True, reason="ValueError", message=HOSTILE)})),
    ],
    ids=["terminated", "launcher", "unschedulable", "waiting", "code", "agent", "API server", "claim", "denied", "revoked", "exception"],
)
def test_text_from_a_site_is_escaped_in_every_message(world: World) -> None:
    found = of_cluster3(world)
    assert SEEN in found.message
    assert found.message.endswith(remedy(found.reason))
    assert len(found.message) <= 350
    _shown(world)


@pytest.mark.parametrize(
    "world",
    [
        running(job=job(pod(launcher(running=False, exit_code=1, message=no_data(HOSTILE))), failed=True)),
        running(job=job(pod(launcher(running=False, exit_code=1, terminated=HOSTILE)), failed=True)),
        running(job=job(pod(launcher(running=False), reason=HOSTILE, message=HOSTILE), failed=True)),
        running(job=job(failed=True, failure=HOSTILE)),
        running(job=job(pod(launcher(running=False, waiting=HOSTILE, waiting_message=HOSTILE))), progress=None),
        running(job=job(pod(launcher(running=False, waiting="ErrImagePull", image=HOSTILE))), progress=None),
        running(job=job(pod(launcher(running=False), scheduled=False, unschedulable=HOSTILE)), progress=None),
        running(progress=progress(metrics={HOSTILE: 0.5})),
    ],
    ids=["launcher", "terminated", "Pod", "Job", "waiting", "image", "unschedulable", "metric"],
)
def test_text_from_the_aggregator_is_escaped(world: World) -> None:
    _shown(world)


def _shown(world: World) -> None:
    """Asserts that the status is valid and printable."""
    plan = decide(world, NOW)
    text = plan.status.model_dump_json() if plan.status else ""
    assert r"\\x1b[2Jgone" in text
    assert text.isprintable()
    assert len(text) < 20_000


def test_a_long_message_leaves_room_for_its_remedy() -> None:
    status = status_after(running(job=job(pod(launcher(running=False, exit_code=1, message=no_data("x" * 100_000))), failed=True)))
    assert status.message.endswith(f"…. {REMEDY[Reason.DATA_NOT_FOUND]}")
    assert len(status.message) < 2500


@pytest.mark.parametrize("text", ["[" * 4096, '{"reason": [1], "message": 1}', '{"reason": "Crashing"}', "[]", "1" * 4096, '"\ud800"'])
def test_foreign_termination_messages_are_ignored(text: str) -> None:
    found = of_cluster3(running(works=works(work(1), work(2), work(3, ready=False, restarts=1, lastMessage=text))))
    assert (found.reason, "ended (exit code ?" in found.message) == (Reason.CRASHING, True)


@pytest.mark.parametrize("reason", [FlowerEnding.FLOWER_NOT_SUPPORTED, FlowerEnding.FLOWER_VERSIONS_DIFFER])
def test_an_incompatible_flower_has_its_own_reason_and_remedy(reason: FlowerEnding) -> None:
    """At a site, on the hub, and as the run's reason if no site could start."""
    text = json.dumps({"reason": reason, "message": "The image holds Flower 1.99.0"})
    site = of_cluster3(running(works=works(work(1), work(2), work(3, ready=False, restarts=1, lastMessage=text))))
    hub = status_after(running(job=job(pod(launcher(running=False, exit_code=1, message=text)), failed=True)))
    assert (site.state, site.reason) == ("Failed", reason)
    for message in (site.message, hub.message):
        assert message.endswith(f"The image holds Flower 1.99.0. {remedy(reason)}")
        assert "flwr build" not in message
    assert next(c.reason for c in hub.conditions if c.type == "Failed") == reason


def test_running_stays_running_when_a_collaborator_is_lost() -> None:
    lost = running(clusters=clusters(cluster(1), cluster(2), cluster(3, available=None)))
    status = status_after(lost)
    assert status.phase is Phase.RUNNING
    assert status.collaborators[0].reason == Reason.CLUSTER_UNREACHABLE
    assert "cluster3" in status.message


def test_a_shared_exception_text_is_in_the_message() -> None:
    failed = seen(failed=True, reason="ValueError")
    shared = failed.model_copy(update={"message": "no number in column 3"})
    status = status_after(running(progress=progress(collaborators={"cluster1": shared, "cluster2": failed})))
    messages = {c.cluster: c.message for c in status.collaborators}
    assert "failed in round 1 (ValueError: no number in column 3)" in messages["cluster1"]
    assert "failed in round 1 (ValueError)" in messages["cluster2"]


def test_a_refused_work_fails_only_its_cluster() -> None:
    status = status_after(running(refused=(Refusal("ManifestWork", "cluster2", "fl", "namespace is being terminated", invalid=False),)))
    assert status.phase is Phase.RUNNING
    assert [(c.cluster, c.reason) for c in status.collaborators if c.state == "Failed"] == [("cluster2", Reason.WORK_REFUSED)]


def test_a_missing_quorum_has_the_common_reason_of_the_clusters() -> None:
    world = said("QuorumNotReached", "1 of 2 collaborators connected within 600 s")
    missing = replace(world, works=works(work(1), work(2, phase="Pending", waiting="ErrImagePull", ready=False), work(3)))
    status = status_after(missing)
    assert reason_of(status) == Reason.IMAGE_PULL_FAILED
    assert "1 of 2 collaborators connected" in status.message
    assert "cluster2: image example/app:1: ErrImagePull" in status.message


def test_a_missing_quorum_with_several_causes_keeps_its_reason() -> None:
    ill = works(work(1), work(2, phase="Pending", waiting="ErrImagePull"), work(3, phase="Pending", unschedulable="0/1 nodes"))
    status = status_after(replace(said("QuorumLost", "lost"), works=ill))
    assert reason_of(status) == Reason.QUORUM_LOST
    assert "cluster2" in status.message
    assert "cluster3" in status.message


def test_the_message_of_a_failed_run_names_clusters_before_the_remedy_and_the_model_last() -> None:
    known = progress(rounds_completed=1, model=ModelStatus(uri="pvc://m/model.safetensors", digest="sha256:0", size=1, round=1))
    known = known.model_copy(
        update={"collaborators": {"cluster2": seen(round=2, failed=True, reason="FileNotFoundError", message="no labels.csv")}}
    )
    status = status_after(replace(said("QuorumLost", "Round 2: 1 of 3 collaborators sent an update, 2 needed"), progress=known))
    places = [
        status.message.index(text)
        for text in ("1 of 3", "cluster2: its training failed", "no labels.csv", "or lower spec.server", "pvc://m/")
    ]
    assert places == sorted(places)


def test_a_cluster_that_has_replied_while_others_have_not_says_so() -> None:
    world = running(progress=progress(started=True, waiting="waits for cluster3", replied=["cluster1", "cluster2"]))
    assert [c.state for c in status_after(world).collaborators] == ["Replied", "Replied", "Training"]
    assert status_after(world).clients.ready == 3


@pytest.mark.parametrize(
    "world",
    [
        running(run=run(status_after(running(progress=progress(started=True))), stop=True)),
        replace(said("ServerAppFailed", "error"), progress=progress(started=True, replied=["cluster1"])),
        done(),
    ],
)
def test_no_cluster_works_for_a_run_that_has_ended(world: World) -> None:
    status = status_after(world)
    assert status.phase in (Phase.FAILED, Phase.COMPLETED)
    assert [c.state for c in status.collaborators] == ["Done"] * 3


def test_a_cluster_that_never_was_ready_stays_pending_when_the_run_ends() -> None:
    waiting = works(work(1), work(2), work(3, phase="Pending", ready=False, waiting="ContainerCreating"))
    assert [c.state for c in status_after(replace(said("ServerAppFailed", "error"), works=waiting)).collaborators] == [
        "Done",
        "Done",
        "Pending",
    ]


@pytest.mark.parametrize(
    ("failed", "said_last"), [(3, "c"), (4, "And 1 more cluster has failed."), (5, "And 2 more clusters have failed.")]
)
def test_clusters_beyond_the_limit_are_counted(failed: int, said_last: str) -> None:
    found = [Collaborator(ClusterName(name), FAILED, Trouble("X", name), NO_PROGRESS) for name in "abcde"[:failed]]
    assert in_trouble(found, {}).endswith(said_last)


def test_the_counts_include_the_collaborators_that_are_not_listed() -> None:
    many = range(1, MAX_COLLABORATORS + 11)
    ill = [work(n, phase="Pending", waiting="ErrImagePull") if n % 2 else work(n) for n in many]
    sites_of_all = {"clusters": clusters(*map(cluster, many)), "sites": sites(*many), "works": works(*ill)}
    status = status_after(running(**sites_of_all, placement=PlacementView(names_of(*many), settled=True)))
    assert (status.clients.selected, status.clients.ready, status.clients.failed) == (60, 30, 30)
    assert [c.state for c in status.collaborators] == [FAILED] * 30 + ["Training"] * 20
