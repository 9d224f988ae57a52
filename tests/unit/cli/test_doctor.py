"""`panal doctor` at an embedded API server: what it reads, what it prints, and what it finds at a listener."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from api import Api, api
from certificates import authority
from command_line import *  # noqa: F403
from embedded import Embedded
from panal.api import names
from panal.api.crd import crd
from panal.cli.doctor import reach
from panal.client.problem import Code
from panal.kube import kinds
from panal.kube.client import Client
from panal_local.ocm import crds
from panal_local.ocm.writing import serve
from processes import free_port

RUN = {"metadata": {"name": "digits", "namespace": "mnist"}}
SERVER = names.server_name("digits", "mnist")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Embedded]:
    started = Embedded(tmp_path_factory.mktemp("hub")).start()
    try:
        yield started
    finally:
        started.stop()


def found(out: str) -> dict[str, list[dict[str, str]]]:
    by_check: dict[str, list[dict[str, str]]] = {}
    for each in json.loads(out):
        by_check.setdefault(each["check"], []).append(each)
    return by_check


def test_an_empty_hub_is_told_what_to_install_first(server: Embedded, panal: Any) -> None:
    code, out, _ = panal("doctor", "--kubeconfig", str(server.kubeconfig))
    lines = out.splitlines()
    assert code == Code.UNHEALTHY
    assert lines[0].startswith("ok       kubernetes ")
    assert lines[1].startswith(
        "PROBLEM  open cluster management  the hub does not have managedclusters.cluster.open-cluster-management.io, "
    )
    assert "clusteradm init" in lines[2]
    assert "Traceback" not in out


def test_what_it_says_of_a_hub_is_json_as_well(server: Embedded, panal: Any) -> None:
    async def define(kubeconfig: Path) -> None:
        async with Client.from_kubeconfig(kubeconfig) as client:
            await serve(client, [crd(), *crds.hub()])

    asyncio.run(define(server.kubeconfig))
    hub: Api = api(server.kubeconfig)
    hub.make_namespace("mnist")
    hub.apply({"apiVersion": kinds.MANAGED_CLUSTER.api_version, "kind": "ManagedCluster", "metadata": {"name": "c1"}, "spec": {}})
    spec = {"server": {"image": "a:1"}, "client": {"image": "a:1", "dataClaim": "None"}}
    hub.apply({"apiVersion": names.API_VERSION, "kind": names.KIND, **RUN, "spec": spec})
    closed = free_port()
    ready = {"type": "NodePort", "address": "127.0.0.1", "port": closed, "ready": True}
    hub.patch_status(kinds.FEDERATED_LEARNING, "mnist", "digits", phase="Running", listeners=[ready])
    code, out, _ = panal("doctor", "--kubeconfig", str(server.kubeconfig), "-o", "json")
    told = found(out)
    assert code == Code.UNHEALTHY
    assert [(each["state"], each["about"], each["message"]) for each in told["clusters"]] == [
        ("warning", "c1", "it is not accepted"),
        ("problem", "", "0 of 1 managed clusters are available"),
    ]
    (listener,) = told["listeners"]
    assert (listener["state"], listener["about"]) == ("problem", "mnist/digits")
    assert f"the listener NodePort (127.0.0.1:{closed}) cannot be reached from this machine: " in listener["message"]
    assert told["storage"][0]["state"] == "warning"


def test_a_hub_that_does_not_answer_is_an_error(panal: Any, tmp_path: Path, server: Embedded) -> None:
    config = tmp_path / "kubeconfig"
    config.write_text(server.kubeconfig.read_text().replace(server.url, f"https://127.0.0.1:{free_port()}"))
    code, out, err = panal("doctor", "--kubeconfig", str(config))
    assert (code, out) == (Code.UNREACHABLE, "")
    assert "cannot be reached" in err


@pytest.fixture
def listener(tmp_path: Path) -> Iterator[Any]:
    """Starts a TLS server with a certificate for these names; returns its listener and what it was asked for (SNI)."""
    asked: list[str | None] = []
    servers = []

    def start(name: str) -> tuple[dict[str, Any], list[str | None]]:
        pair = authority().server(name)
        (tmp_path / "key").write_bytes(pair.key)
        (tmp_path / "crt").write_bytes(pair.certificate)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(tmp_path / "crt", tmp_path / "key")
        context.sni_callback = lambda _, server_name, __: asked.append(server_name)
        accepting = socket.create_server(("127.0.0.1", 0))
        servers.append(accepting)

        def serve_one() -> None:
            try:
                with accepting.accept()[0] as connection, context.wrap_socket(connection, server_side=True):
                    pass
            except OSError:
                pass

        Thread(target=serve_one, daemon=True).start()
        return {"type": "Route", "address": "127.0.0.1", "port": accepting.getsockname()[1], "ready": True}, asked

    yield start
    for each in servers:
        each.close()


@pytest.mark.parametrize(("host", "sni"), [("", SERVER), ("fl.example.com", "fl.example.com")])
def test_a_listener_is_asked_for_its_certificate_by_name(listener: Any, host: str, sni: str) -> None:
    there, asked = listener(SERVER)
    told = reach(RUN, {**there, "host": host})
    assert (told.names, told.error, told.expected) == ((SERVER,), "", SERVER)
    assert asked == [sni]


def test_what_speaks_no_tls_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as plain:

        def answer() -> None:
            with plain.accept()[0] as connection:
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        Thread(target=answer, daemon=True).start()
        told = reach(RUN, {"type": "Route", "address": "127.0.0.1", "port": plain.getsockname()[1], "name": "main"})
    assert (told.names, told.listener) == ((), "main")
    assert "SSL" in told.error
