"""Runs all loops against one API server. They read from one watch cache, decide, and write."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from panal.kube import kinds
from panal.kube.cache import Cache, Watched
from panal.kube.client import Client
from panal.kube.errors import AlreadyExists
from panal.kube.kinds import Kind
from panal.kube.loop import Concerns, Loop, together
from panal.kube.objects import Key, Object, key_of, uid_of
from panal.kube.times import now_utc, to_time
from panal_local.controllers import jobs, namespaces, scheduler, statefulsets, volumes
from panal_local.controllers.garbage import Garbage
from panal_local.controllers.objects import deleting, owner, phase

BY_OWNER = "owner"
WATCHED = (
    kinds.JOB,
    kinds.STATEFUL_SET,
    kinds.NODE,
    kinds.PERSISTENT_VOLUME,
    kinds.PERSISTENT_VOLUME_CLAIM,
    kinds.NAMESPACE,
    kinds.SERVICE_ACCOUNT,
)


async def run(client: Client, volumes_folder: Path, certificate: str) -> None:
    """Runs until cancelled. `certificate` is the API server's CA certificate in PEM."""
    cache = Cache(client, [Watched(kinds.POD, indexes={BY_OWNER: _owner_uid}), *map(Watched, WATCHED)])
    loops = Controllers(client, cache, volumes_folder, certificate).loops()
    await together(cache.run(), Garbage(client).run(), *(loop.run() for loop in loops))


def _owner_uid(pod: Object) -> Iterable[str]:
    uid = owner(pod).get("uid")
    return (uid,) if uid else ()


