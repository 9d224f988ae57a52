"""Runs by the Python API on the API server of the local platform. The tests are the controller: they write the statuses."""

from __future__ import annotations

import asyncio
import base64
import gzip
import signal
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
import yaml

import dashboards
from api import Api, api
from embedded import Embedded
from panal import FederatedLearning, Problem, Progress, RunFailed
from panal.api import names
from panal.api.crd import crd
from panal.cli import new
from panal.client import controller_lease, following
from panal.client.problem import Code
from panal.kube import kinds
from panal.kube.client import Client
from panal.kube.times import now_utc, to_micro_time
from panal_local.ocm.writing import serve
from waiting import eventually

SOON = 60.0  # seconds; only what fails takes so long


@pytest.fixture(scope="module")
def server(tmp_path_factory) -> Iterator[Embedded]:
    made = Embedded(tmp_path_factory.mktemp("hub")).start()
    try:
        asyncio.run(_define(made.kubeconfig))
        api(made.kubeconfig).make_namespace(names.SYSTEM_NAMESPACE)
        yield made
    finally:
        made.stop()


async def _define(kubeconfig: Path) -> None:
    async with Client.from_kubeconfig(kubeconfig) as client:
        await serve(client, [crd()])


@pytest.fixture
def hub(server) -> Api:
    return api(server.kubeconfig)


@pytest.fixture(scope="module")
def app(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("apps") / "heights"
    new.new(folder)
    return folder


@pytest.fixture(autouse=True)
def alone(monkeypatch, tmp_path) -> None:
    """Neither the hub nor the local platform of who runs the tests."""
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.setenv("PANAL_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HOME", str(tmp_path))


@pytest.fixture
def made(server, app) -> Callable[..., FederatedLearning]:
    def make(**more) -> FederatedLearning:
        return FederatedLearning.from_app(app, **{"image": "registry/heights:1", "kubeconfig": server.kubeconfig, **more})

    return make


def report(hub: Api, run: FederatedLearning, phase: str, completed: int = 0, **status) -> None:
    found = {"phase": phase, "rounds": {"completed": completed, "total": 3, "summary": f"{completed}/3"}, **status}
    hub.patch_status(kinds.FEDERATED_LEARNING, run.namespace, run.name, **found)


def watched(run: FederatedLearning) -> tuple[list[Progress], threading.Thread]:
    """What `watch` yields, in a thread."""
    seen: list[Progress] = []
    thread = threading.Thread(target=lambda: [seen.append(each) for each in run.watch(SOON)], daemon=True)
    thread.start()
    return seen, thread


# --- making one ----------------------------------------------------------------------------------------------------
def test_a_run_for_a_hub_is_the_resource_that_kubectl_would_apply(made) -> None:
    more = {"server": {"listeners": [{"type": "NodePort", "port": 30001}]}, "result": "Model"}
    run = made(name="mine", namespace="ns", rounds=7, clients=2, data_claim="people.example.com", spec=more)
    found = run.manifest()
    assert yaml.safe_load(run.to_yaml()) == found
    assert (found["kind"], found["metadata"]) == ("FederatedLearning", {"name": "mine", "namespace": "ns"})
    assert found["spec"]["server"]["image"] == found["spec"]["client"]["image"] == "registry/heights:1"
    assert (run.spec.server.rounds, run.spec.server.min_available_clients, run.spec.server.listeners[0].port) == (7, 2, 30001)
    assert found["spec"]["client"]["placement"]["predicates"]
    found["spec"].clear()
    assert run.manifest()["spec"], "it is a copy"


def test_a_run_begins_with_the_model_of_another_one(made, hub) -> None:
    hub.make_namespace("warm")
    first = made(name="first", namespace="warm")
    with pytest.raises(Problem, match="was not applied yet"):
        made(initial_model=first)
    for given in ("first", first.apply()):
        second = made(initial_model=given)
        assert second.manifest()["spec"]["server"]["initialModel"] == {"run": "first"}


def test_the_run_config_of_the_app_says_how_many_clusters_a_round_needs(made) -> None:
    assert made().spec.server.min_available_clients == 3
    assert made(run_config={"min-available-nodes": 2}).spec.server.min_available_clients == 2


def test_a_run_for_the_local_platform_is_known_before_it_is_up(app, tmp_path) -> None:
    run = FederatedLearning.from_app(app, home=tmp_path / "home", run_config={"num-server-rounds": 4})
    assert run.manifest()["metadata"] == {"generateName": "heights-"}
    assert (run.spec.server.image, run.spec.server.min_available_clients, run.spec.server.rounds) == ("app/heights:latest", 3, 4)
    assert (run.name, repr(run)) == ("", "FederatedLearning(not applied yet, on the local platform)")
    with pytest.raises(Problem, match="was not applied yet"):
        _ = run.status


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"image": None}, "a run on a hub needs the image of the app"),
        ({"data": "people"}, "data is for the local platform"),
        ({"home": "home"}, "home is the local platform's folder"),
        ({"rounds": 3, "run_config": {"num-server-rounds": 4}}, "3 rounds are asked for, but the run config has 4"),
        ({"run_config": {"depth": 4}}, "run_config: the app does not declare depth"),
        ({"spec": {"server": {"storage": {"type": "Tape"}}}}, r"spec\.server\.storage\.type: Input should be"),
        ({"clients": -1}, r"spec\.server\.minAvailableClients: Input should be greater than or equal to 1"),
        ({"kubeconfig": "/nowhere/config"}, "the file /nowhere/config does not exist"),
    ],
)
def test_what_cannot_be_a_run_is_said_with_the_remedy(made, more, why) -> None:
    with pytest.raises(Problem, match=why) as found:
        made(**more)
    assert found.value.code == Code.USAGE
    assert found.value.__notes__ == [found.value.remedy]


