"""The worker of a Pod: observes its files and its object, decides, acts, and reports the status.

Changes of objects, probes, ended containers and timers wake it up. All state is in files: after a restart of the node, a new worker
continues from the records.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import shutil
import time
from pathlib import Path
from typing import Any, Literal, Protocol

from panal.kube.client import Client
from panal.kube.errors import ApiError, NotFound
from panal.kube.kinds import POD
from panal.kube.objects import Object, uid_of
from panal.kube.times import from_time
from panal_local.node import records
from panal_local.node.decide import Container, Plan, decide
from panal_local.node.environment import Lookup, NotReadyError
from panal_local.node.probes import Health
from panal_local.node.records import Attempt
from panal_local.node.starting import Settings, Starter
from panal_local.node.status import Facts, container_id, pod_status

log = logging.getLogger(__name__)

RETRY = 3.0  # seconds; for missing things that send no event, such as an image
SHORTEST_GRACE = 2.0  # seconds for sidecars, after the main containers have used the grace period


class RecordEvent(Protocol):
    def __call__(self, pod: Object, type_: Literal["Normal", "Warning"], reason: str, message: str) -> None: ...


class PodWorker:
    def __init__(
        self, pod: Object, ip: str, folder: Path, client: Client, lookup: Lookup, record_event: RecordEvent, settings: Settings
    ) -> None:
        self.pod = pod
        self.ip = ip
        self.deleted = False  # the object was deleted: stop everything, report nothing
        self.health: dict[Path, Health] = {}
        self._folder = folder
        self._client = client
        self._record_event = record_event
        self._reported: set[tuple[str, str]] = set()
        self._settings = settings
        self._wake = asyncio.Event()
        self._follows: dict[Path, asyncio.Task[None]] = {}
        self._stops: dict[Path, tuple[float, asyncio.Task[None]]] = {}
        self._starter = Starter(ip, folder, client, lookup, settings)
        self._waiting: dict[str, tuple[str, str]] = {}
        self._digests: dict[str, str] = {}
        self._mounted = False

    def changed(self, pod: Object | None = None) -> None:
        self.pod = pod or self.pod
        self._wake.set()

    def object_deleted(self) -> None:
        self.deleted = True
        self._wake.set()

    async def run(self) -> None:
        """Runs until the Pod is removed from the node."""
        try:
            while True:
                self._wake.clear()
                delay = await self._sync_safely()
                if delay is None:
                    return
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(delay):  # `wait_for` of Python 3.11 loses a cancellation that comes with the event
                        await self._wake.wait()
        finally:
            self._detach()

    def _detach(self) -> None:
        """Stops watching the containers, which keep running."""
        for task in (*self._follows.values(), *(t for _, t in self._stops.values())):
            task.cancel()
        for health in self.health.values():
            health.end()
        for tasks in (self._follows, self._stops, self.health):
            tasks.clear()

    async def _sync_safely(self) -> float | None:
        try:
            return await self._sync()
        except NotFound:
            self.deleted = True
            return 0.0
        except (ApiError, OSError) as error:
            log.warning("pod %s: %s; trying again", self.name, error)
            return RETRY

    @property
    def name(self) -> str:
        return f"{self.pod['metadata']['namespace']}/{self.pod['metadata']['name']}"

    # --- reconcile -----------------------------------------------------------------------------------------------
    async def _sync(self) -> float | None:
        """Returns the seconds until the next sync at the latest; None when the Pod is removed."""
        ending = self.deleted or "deletionTimestamp" in self.pod["metadata"]
        over_before = self.pod.get("status", {}).get("phase") in ("Succeeded", "Failed")
        plan = decide(self._observe(), time.time(), ending=ending or over_before, first_delay=self._settings.restart_delay)
        self._end_stale()
        for name in plan.stop:
            self._stop(name, self._deadline(ending))
        if not (ending or over_before or plan.over):
            await self._start_all(plan)
        return await self._report(plan, ending, over_before)

    async def _report(self, plan: Plan, ending: bool, over_before: bool) -> float | None:
        if not self.deleted and not (over_before and not ending):
            await self._report_status(plan)
        if plan.over and ending:
            metadata = self.pod["metadata"]
            node = self._folder.parents[1]
            records.keep_logs(self._folder, records.kept_logs(node, metadata["namespace"], metadata["name"]))
            if not self.deleted:
                await self._client.delete(POD, metadata["namespace"], metadata["name"], uid_of(self.pod), grace=0)
            removed = records.out_of_the_way(self._folder, node)
            await asyncio.to_thread(shutil.rmtree, removed, ignore_errors=True)
            return None
        return self._next_look(plan)

    def _next_look(self, plan: Plan) -> float:
        now = time.time()
        times = [*plan.waits.values(), *self._starter.renewals]
        if self._waiting or not (self._mounted or plan.over):
            times.append(now + RETRY)
        return max(0.0, min([*times, now + 60]) - now)

    def _event(self, type_: Literal["Normal", "Warning"], reason: str, message: str) -> None:
        """Records an Event once."""
        if (reason, message) not in self._reported:
            self._reported.add((reason, message))
            self._record_event(self.pod, type_, reason, message)

    def _observe(self) -> list[Container]:
        spec = self.pod["spec"]
        found = []
        for each in spec.get("initContainers") or ():
            sidecar = each.get("restartPolicy") == "Always"
            policy = "OnFailure" if spec.get("restartPolicy", "Always") != "Never" else "Never"
            found.append(self._container(each, "sidecar" if sidecar else "init", "Always" if sidecar else policy))
        return found + [self._container(each, "main", spec.get("restartPolicy", "Always")) for each in spec["containers"]]

    def _container(self, spec: Object, role: Any, policy: Any) -> Container:
        attempts = records.attempts(self._folder / "containers" / spec["name"])
        health = None
        if attempts and attempts[-1].running:
            health = self._watch(spec, attempts[-1])
        return Container(spec["name"], role, policy, attempts, bool(health and health.started), bool(health and health.ready))

    # --- running containers --------------------------------------------------------------------------------------
    def _watch(self, spec: Object, attempt: Attempt) -> Health:
        """Starts to wait for the end of the container and to probe it."""
        if attempt.folder not in self._follows:
            self._follows[attempt.folder] = asyncio.create_task(self._follow(attempt), name=f"end of {attempt.folder}")
        if attempt.folder not in self.health:
            self.health[attempt.folder] = self._health_of(spec, attempt)
            self.health[attempt.folder].begin()
        return self.health[attempt.folder]

    def _health_of(self, spec: Object, attempt: Attempt) -> Health:
        """Starts from the reported status of the same attempt, so that a restart of the node changes nothing."""

        def unhealthy(probe: str, problem: str) -> None:
            self._event("Warning", "Unhealthy", f"{probe.removesuffix('Probe').capitalize()} probe failed: {problem}")
            if probe == "startupProbe":
                grace = (spec.get(probe) or {}).get("terminationGracePeriodSeconds", self._grace())
                self._event("Normal", "Killing", f"Container {spec['name']} failed {probe}, will be restarted")
                self._stop(spec["name"], time.time() + grace)

        health = Health(spec, self.ip, self.changed, unhealthy)
        status = self.pod.get("status", {})
        statuses = [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]
        same: Object = next((s for s in statuses if s.get("containerID") == container_id(self.pod, spec["name"], attempt)), {})
        health.started, health.ready = bool(same.get("started")), bool(same.get("ready"))
        return health

    async def _follow(self, attempt: Attempt) -> None:
        pid = await records.shim_of(attempt)
        if pid:
            await records.ended(pid)
        self.changed()

    def _end_stale(self) -> None:
        """Removes the tasks of attempts that have ended."""
        for folder in [f for f, task in self._follows.items() if task.done() and not records.held(f)]:
            self._follows.pop(folder)
            if health := self.health.pop(folder, None):
                health.end()
            if folder in self._stops:
                self._stops.pop(folder)[1].cancel()

    # --- ending --------------------------------------------------------------------------------------------------
    def _grace(self) -> float:
        return float(self.pod["spec"].get("terminationGracePeriodSeconds", 30))

    def _deadline(self, ending: bool) -> float:
        metadata = self.pod["metadata"]
        if ending and "deletionTimestamp" in metadata:
            if metadata.get("deletionGracePeriodSeconds") == 0:
                return 0.0
            return max(from_time(metadata["deletionTimestamp"]).timestamp(), time.time() + SHORTEST_GRACE)
        return time.time() + (SHORTEST_GRACE if self.deleted else self._grace())

    def _stop(self, name: str, deadline: float) -> None:
        attempt = records.attempts(self._folder / "containers" / name)[-1]
        before = self._stops.get(attempt.folder)
        if before and before[0] <= deadline + 1:
            return
        if before:
            before[1].cancel()
        self._event("Normal", "Killing", f"Stopping container {name}")
        self._stops[attempt.folder] = (deadline, asyncio.create_task(records.end(attempt, deadline), name=f"stop {attempt.folder}"))

    # --- starting ------------------------------------------------------------------------------------------------
    async def _start_all(self, plan: Plan) -> None:
        """Updates the volumes, then starts the planned containers."""
        self._waiting = {}
        try:
            folders = await self._starter.mount(self.pod)
            self._mounted = True
        except NotReadyError as error:
            self._event("Warning", error.reason, error.message)
            self._mounted = False
            return
        for spec in self._specs():
            if spec["name"] in plan.start:
                self._start_container(spec, folders)

    def _specs(self) -> list[Object]:
        return [*(self.pod["spec"].get("initContainers") or ()), *self.pod["spec"]["containers"]]

    def _start_container(self, spec: Object, folders: dict[str, Path]) -> None:
        try:
            attempt = self._starter.start(self.pod, spec, folders)
        except NotReadyError as error:
            self._waiting[spec["name"]] = (error.reason, error.message)
            self._event("Warning", "Failed", f"Error: {error.reason}: {error.message}")
            return
        self._watch(spec, attempt)
        self._event("Normal", "Started", f"Started container {spec['name']}")

    # --- status --------------------------------------------------------------------------------------------------
    async def _report_status(self, plan: Plan) -> None:
        for image in {spec["image"] for spec in self._specs()} - self._digests.keys():
            if digest := self._starter.digest(image):
                self._digests[image] = digest
        started = self._folder.stat().st_ctime if not (made := self._folder / "pod.json").exists() else made.stat().st_mtime
        now = time.time()
        after = Plan(waits=plan.waits, over=plan.over)
        facts = Facts(
            self.ip, self._settings.address, started, self._observe(), after, dict(self._waiting), dict(self._digests), self._mounted
        )
        status = pod_status(self.pod, facts, now)
        known = self.pod.get("status", {})
        if all(known.get(key) == value for key, value in status.items()):
            return
        metadata = self.pod["metadata"]
        patch = {"metadata": {"uid": uid_of(self.pod)}, "status": status}
        self.pod = await self._client.merge_patch(POD, metadata["namespace"], metadata["name"], patch, "status")
        log.info("pod %s: %s", self.name, status["phase"])
