"""What a run really sends, opens and may do, on real machines: seen on the cable, at the ports and in the containers' processes."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from bridge import run as command
from containers import Containers
from on_nodes import Network, bystander, look, pod_ip, pod_on
from panal.api.names import GATEWAY_HEALTH_PORT, GATEWAY_PORT
from runs import Run, apply
from waiting import eventually
from wire import ALERT, APPLICATION_DATA, CHANGE_CIPHER_SPEC, HANDSHAKE, TLS_1_3, Capture, sniffed, tls_records, versions

pytestmark = [pytest.mark.real, pytest.mark.nodes]

NS = "runs"
CLUSTERS = ["cluster1", "cluster2"]
ARRAY = b"shared-weights"  # the name of the app's only array
OF_THE_MACHINE = {53: "DNS", 6443: "the API server", 10250: "the kubelet"}  # the hub's own, none of ours
HUB_CONTAINERS = {"gateway", "reporter", "superlink", "launcher"}
SITE_CONTAINERS = {"gateway", "supernode"}
PLAIN = [b"GET /ready HTTP/1.1\r\nHost: hub\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(9), b"\n" * 100]


@dataclass(frozen=True)
class Watched:
    """A run that is going on, and what was sent while it began and completed two rounds: on the cable of the hub's machine, and on
    loopback in the aggregator's Pod."""

    run: Run
    engine: Containers
    cable: Capture
    loopback: Capture

    @property
    def address(self) -> tuple[str, int]:
        found = self.run.status()["listeners"][0]
        return found["address"], found["port"]

    @property
    def aggregator(self) -> str:
        return self.run.aggregators()[0]

    def pods(self) -> list[tuple[str, str]]:
        return [("hub", self.aggregator), *((cluster, self.run.collaborators(cluster)[0]) for cluster in CLUSTERS)]