def test_an_image_is_for_whichever_hub_is_chosen(made, server, monkeypatch) -> None:
    monkeypatch.setenv("KUBECONFIG", str(server.kubeconfig))
    assert "KUBECONFIG" in repr(made(kubeconfig=None))
    with pytest.raises(Problem, match="a run on a hub needs the image"):
        made(kubeconfig=None, image=None)


# --- applying ------------------------------------------------------------------------------------------------------
def test_each_run_without_a_name_gets_the_next_number(made) -> None:
    first, second = made().apply(), made().apply()
    assert first.namespace == "default"
    number = int(first.name.removeprefix("heights-"))
    assert second.name == f"heights-{number + 1}"
    assert first.manifest()["metadata"] == {"name": first.name, "namespace": "default"}
    assert "storage" in first.manifest()["spec"]["server"]
    assert first.spec.server.storage.size == "1Gi", "the spec as the API server has it"


def test_applying_again_is_the_same_run_and_one_that_has_ended_is_not_started_again(made, hub) -> None:
    run = made(name="again").apply()
    assert run.apply().name == "again"
    assert made(name="again", rounds=9).apply().spec.server.rounds == 9
    report(hub, run, "Completed", 3)
    with pytest.raises(Problem, match="again has ended already, as Completed: nothing was started"):
        made(name="again", rounds=9).apply()
    with pytest.raises(Problem, match="the run has ended, so its spec is immutable"):
        made(name="again", rounds=10).apply()


def test_an_api_server_says_what_it_refuses(made) -> None:
    with pytest.raises(Problem, match="colour") as found:
        made(name="odd", spec={"server": {"colour": "red"}}).apply()
    assert found.value.code == Code.REFUSED
    with pytest.raises(Problem, match="the namespace nowhere does not exist"):
        made(name="odd", namespace="nowhere").apply()


async def test_every_call_works_where_an_event_loop_runs(made, hub) -> None:
    run = made(name="cell").apply()
    report(hub, run, "Completed", 3)
    assert [each.phase for each in run.watch(SOON)] == ["Completed"]
    assert run.status.rounds.completed == 3


# --- following -----------------------------------------------------------------------------------------------------
def test_every_change_is_seen_until_the_run_has_ended(made, hub) -> None:
    run = made(name="rounds").apply()
    changes = run.watch(SOON)
    assert next(changes).phase == "Waiting"
    report(hub, run, "Running", 1, metrics={"accuracy": 0.8})
    assert (first := next(changes)).metrics == {"accuracy": 0.8}
    assert (first.round, first.rounds, first.current) == (1, 3, True)
    report(hub, run, "Running", 2)
    report(hub, run, "Completed", 3, metrics={"accuracy": 0.9})
    rest = [(each.phase, each.round) for each in changes]
    assert rest[-1] == ("Completed", 3)
    assert len(rest) <= 2, "what changes while nobody looks is one change"
    assert run.wait(SOON).metrics == {"accuracy": 0.9}


def test_it_goes_on_when_the_api_server_was_killed(made, hub, server, monkeypatch) -> None:
    monkeypatch.setattr(following, "CHECK_AFTER", 0.2)
    run = made(name="killed").apply()
    seen, thread = watched(run)
    eventually(lambda: seen, "the run is seen", SOON)
    server.stop(signal.SIGKILL)
    eventually(lambda: seen[-1].unavailable, "it is said that the API server does not answer", SOON)
    assert not seen[-1].current
    with pytest.raises(Problem) as found:
        _ = run.status
    assert found.value.code == Code.UNREACHABLE
    server.start()
    eventually(lambda: not seen[-1].unavailable, "it is said that it answers again", SOON)
    report(hub, run, "Completed", 3)
    thread.join(SOON)
    assert (seen[-1].phase, seen[-1].round, seen[-1].current) == ("Completed", 3, True)


def test_an_api_server_that_stays_away_ends_it(made, server, monkeypatch) -> None:
    monkeypatch.setattr(following, "CHECK_AFTER", 0.1)
    monkeypatch.setattr(following, "UNAVAILABLE_LIMIT", 0.3)
    run = made(name="away").apply()
    server.stop(signal.SIGKILL)
    try:
        with pytest.raises(Problem, match="the API server has not answered for") as found:
            run.wait(SOON)
        assert found.value.code == Code.UNREACHABLE
    finally:
        server.start()