class Controllers:
    def __init__(self, client: Client, cache: Cache, folder: Path, certificate: str) -> None:
        self._client = client
        self._cache = cache
        self._folder = folder
        self._certificate = certificate

    def loops(self) -> list[Loop]:
        return [
            Loop("job", self._cache, _self_or_owner(kinds.JOB), self._job),
            Loop("statefulset", self._cache, _self_or_owner(kinds.STATEFUL_SET), self._stateful_set),
            Loop("scheduler", self._cache, self._unscheduled, self._schedule),
            Loop("volume", self._cache, self._unbound, self._claim),
            Loop("reclaim", self._cache, self._volumes, self._volume),
            Loop("namespace", self._cache, _only(kinds.NAMESPACE, kinds.SERVICE_ACCOUNT), self._namespace),
        ]

    def _pods(self, obj: Object) -> list[Object]:
        return self._cache.by_index(kinds.POD, BY_OWNER, uid_of(obj))

    # --- Jobs and StatefulSets ----------------------------------------------------------------------------------
    async def _job(self, key: Key) -> float | None:
        job = self._cache.get(kinds.JOB, *key)
        if job is None:
            return None
        plan = jobs.decide(_typed(kinds.JOB, job), self._pods(job), now_utc())
        await self._write(kinds.JOB, job, plan.status)  # first, so that startTime is set before the Pod exists
        await self._replace_pods(key.namespace, plan.delete, plan.create)
        return plan.look_again

    async def _stateful_set(self, key: Key) -> float | None:
        found = self._cache.get(kinds.STATEFUL_SET, *key)
        if found is None:
            return None
        plan = statefulsets.decide(_typed(kinds.STATEFUL_SET, found), {p["metadata"]["name"]: p for p in self._pods(found)})
        await self._write(kinds.STATEFUL_SET, found, plan.status)
        await self._replace_pods(key.namespace, plan.delete, plan.create)
        return None

    async def _replace_pods(self, namespace: str, delete: Iterable[str], create: Iterable[Object]) -> None:
        for name in delete:
            await self._client.delete(kinds.POD, namespace, name)
        for pod in create:
            try:
                await self._client.create(pod)
            except AlreadyExists:
                continue  # it is not in the cache yet, or it has another owner

    async def _write(self, kind: Kind, obj: Object, status: dict[str, Any]) -> None:
        """Patches the changed fields of the status; removed fields become null."""
        before = obj.get("status") or {}
        patch = {k: v for k, v in status.items() if before.get(k) != v} | {k: None for k in before if k not in status}
        if patch:
            await self._client.merge_patch(kind, *key_of(obj), {"status": patch}, "status")

    # --- Pods to Nodes ------------------------------------------------------------------------------------------
    def _unscheduled(self, kind: Kind, obj: Object) -> Iterable[Key]:
        if kind == kinds.POD:
            return (key_of(obj),)
        if kind in (kinds.NODE, kinds.PERSISTENT_VOLUME_CLAIM):
            return (key_of(p) for p in self._cache.list(kinds.POD) if not p["spec"].get("nodeName"))
        return ()

    async def _schedule(self, key: Key) -> float | None:
        pod = self._cache.get(kinds.POD, *key)
        if (
            pod is None
            or deleting(pod)
            or pod["spec"].get("nodeName")
            or pod["spec"].get("schedulingGates")  # the API server has written the condition
            or pod["spec"].get("schedulerName", "default-scheduler") != "default-scheduler"
        ):
            return None
        claims = {c["metadata"]["name"]: c for c in self._cache.list(kinds.PERSISTENT_VOLUME_CLAIM, key.namespace)}
        verdict = scheduler.decide(pod, self._cache.list(kinds.NODE), claims)
        if verdict.node:
            await self._bind(pod, verdict.node)
        else:
            await self._unschedulable(pod, verdict.message)
        return None

    async def _bind(self, pod: Object, node: str) -> None:
        """Binds the Pod. Raises Conflict if it already has a node."""
        target = {"apiVersion": "v1", "kind": "Node", "name": node}
        metadata = {key: pod["metadata"][key] for key in ("name", "namespace", "uid")}
        body = {"apiVersion": "v1", "kind": "Binding", "metadata": metadata, "target": target}
        await self._client.post(kinds.POD, *key_of(pod), "binding", body)

    async def _unschedulable(self, pod: Object, message: str) -> None:
        known = (pod.get("status") or {}).get("conditions") or []
        wanted = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}
        if any(wanted.items() <= c.items() for c in known):
            return
        conditions = [
            *(c for c in known if c["type"] != "PodScheduled"),
            wanted | {"lastTransitionTime": to_time(now_utc())},
        ]
        seen = {"resourceVersion": pod["metadata"]["resourceVersion"]}  # others write conditions too
        await self._client.merge_patch(kinds.POD, *key_of(pod), {"metadata": seen, "status": {"conditions": conditions}}, "status")

    # --- volumes ------------------------------------------------------------------------------------------------
    def _unbound(self, kind: Kind, obj: Object) -> Iterable[Key]:
        if kind == kinds.PERSISTENT_VOLUME_CLAIM:
            return (key_of(obj),)
        return (key_of(c) for c in self._cache.list(kinds.PERSISTENT_VOLUME_CLAIM)) if kind == kinds.PERSISTENT_VOLUME else ()

    async def _claim(self, key: Key) -> float | None:
        claim = self._cache.get(kinds.PERSISTENT_VOLUME_CLAIM, *key)
        if claim is None or deleting(claim) or phase(claim) == "Bound":
            return None
        bound = volumes.decide(claim, self._cache.list(kinds.PERSISTENT_VOLUME), self._folder)
        if bound is None:
            return None
        volume = await self._client.create(bound.volume) if bound.make else bound.volume
        name, spec = volume["metadata"]["name"], volume["spec"]
        await self._client.merge_patch(kinds.PERSISTENT_VOLUME, "", name, {"spec": {"claimRef": volumes.reference(claim)}})
        await self._client.merge_patch(kinds.PERSISTENT_VOLUME, "", name, {"status": {"phase": "Bound"}}, "status")
        done = {"pv.kubernetes.io/bind-completed": "yes"}
        await self._client.merge_patch(
            kinds.PERSISTENT_VOLUME_CLAIM, *key, {"metadata": {"annotations": done}, "spec": {"volumeName": name}}
        )
        status = {"phase": "Bound", "accessModes": spec["accessModes"], "capacity": spec["capacity"]}
        await self._client.merge_patch(kinds.PERSISTENT_VOLUME_CLAIM, *key, {"status": status}, "status")
        return None

    def _volumes(self, kind: Kind, obj: Object) -> Iterable[Key]:
        if kind == kinds.PERSISTENT_VOLUME:
            return (key_of(obj),)
        return (key_of(v) for v in self._cache.list(kinds.PERSISTENT_VOLUME)) if kind == kinds.PERSISTENT_VOLUME_CLAIM else ()

    async def _volume(self, key: Key) -> float | None:
        """Deletes the folder of a provisioned volume whose claim was deleted. A volume that a user created becomes Released."""
        volume = self._cache.get(kinds.PERSISTENT_VOLUME, *key)
        if volume is None or deleting(volume) or not volumes.released(volume, self._cache.list(kinds.PERSISTENT_VOLUME_CLAIM)):
            return None
        if volumes.is_ours(volume) and volume["spec"]["persistentVolumeReclaimPolicy"] == "Delete":
            await asyncio.to_thread(shutil.rmtree, self._folder / volume["metadata"]["name"], ignore_errors=True)
            await self._client.delete(kinds.PERSISTENT_VOLUME, "", key.name, uid_of(volume))
        elif phase(volume) != "Released":
            await self._client.merge_patch(kinds.PERSISTENT_VOLUME, "", key.name, {"status": {"phase": "Released"}}, "status")
        return None

    # --- namespaces ---------------------------------------------------------------------------------------------
    async def _namespace(self, key: Key) -> float | None:
        namespace = self._cache.get(kinds.NAMESPACE, "", key.namespace or key.name)
        for wanted in namespaces.decide(namespace, self._certificate) if namespace else ():
            try:
                await self._client.create(wanted)
            except AlreadyExists:
                continue
        return None


def _typed(kind: Kind, obj: Object) -> Object:
    return {"apiVersion": kind.api_version, "kind": kind.kind} | obj


def _self_or_owner(kind: Kind) -> Concerns:
    """The keys of objects of this kind, and of those that control a changed Pod."""

    def keys(changed: Kind, obj: Object) -> Iterable[Key]:
        if changed == kind:
            return (key_of(obj),)
        controller = owner(obj) if changed == kinds.POD else {}
        return (Key(obj["metadata"]["namespace"], controller["name"]),) if controller.get("kind") == kind.kind else ()

    return keys


def _only(*wanted: Kind) -> Concerns:
    return lambda kind, obj: (key_of(obj),) if kind in wanted else ()
