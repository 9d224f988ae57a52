"""NodePorts of Services: writes the ready Pods behind each port to a file for the forwarder (`forward`).

The forwarder runs under a shim like a container, so that it and its connections survive a restart of the node.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from panal.kube.objects import Object, labels_of
from panal_local.files import write
from panal_local.node import records
from panal_local.node.probes import port_number

PROGRAM = Path(__file__).with_name("forward.py")
ALIVE_EVERY = 0.5  # seconds between checks of the forwarder
Target = tuple[str, int]


def wanted(services: Sequence[Object]) -> dict[int, tuple[Object, Object]]:
    """The Service and its port for each node port."""
    found: dict[int, tuple[Object, Object]] = {}
    for service in services:
        if service["spec"].get("type") in ("NodePort", "LoadBalancer"):
            found |= {p["nodePort"]: (service, p) for p in service["spec"].get("ports") or () if p.get("nodePort")}
    return found


def targets(service: Object, port: Object, pods: Sequence[Object]) -> list[Target]:
    """Address and port of each ready Pod that the Service selects, in order."""
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
    """`folder` is the node's folder. `update` writes the file and starts the forwarder for the first port; `keep` restarts the
    forwarder."""

    def __init__(self, address: str, folder: Path) -> None:
        self._address = address
        self._attempts = folder / "forwarder"
        self._file = folder / "forwarder/targets.json"
        self._written = ""
        self._needed = False

    def update(self, services: Sequence[Object], pods: Sequence[Object]) -> None:
        ports = {port: targets(*found, pods) for port, found in wanted(services).items()}
        text = json.dumps(ports, sort_keys=True)
        if text == self._written:
            return
        self._file.parent.mkdir(parents=True, exist_ok=True)
        write(self._file, text)
        self._written, self._needed = text, bool(ports)
        if ports:
            self.start()

    async def keep(self) -> None:
        while True:
            if self._needed:
                self.start()
            await asyncio.sleep(ALIVE_EVERY)

    def start(self) -> None:
        """Starts the forwarder unless it runs."""
        known = records.attempts(self._attempts)
        if not known or not known[-1].running:
            command = [sys.executable, "-I", "-S", str(PROGRAM), self._address, str(self._file)]
            records.start(self._attempts, known[-1].number + 1 if known else 0, command, {"PATH": os.defpath}, "/")
