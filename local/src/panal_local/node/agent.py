"""The node: registers with the API server, renews its Lease and status, and starts a worker for each of its Pods.

State is in FOLDER/pods/UID: pod.json (address and object), volumes/ and containers/. If a Pod's object was deleted while the node was down,
its worker stops the remaining containers.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import platform
import time
from collections.abc import Coroutine
from dataclasses import dataclass
from importlib.metadata import version
from ipaddress import ip_network
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import yaml

from panal.kube.cache import Cache, Timing, Watched
from panal.kube.client import Client
from panal.kube.errors import AlreadyExists, ApiError, NotFound
from panal.kube.events import EventRecorder
from panal.kube.kinds import CONFIG_MAP, LEASE, NODE, PERSISTENT_VOLUME, PERSISTENT_VOLUME_CLAIM, POD, SECRET, SERVICE, Kind
from panal.kube.objects import Object, key_of, uid_of
from panal.kube.times import now_utc, to_micro_time, to_time
from panal_local.files import write
from panal_local.node import records
from panal_local.node.logs import LogServer
from panal_local.node.pod import PodWorker
from panal_local.node.services import Services
from panal_local.node.starting import Settings

log = logging.getLogger(__name__)

WATCHED = (CONFIG_MAP, SECRET, SERVICE, PERSISTENT_VOLUME_CLAIM, PERSISTENT_VOLUME)
LEASES = "kube-node-lease"
RENEW = 10.0
LEASE_SECONDS = 40


@dataclass(frozen=True, slots=True)
class Config:
    """`token` is the file with the log server's bearer token, created if it does not exist; the default is FOLDER/token. `restart_delay`,
    in seconds, is the first delay of the restart back-off."""

    kubeconfig: Path
    name: str
    address: str
    pod_range: str
    folder: Path
    images: Path
    token: Path | None = None
    restart_delay: float = 10.0


async def serve(config: Config, client: Client) -> None:
    """Runs until cancelled. Pods keep running."""
    config.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    await Agent(config, client.managing("panal-node")).run()


class Agent:
    def __init__(self, config: Config, client: Client) -> None:
        self._config = config
        self._client = client
        self._settings = Settings(config.address, config.images, api_address(config.kubeconfig), config.restart_delay)
        pods = Watched(POD, field_selector=f"spec.nodeName={config.name}")
        self._cache = Cache(client, [pods, *(Watched(kind) for kind in WATCHED)], Timing())
        self._cache.subscribe(self._on_change)
        self._events = EventRecorder(client, "panal-node", config.name)
        self._workers: dict[str, PodWorker] = {}
        self._services = Services(config.address, config.folder)
        self._tasks: asyncio.TaskGroup
        self._synced = False

    async def run(self) -> None:
        token = self._config.token or self._config.folder / "token"
        records.clear_removed(self._config.folder)
        async with LogServer(self._config.address, self._config.folder, token) as port, asyncio.TaskGroup() as self._tasks:
            self._tasks.create_task(self._cache.run())
            self._tasks.create_task(self._keep_registered(port))
            self._tasks.create_task(self._services.keep())
            await self._cache.wait_synced()
            self._adopt()

    # --- Pods ----------------------------------------------------------------------------------------------------
    def _adopt(self) -> None:
        self._synced = True
        for pod in self._cache.list(POD):
            self._on_pod(pod)
        for folder in (self._config.folder / "pods").glob("*"):
            if folder.name not in self._workers and (saved := _saved(folder)):
                self._start_worker(saved["pod"], saved["ip"]).object_deleted()
        self._update_services()
        log.info("node %s at %s: %d pods", self._config.name, self._config.address, len(self._workers))

    def _on_change(self, kind: Kind, old: Object | None, new: Object | None) -> None:
        if not self._synced:
            return
        if kind == POD:
            if old and (new is None or uid_of(new) != uid_of(old)) and (worker := self._workers.get(uid_of(old))):
                worker.object_deleted()
            if new:
                self._on_pod(new)
        elif kind != SERVICE:
            for worker in self._workers.values():
                if key_of(worker.pod).namespace == key_of(new or old or {}).namespace or kind == PERSISTENT_VOLUME:
                    worker.changed()
        self._update_services()

    def _update_services(self) -> None:
        self._services.update(self._cache.list(SERVICE), [w.pod for w in self._workers.values()])

    def _on_pod(self, pod: Object) -> None:
        worker = self._workers.get(uid_of(pod))
        if worker:
            worker.changed(pod)
            return
        folder = self._config.folder / "pods" / uid_of(pod)
        over = pod.get("status", {}).get("phase") in ("Succeeded", "Failed")
        if over and "deletionTimestamp" not in pod["metadata"] and not folder.exists():
            return
        saved = _saved(folder)
        self._start_worker(pod, saved["ip"] if saved else self._free_address())

    def _start_worker(self, pod: Object, ip: str) -> PodWorker:
        folder = self._config.folder / "pods" / uid_of(pod)
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / "pod.json").exists():
            write(folder / "pod.json", json.dumps({"ip": ip, "pod": pod}))
        worker = PodWorker(pod, ip, folder, self._client, self._lookup, self._event, self._settings)
        self._workers[uid_of(pod)] = worker
        self._spawn(self._work(uid_of(pod), worker))
        return worker

    async def _work(self, uid: str, worker: PodWorker) -> None:
        while True:
            try:
                await worker.run()
            except Exception:  # an error of one Pod must not stop the others
                log.exception("pod %s: trying again", worker.name)
                await asyncio.sleep(RENEW)
                continue
            self._workers.pop(uid, None)
            return

    def _free_address(self) -> str:
        used = {w.ip for w in self._workers.values()} | {self._config.address}
        for folder in (self._config.folder / "pods").glob("*"):
            used |= {saved["ip"]} if (saved := _saved(folder)) else set()
        free = next((str(ip) for ip in ip_network(self._config.pod_range).hosts() if str(ip) not in used), "")
        if not free:
            raise RuntimeError(f"--pod-range {self._config.pod_range} has no free address left: delete Pods, or give a larger range")
        return free

    def _lookup(self, kind: Kind, namespace: str, name: str) -> Object | None:
        return self._cache.get(kind, namespace, name)

    def _event(self, pod: Object, type_: Literal["Normal", "Warning"], reason: str, message: str) -> None:
        self._spawn(self._events.record(pod, type_, reason, message))

    def _spawn(self, coroutine: Coroutine[Any, Any, None]) -> None:
        self._tasks.create_task(coroutine)

    # --- the Node object -----------------------------------------------------------------------------------------
    async def _keep_registered(self, port: int) -> None:
        registered_at = 0.0
        while True:
            try:
                if time.monotonic() - registered_at > 60 or not registered_at:
                    await self._register(port)
                    registered_at = time.monotonic()
                await self._renew()
            except ApiError as error:
                log.warning("node %s: %s; trying again", self._config.name, error)
                registered_at = 0.0
            await asyncio.sleep(RENEW if registered_at else 1)

    async def _register(self, port: int) -> None:
        name = self._config.name
        known = {"kubernetes.io/hostname": name, "kubernetes.io/os": "linux", "kubernetes.io/arch": _architecture()}
        with contextlib.suppress(AlreadyExists):
            await self._client.create({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": known}})
        node = await self._client.get(NODE, "", name)
        await self._client.merge_patch(NODE, "", name, {"status": self._status(node, port)}, "status")

    def _status(self, node: Object, port: int) -> Object:
        now = to_time(now_utc())
        old: Object = next(
            (c for c in node.get("status", {}).get("conditions") or () if c["type"] == "Ready" and c["status"] == "True"), {}
        )
        ready = {"type": "Ready", "status": "True", "reason": "KubeletReady", "message": "", "lastHeartbeatTime": now}
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 1024
        room = ip_network(self._config.pod_range).num_addresses - 2
        capacity = {"cpu": str(os.cpu_count()), "memory": f"{memory}Ki", "pods": str(room), "ephemeral-storage": "1Ti"}
        return {
            "capacity": capacity,
            "allocatable": capacity,
            "addresses": [{"type": "InternalIP", "address": self._config.address}, {"type": "Hostname", "address": self._config.name}],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": port}},
            "conditions": [ready | {"lastTransitionTime": old.get("lastTransitionTime", now)}],
            "nodeInfo": _node_info(),
        }

    async def _renew(self) -> None:
        name = self._config.name
        spec = {"holderIdentity": name, "leaseDurationSeconds": LEASE_SECONDS, "renewTime": to_micro_time(now_utc())}
        try:
            await self._client.merge_patch(LEASE, LEASES, name, {"spec": spec})
        except NotFound:
            with contextlib.suppress(AlreadyExists):
                await self._client.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": LEASES}})
            await self._client.create(
                {"apiVersion": LEASE.api_version, "kind": LEASE.kind, "metadata": {"name": name, "namespace": LEASES}, "spec": spec}
            )


def _saved(folder: Path) -> dict[str, Any] | None:
    try:
        saved: dict[str, Any] = json.loads((folder / "pod.json").read_text())
    except FileNotFoundError:
        return None
    return saved


def _architecture() -> str:
    return {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())


def _node_info() -> Object:
    return {
        **dict.fromkeys(("machineID", "systemUUID", "bootID"), ""),
        "kernelVersion": platform.release(),
        "osImage": "panal local node",
        "containerRuntimeVersion": f"panal://{version('panal')}",
        "kubeletVersion": f"v{version('panal')}-panal",
        "kubeProxyVersion": f"v{version('panal')}-panal",
        "operatingSystem": "linux",
        "architecture": _architecture(),
    }


def api_address(kubeconfig: Path) -> tuple[str, int]:
    """Host and port of the API server in the current context of the kubeconfig."""
    config = yaml.safe_load(kubeconfig.read_text())
    context = next(c["context"] for c in config["contexts"] if c["name"] == config["current-context"])
    server = next(c["cluster"]["server"] for c in config["clusters"] if c["name"] == context["cluster"])
    parts = urlsplit(server)
    return parts.hostname or "", parts.port or 443
