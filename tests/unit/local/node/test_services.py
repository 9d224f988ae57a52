"""NodePorts: which Pods, which port, and the bytes."""

import asyncio

import pytest

from panal.local.node.services import Services, targets

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


async def test_bytes_go_both_ways_and_an_unready_service_refuses(unused_tcp_port_factory):
    async def shout(reader, writer):
        writer.write((await reader.read()).upper())
        writer.write_eof()
        writer.close()

    server = await asyncio.start_server(shout, "127.0.0.1", 0)
    far, near = server.sockets[0].getsockname()[1], unused_tcp_port_factory()
    service = {**SERVICE, "spec": {**SERVICE["spec"], "ports": [{**PORT, "nodePort": near}]}}
    services = Services("127.0.0.1")
    try:
        services.update([service], [pod(port=far)])
        assert await ask(near, b"hello" * 100_000) == b"HELLO" * 100_000
        services.update([service], [pod(ready="False")])
        with pytest.raises(OSError):
            await ask(near, b"hello")
        services.update([], [])
        await asyncio.sleep(0.05)
        with pytest.raises(OSError):
            await asyncio.open_connection("127.0.0.1", near)
    finally:
        await services.close()
        server.close()


async def ask(port, data):
    for _ in range(100):
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            break
        except ConnectionRefusedError:
            await asyncio.sleep(0.02)
    writer.write(data)
    writer.write_eof()
    try:
        found = await reader.read()
    finally:
        writer.close()
    if not found:
        raise ConnectionResetError
    return found
