"""NodePorts: the selected Pods and ports, and the forwarder."""

import asyncio
import contextlib
import signal

import pytest

from panal_local.node import records
from panal_local.node.drain import drain
from panal_local.node.services import Services, targets

PORT = {"port": 80, "targetPort": "web", "nodePort": 30080}
SERVICE = {"metadata": {"namespace": "ns"}, "spec": {"type": "NodePort", "selector": {"app": "a"}, "ports": [PORT]}}


def pod(ip="127.0.0.1", ready="True", namespace="ns", app="a", port=8080, **metadata):
    return {
        "metadata": {"namespace": namespace, "labels": {"app": app, "x": "y"}, **metadata},
        "spec": {"containers": [{"name": "m", "ports": [{"name": "web", "containerPort": port}]}]},
        "status": {"podIP": ip, "conditions": [{"type": "Ready", "status": ready}]},
    }


@pytest.mark.parametrize(
    ("pods", "found"),
    [
        ([pod("127.1.0.2"), pod("127.1.0.1")], [("127.1.0.1", 8080), ("127.1.0.2", 8080)]),
        ([pod(ready="False"), pod(app="b"), pod(namespace="other"), pod(deletionTimestamp="now")], []),
    ],
)
def test_targets(pods, found):
    assert targets(SERVICE, PORT, pods) == found


def test_target_ports_by_number_by_default_and_of_sidecars():
    assert targets(SERVICE, {"port": 80, "targetPort": 9000}, [pod()]) == [("127.0.0.1", 9000)]
    assert targets(SERVICE, {"port": 80}, [pod()]) == [("127.0.0.1", 80)]
    gateway = pod()
    gateway["spec"] = {"containers": [{"name": "m"}], "initContainers": gateway["spec"]["containers"]}
    assert targets(SERVICE, PORT, [gateway]) == [("127.0.0.1", 8080)]
    assert targets(SERVICE, {"port": 80, "targetPort": "none"}, [pod()]) == []


@pytest.fixture
async def shouting():
    """The port of a server that responds in capitals."""

    async def shout(reader, writer):
        with contextlib.suppress(OSError):
            while data := await reader.read(1 << 16):
                writer.write(data.upper())
        writer.close()

    server = await asyncio.start_server(shout, "127.0.0.1", 0)
    yield server.sockets[0].getsockname()[1]
    server.close()


@pytest.fixture
async def services(tmp_path):
    yield Services("127.0.0.1", tmp_path)
    assert await drain(tmp_path) == []
    assert not (tmp_path / "forwarder").exists()


def service(near):
    return {**SERVICE, "spec": {**SERVICE["spec"], "ports": [{**PORT, "nodePort": near}]}}


async def test_no_forwarder_without_node_ports(services, tmp_path):
    services.update([], [pod()])
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(services.keep(), 0.01)
    assert records.attempts(tmp_path / "forwarder") == []


async def test_bytes_are_forwarded_both_ways_and_an_unready_service_refuses(services, shouting, unused_tcp_port_factory):
    near = unused_tcp_port_factory()
    services.update([service(near)], [pod(port=shouting)])
    assert await ask(near, b"hello" * 100_000) == b"HELLO" * 100_000
    services.update([service(near)], [pod(ready="False")])
    with pytest.raises(OSError):
        await ask(near, b"hello")
    services.update([], [])
    while await is_open(near):
        await asyncio.sleep(0.02)


async def test_connections_survive_the_node_and_a_forwarder_is_restarted(services, shouting, tmp_path, unused_tcp_port_factory):
    near = unused_tcp_port_factory()
    services.update([service(near)], [pod(port=shouting)])
    while not await is_open(near):
        await asyncio.sleep(0.02)
    reader, writer = await asyncio.open_connection("127.0.0.1", near)
    Services("127.0.0.1", tmp_path).start()  # the next node's
    [attempt] = records.attempts(tmp_path / "forwarder")
    writer.write(b"still there")
    assert await reader.readexactly(11) == b"STILL THERE"
    writer.close()
    records.send(attempt, signal.SIGUSR1)
    while records.attempts(tmp_path / "forwarder")[-1].running:
        await asyncio.sleep(0.02)
    services.start()
    assert await ask(near, b"again") == b"AGAIN"


async def is_open(port):
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    return True


async def ask(port, data):
    for _ in range(200):
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            break
        except ConnectionRefusedError:
            await asyncio.sleep(0.02)
    try:
        writer.write(data)
        writer.write_eof()
        found = await reader.read()
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
    if not found:
        raise ConnectionResetError
    return found
