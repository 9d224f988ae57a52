"""A cluster as one process: it continues after kill -9."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from api import Api, api
from panal.kube import kinds
from panal.kube.errors import KubeError
from panal_local.node.drain import drain
from panal_local.supervisor import address
from panal_local.supervisor.folder import HUB, Folder
from panal_local.supervisor.state import State, extended, own_version, save
from waiting import eventually

RUN = "import sys; from panal_local.cluster import main; main(*sys.argv[1:])"
IMAGE = {"digest": "sha256:" + "0" * 64, "root": "root", "env": {}, "entrypoint": [], "cmd": [], "workingDir": "."}
CONTAINER = {
    "name": "main",
    "image": "test/python:1",
    "command": ["sleep", "1000"],
}
POD = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "namespace": "default"}, "spec": {"containers": [CONTAINER]}}
NOTE = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "note", "namespace": "default"}, "data": {"a": "b"}}


class Cluster:
    def __init__(self, folder: Folder) -> None:
        self.folder = folder
        self.start()

    def start(self) -> None:
        command = [sys.executable, "-c", RUN, str(self.folder.root), HUB]
        with self.folder.log(HUB).open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log)

    def end(self, number: signal.Signals) -> int:
        self.process.send_signal(number)
        return self.process.wait(20)

    @property
    def api(self) -> Api:
        return api(self.folder.admin(HUB))

    def pod(self) -> dict[str, Any]:
        """Waits until the Pod is ready, and returns its status."""
        return eventually(self._ready, "the Pod is ready", 60)

    def _ready(self) -> dict[str, Any] | None:
        try:
            status = (self.api.get(kinds.POD, "default", "p") or {}).get("status", {})
        except KubeError:
            return None
        return status if {"type": "Ready", "status": "True"}.items() <= _condition(status, "Ready").items() else None


def _condition(status: dict[str, Any], kind: str) -> dict[str, Any]:
    return next((c for c in status.get("conditions", []) if c["type"] == kind), {})


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    deep = tmp_path / ("a" * 60) / ("b" * 60)  # longer than the address of a Unix socket can be
    folder = Folder(deep)
    folder.make()
    root = folder.images / "test/python/1/root"
    root.mkdir(parents=True)
    (root / "venv").symlink_to(sys.prefix)
    (root.parent / "image.json").write_text(json.dumps(IMAGE))
    network, held = address.choose()
    with held:
        save(folder, extended(State(own_version(), network, address.free_port(f"127.{network}.0.1"), {}), 1, {}, []))
        made = Cluster(folder)
        try:
            eventually(folder.admin(HUB).exists, "its API server listens", 60)
            yield made
        finally:
            assert made.end(signal.SIGTERM) == 0
            assert asyncio.run(drain(folder.node(HUB), 0)) == []


def test_acknowledged_writes_and_pods_survive_kill_9(cluster: Cluster) -> None:
    eventually(lambda: cluster.api.get(kinds.SERVICE_ACCOUNT, "default", "default"), "its control loops work", 60)
    cluster.api.apply(POD)
    before = cluster.pod()["containerStatuses"]
    cluster.api.apply(NOTE)
    assert cluster.end(signal.SIGKILL) == -signal.SIGKILL
    cluster.start()
    eventually(lambda: "1 pods" in cluster.folder.log(HUB).read_text(), "the node adopts the Pod", 60)
    (after,) = cluster.pod()["containerStatuses"]
    assert [after["containerID"]] == [status["containerID"] for status in before]
    assert after["restartCount"] == 0
    assert cluster.api.get(kinds.CONFIG_MAP, "default", "note")["data"] == {"a": "b"}
