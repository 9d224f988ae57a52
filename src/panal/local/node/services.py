"""NodePorts of the Services whose Pods run here: connections to the node's address go on to a ready Pod, in turn.

Plain bytes over asyncio. Which Pods are ready is asked when a connection comes, so nothing has to be kept in step.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Sequence
from itertools import count

from panal.kube.objects import Object, labels_of
from panal.local.node.probes import port_number

log = logging.getLogger("panal.node")

CHUNK = 1 << 20
Target = tuple[str, int]


def wanted(services: Sequence[Object]) -> dict[int, tuple[Object, Object]]:
    """nodePort -> Service and its port."""
    found: dict[int, tuple[Object, Object]] = {}
    for service in services:
        if service["spec"].get("type") in ("NodePort", "LoadBalancer"):
            found |= {p["nodePort"]: (service, p) for p in service["spec"].get("ports") or () if p.get("nodePort")}
    return found


def targets(service: Object, port: Object, pods: Sequence[Object]) -> list[Target]:
    """Address and port of each Pod that the Service selects and that is ready, in the order of their addresses."""
    selector = service["spec"].get("selector") or {}
    unready = bool(service["spec"].get("publishNotReadyAddresses"))
    found = []
    for pod in pods:
        same = service["metadata"]["namespace"] == pod["metadata"]["namespace"]
        if selector and same and selector.items() <= labels_of(pod).items() and (unready or _ready(pod)):
            found.append((pod["status"]["podIP"], _target_port(pod, port)))
    return sorted(t for t in found if t[1])


def _ready(pod: Object) -> bool:
    conditions = pod.get("status", {}).get("conditions") or ()
    return "deletionTimestamp" not in pod["metadata"] and any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


def _target_port(pod: Object, port: Object) -> int:
    target = port.get("targetPort") or port["port"]
    containers = [*pod["spec"]["containers"], *(pod["spec"].get("initContainers") or ())]
    return next((n for c in containers if (n := port_number(c, target))), 0)


class Services:
    def __init__(self, address: str) -> None:
        self._address = address
        self._services: dict[int, tuple[Object, Object]] = {}
        self._pods: Sequence[Object] = ()
        self._servers: dict[int, asyncio.Task[None]] = {}
        self._turn = count()

    def update(self, services: Sequence[Object], pods: Sequence[Object]) -> None:
        self._services, self._pods = wanted(services), pods
        for port in self._services.keys() - self._servers.keys():
            self._servers[port] = asyncio.create_task(self._serve(port), name=f"NodePort {port}")
        for port in self._servers.keys() - self._services.keys():
            self._servers.pop(port).cancel()

    async def close(self) -> None:
        tasks = list(self._servers.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _serve(self, port: int) -> None:
        while True:
            try:
                server = await asyncio.start_server(lambda r, w: self._connected(port, r, w), self._address, port, limit=CHUNK)
                break
            except OSError as error:
                log.warning("NodePort %s:%d cannot be opened: %s; trying again", self._address, port, error)
                await asyncio.sleep(2)
        async with server:
            await server.serve_forever()

    async def _connected(self, port: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        found = targets(*self._services[port], self._pods) if port in self._services else []
        first = next(self._turn)
        for i in range(len(found)):
            with contextlib.suppress(OSError):
                far = await asyncio.open_connection(*found[(first + i) % len(found)], limit=CHUNK)
                await _join((reader, writer), far)
                return
        writer.transport.abort()  # nobody is ready: the client sees a reset, as with a real node


async def _join(near: tuple[asyncio.StreamReader, asyncio.StreamWriter], far: tuple[asyncio.StreamReader, asyncio.StreamWriter]) -> None:
    try:
        await asyncio.gather(_copy(near[0], far[1]), _copy(far[0], near[1]))
    except OSError:
        near[1].transport.abort()
        far[1].transport.abort()
    finally:
        near[1].close()
        far[1].close()


async def _copy(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    while data := await source.read(CHUNK):
        sink.write(data)
        await sink.drain()
    if sink.can_write_eof():
        sink.write_eof()