def test_a_status_that_the_controller_does_not_renew_may_be_old(made, hub, monkeypatch) -> None:
    monkeypatch.setattr(controller_lease, "CHECK_EVERY", 0.05)
    run = made(name="silent").apply()
    seen, thread = watched(run)
    eventually(lambda: seen, "the run is seen", SOON)
    lease = {"metadata": {"name": names.CONTROLLER_LEASE, "namespace": names.SYSTEM_NAMESPACE}, "apiVersion": "coordination.k8s.io/v1"}
    for ago, silent in ((timedelta(minutes=10), True), (timedelta(0), False)):
        spec = {"holderIdentity": "x", "leaseDurationSeconds": 30, "renewTime": to_micro_time(now_utc() - ago)}
        hub.apply({**lease, "kind": "Lease", "spec": spec})
        eventually(lambda silent=silent: bool(seen[-1].silent_since) == silent, f"silent is {silent}", SOON)
        assert seen[-1].current != silent
    report(hub, run, "Completed", 3)
    thread.join(SOON)
    assert seen[-1].phase == "Completed"


def test_a_run_that_takes_too_long_goes_on(made, hub) -> None:
    run = made(name="long").apply()
    with pytest.raises(Problem, match=r"long has not ended within 0.2 s") as found:
        run.wait(0.2)
    assert found.value.code == Code.TIMEOUT
    assert hub.get(kinds.FEDERATED_LEARNING, "default", "long")


def test_a_run_that_failed_says_why(made, hub) -> None:
    run = made(name="failing").apply()
    condition = {"type": "Failed", "status": "True", "reason": "AppFailed", "lastTransitionTime": "2026-01-01T00:00:00Z", "message": "x"}
    report(hub, run, "Failed", 1, message="the server app failed: KeyError\x1b[2J", conditions=[condition])
    with pytest.raises(RunFailed, match="failing failed with the reason AppFailed: the server app failed: KeyError") as found:
        run.wait(SOON)
    assert (found.value.reason, found.value.code, found.value.progress.round) == ("AppFailed", Code.RUN_FAILED, 1)
    assert "\x1b" not in str(found.value)


def test_a_deleted_run_and_another_of_its_name_are_not_it(made, hub) -> None:
    run = made(name="twice").apply()
    changes = run.watch(SOON)
    next(changes)
    run.delete(SOON)
    with pytest.raises(Problem, match="the run twice was deleted") as found:
        next(changes)
    assert found.value.code == Code.NOT_FOUND
    other = made(name="twice").apply()
    for call in (lambda: run.status, lambda: run.wait(SOON), run.suspend, run.delete, run.history, run.model):
        with pytest.raises(Problem, match="the run twice was deleted, and another one has its name"):
            call()
    assert other.status.phase == "Waiting"


# --- finding, reading and changing ---------------------------------------------------------------------------------
def test_runs_are_found_and_changed(made, hub, server) -> None:
    made(name="there", rounds=4).apply()
    run = FederatedLearning.get("there", kubeconfig=server.kubeconfig)
    assert (run.namespace, run.spec.server.rounds) == ("default", 4)
    run.suspend()
    assert FederatedLearning.get("there", "default", kubeconfig=server.kubeconfig).spec.suspend is True
    run.resume()
    run.stop()
    assert FederatedLearning.get("there", kubeconfig=server.kubeconfig).spec.stop is True
    names_of = [each.name for each in FederatedLearning.list("default", kubeconfig=server.kubeconfig)]
    assert "there" in names_of
    assert FederatedLearning.list("nowhere", kubeconfig=server.kubeconfig) == []
    with pytest.raises(Problem, match="the run nobody does not exist"):
        FederatedLearning.get("nobody", kubeconfig=server.kubeconfig)
    report(hub, run, "Completed", 3)
    with pytest.raises(Problem, match="there is already Completed"):
        run.suspend()


def test_the_history_is_empty_before_the_first_round(made, hub) -> None:
    run = made(name="digits").apply()
    assert list(run.history()) == []
    uid = hub.get(kinds.FEDERATED_LEARNING, "default", "digits")["metadata"]["uid"]
    content = dashboards.history("digits", "default")
    content["metadata"].pop("labels")
    hub.apply(_of(content, uid))
    assert [(each.round, each.metrics, sorted(each.clusters or ())) for each in run.history()] == [
        (1, {"accuracy": 0.8}, ["site-a", "site-b"]),
        (2, {"accuracy": 0.91}, ["site-a", "site-b"]),
    ]


def _of(config_map, uid):
    """The history of the run with that uid."""
    packed = gzip.decompress(base64.b64decode(config_map["binaryData"][names.KEY_HISTORY])).replace(b"uid-of-digits", uid.encode())
    return config_map | {"binaryData": {names.KEY_HISTORY: base64.b64encode(gzip.compress(packed)).decode()}}


def test_a_run_without_a_model_has_none(made) -> None:
    with pytest.raises(Problem, match="empty has no stored model") as found:
        made(name="empty").apply().model()
    assert found.value.code == Code.NOT_FOUND
