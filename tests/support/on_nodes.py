"""Pods on real nodes, looked at from the machine that they run on."""

from __future__ import annotations

import json
import socketserver
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from typing import Any

from api import Api
from bridge import Bridge, run
from fleet import Fleet
from panal.kube import kinds
from runs import APP_IMAGE
from waiting import eventually

LISTENS = 9999
HERE = Path(__file__).parent
GET = """
import http.client, json, sys
found = {}
for path in sys.argv[2:]:
    connection = http.client.HTTPConnection(sys.argv[1], timeout=5)
    connection.request("GET", path)
    found[path] = connection.getresponse().status
print(json.dumps(found))
"""


def look(fleet: Fleet, cluster: str, pod: str) -> dict[str, dict[str, Any]]:
    """What `look.py` says of each container of a Pod."""
    found: dict[str, dict[str, Any]] = json.loads(fleet.enter(cluster, sys.executable, str(HERE / "look.py"), pod))
    return found


@dataclass(frozen=True)
class Network:
    """Where connections are tried from: the command line that leads there from this host."""

    enter: tuple[str, ...]

    @classmethod
    def of_machine(cls, fleet: Fleet, cluster: str) -> Network:
        machine = fleet[cluster].machine
        assert machine
        return cls(("nsenter", f"--net=/proc/{machine.pid}/ns/net", "--"))

    @classmethod
    def of_pod(cls, fleet: Fleet, cluster: str, pod: str) -> Network:
        wanted = next(iter(look(fleet, cluster, pod).values()))["network"]
        for process in Path("/proc").glob("[0-9]*"):
            try:
                if (process / "ns/net").readlink().name == wanted:
                    return cls(("nsenter", f"--net={process}/ns/net", "--"))
            except OSError:
                continue
        raise AssertionError(f"{pod} on {cluster} has no process")

    def run(self, *words: str) -> str:
        return run(*self.enter, sys.executable, *words)

    def scan(self, *addresses: str) -> dict[str, dict[str, list[int]]]:
        """All TCP ports: see `scan.py`."""
        found: dict[str, dict[str, list[int]]] = json.loads(self.run(str(HERE / "scan.py"), *addresses))
        return found

    def connects(self, address: str, port: int, seconds: float = 3) -> bool:
        code = "import socket, sys; socket.create_connection((sys.argv[1], int(sys.argv[2])), float(sys.argv[3]))"
        return (
            subprocess.run(
                [*self.enter, sys.executable, "-c", code, address, str(port), str(seconds)], stderr=subprocess.DEVNULL
            ).returncode
            == 0
        )

    def get(self, server: str, *paths: str) -> dict[str, int]:
        """The status of a plain HTTP request for each of these."""
        found: dict[str, int] = json.loads(self.run("-c", GET, server, *paths))
        return found


def pod_ip(api: Api, namespace: str, pod: str) -> str:
    def address() -> str:
        return ((api.get(kinds.POD, namespace, pod) or {}).get("status") or {}).get("podIP") or ""

    return eventually(address, f"{pod} has an address", 60)


def bystander(name: str, namespace: str) -> dict[str, Any]:
    """A Pod that has nothing to do with any run, in the image of the tests' app; at port LISTENS it takes connections."""
    restricted = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    container = {
        "name": "bystander",
        "image": APP_IMAGE,
        "command": ["python3", "-m", "http.server", str(LISTENS), "--directory", "/app"],
        "securityContext": restricted,
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "automountServiceAccountToken": False,
            "terminationGracePeriodSeconds": 0,
            "securityContext": {"runAsNonRoot": True, "runAsUser": 1000, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [container],
        },
    }


@contextmanager
def pod_on(api: Api, pod: dict[str, Any]) -> Iterator[str]:
    """Its address, as soon as it runs."""
    namespace, name = pod["metadata"]["namespace"], pod["metadata"]["name"]
    api.delete(kinds.POD, namespace, name, grace=0)
    eventually(lambda: api.get(kinds.POD, namespace, name) is None, f"no {name} of an earlier try", 60)
    api.create(pod)

    def runs() -> str:
        status = (api.get(kinds.POD, namespace, name) or {}).get("status") or {}
        return status.get("podIP", "") if status.get("phase") == "Running" else ""

    try:
        yield eventually(runs, f"{name} runs", 60)
    finally:
        api.delete(kinds.POD, namespace, name, grace=0)


@contextmanager
def internet(fleet: Fleet) -> Iterator[str]:
    """Somebody far away who takes connections: this host, by its address on the bridge."""
    with socketserver.ThreadingTCPServer((f"{Bridge(fleet.root).prefix}.1", 0), socketserver.BaseRequestHandler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        host, port = server.server_address[:2]
        yield f"tcp:{host}:{port}"
        server.shutdown()