@pytest.fixture(scope="module")
def watched(engine: Containers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    folder = tmp_path_factory.mktemp("wire")
    machine = engine.fleet.hub.machine
    assert machine
    with sniffed(machine.port, folder) as cable:
        client = {"env": [{"name": "STEPS_SECONDS", "value": "1"}]}
        run = apply(engine, NS, "wire", clusters=CLUSTERS, server={"rounds": 500}, client=client)
        pod = eventually(run.aggregators, "there is an aggregator", 60)[0]
        eventually(lambda: "reporter" in look(engine.fleet, "hub", pod), "its Pod runs", 60)
        with sniffed("lo", folder, Network.of_pod(engine.fleet, "hub", pod).enter) as loopback:
            run.until_round(2)
    yield Watched(run, engine, cable, loopback)
    run.delete()


# --- on the cable ---------------------------------------------------------------------------------------------------------
def test_between_clusters_everything_is_tls_1_3(watched: Watched) -> None:
    assert watched.cable.lost == 0
    streams = [s for s in watched.cable.streams() if watched.address in (s.source, s.target) and s.data]
    spokes = {watched.engine.fleet[cluster].ip for cluster in CLUSTERS}
    assert {s.source.address for s in streams if s.target == watched.address} == spokes
    assert {s.target.address for s in streams if s.source == watched.address} == spokes
    for stream in streams:
        hello, *rest = tls_records(stream.data)
        assert hello.kind == HANDSHAKE
        assert versions(hello) == [TLS_1_3]
        assert {r.kind for r in rest} <= {CHANGE_CIPHER_SPEC, APPLICATION_DATA, ALERT}
        assert sum(r.kind == APPLICATION_DATA for r in rest) > 1


def test_nothing_of_the_training_can_be_read_on_the_cable(watched: Watched) -> None:
    for words in (ARRAY, b"/v1/fleet/", b"PRI * HTTP/2", b"HTTP/1.1"):
        assert not watched.cable.says(words), words
    assert watched.loopback.says(ARRAY), "it can where it is meant to be read"
    assert watched.loopback.says(b"POST /v1/fleet/")


def test_all_that_is_sent_between_machines_begins_with_a_tls_handshake(watched: Watched) -> None:
    """The agents of Open Cluster Management and kubectl among it."""
    began = {s.target.port: s.data[:3] for s in watched.cable.streams() if s.data and s.target.address == watched.address[0]}
    assert watched.address[1] in began
    assert {port: data for port, data in began.items() if data[0] != HANDSHAKE or data[1] != 3} == {}


# --- at the ports ---------------------------------------------------------------------------------------------------------
@contextmanager
def road_to_pods(engine: Containers, cluster: str) -> Iterator[None]:
    """Pods of the hub are within reach of another cluster's machine, as they are where clusters share a routed network."""
    machine, hub = engine.fleet[cluster].machine, engine.fleet.hub.machine
    assert machine
    assert hub
    road = ("ip", "route", "replace", f"{hub.pods}.0/24", "via", hub.ip)
    command(*machine.enter(*road))
    try:
        yield
    finally:
        command(*machine.enter("ip", "route", "delete", f"{hub.pods}.0/24"))


def test_of_65535_ports_those_that_spokes_reach_are_the_gateways(watched: Watched) -> None:
    engine = watched.engine
    address, port = watched.address
    pod = pod_ip(engine.hub, NS, watched.aggregator)
    with road_to_pods(engine, "cluster1"):
        found = Network.of_machine(engine.fleet, "cluster1").scan(address, pod)
    assert found[address] == {"opened": sorted([*OF_THE_MACHINE, port]), "silent": []}
    assert found[pod] == {"opened": [GATEWAY_PORT, GATEWAY_HEALTH_PORT], "silent": []}


def test_the_aggregator_is_as_closed_to_its_own_machine_and_to_pods_beside_it(watched: Watched) -> None:
    engine = watched.engine
    pod = pod_ip(engine.hub, NS, watched.aggregator)
    opened = {"opened": [GATEWAY_PORT, GATEWAY_HEALTH_PORT], "silent": []}
    with pod_on(engine.hub, bystander("beside", NS)):
        assert Network.of_pod(engine.fleet, "hub", "beside").scan(pod) == {pod: opened}
    assert Network.of_machine(engine.fleet, "hub").scan(pod) == {pod: opened}


@pytest.mark.parametrize("words", PLAIN, ids=["http1", "http2", "newlines"])
def test_the_gateway_answers_nobody_who_speaks_plainly(watched: Watched, words: bytes) -> None:
    with socket.create_connection(watched.address, 5) as sock:
        sock.sendall(words)
        sock.settimeout(20)
        answer = _all_of(sock)
    assert not answer or answer[0] == ALERT, answer


def _all_of(sock: socket.socket) -> bytes:
    found = b""
    try:
        while more := sock.recv(4096):
            found += more
    except ConnectionResetError:
        pass
    return found


def test_the_health_port_answers_one_question_alone(watched: Watched) -> None:
    pod = pod_ip(watched.engine.hub, NS, watched.aggregator)
    paths = ("/ready", "/", "/stats", "/stats?format=json", "/config_dump", "/quitquitquit", "/v1/fleet/pull-messages", "/ready/x")
    found = Network.of_machine(watched.engine.fleet, "hub").get(f"{pod}:{GATEWAY_HEALTH_PORT}", *paths)
    assert found.pop("/ready") == 200
    assert set(found.values()) == {401}


# --- in the containers ----------------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def containers(watched: Watched) -> dict[tuple[str, str], Any]:
    """By cluster and name."""
    found = {}
    for cluster, pod in watched.pods():
        for name, seen in look(watched.engine.fleet, cluster, pod).items():
            found[cluster, name] = seen
    print(json.dumps([f"{c}/{n} {v}" for (c, n), v in found.items()], indent=1))
    return found


def test_all_of_them_are_looked_at(containers: dict[tuple[str, str], Any]) -> None:
    wanted = {("hub", name) for name in HUB_CONTAINERS} | {(cluster, name) for cluster in CLUSTERS for name in SITE_CONTAINERS}
    assert set(containers) == wanted
    assert all(seen["processes"] for seen in containers.values())


def test_no_process_has_any_privilege(containers: dict[tuple[str, str], Any]) -> None:
    for where, seen in containers.items():
        for process in seen["processes"]:
            assert 0 not in process["uids"], where
            assert set(process["capabilities"]) == {0}, where
            assert process["no_new_privileges"], where
            assert process["seccomp"] == 2, where  # a filter


def test_no_root_file_system_can_be_written(containers: dict[tuple[str, str], Any]) -> None:
    for where, seen in containers.items():
        assert set(seen["write"].values()) == {"Read-only file system"}, where
        assert "ro" in seen["root"], where


def test_the_reporter_alone_has_a_token(containers: dict[tuple[str, str], Any]) -> None:
    having = {where: seen["tokens"] for where, seen in containers.items() if seen["tokens"]}
    assert having == {("hub", "reporter"): ["/run/secrets/kubernetes.io/serviceaccount"]}


def test_keys_are_where_the_gateways_are_and_nowhere_else(containers: dict[tuple[str, str], Any]) -> None:
    having = {where: seen["key"] for where, seen in containers.items() if seen["key"]}
    assert set(having) == {("hub", "gateway"), ("hub", "reporter"), *((cluster, "gateway") for cluster in CLUSTERS)}
    for (cluster, name), key in having.items():
        seen = containers[cluster, name]
        assert key["mode"] & 0o007 == 0, "no other user may read it"
        assert seen["mounts"]["/panal/gateway"] == "tmpfs", "it is never written to a disk"
        (process, *_) = seen["processes"]
        as_owner = key["uid"] in process["uids"] and key["mode"] & 0o400
        assert as_owner or (key["gid"] in process["gids"] and key["mode"] & 0o040), "its gateway can"
