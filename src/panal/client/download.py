"""Brings a file of a run's storage here, such as its model.

On the local platform the volume is a folder of this machine. On a hub a Pod like the reporter's, with its image and volumes, writes the
file to its output, and is deleted afterwards: the user needs the permission to create Pods in the run's namespace, and `pods/exec`.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from copy import deepcopy
from pathlib import Path
from typing import Any

from panal.api import names
from panal.api.types import StorageType
from panal.client.access import Access
from panal.client.problem import Code, Problem
from panal.kube import kinds
from panal.kube.client import Client
from panal.kube.errors import NotFound
from panal.kube.execution import ProgramFailed
from panal.kube.objects import Object, condition
from panal.lifecycle import pods

PATIENCE = 120.0  # seconds until the Pod runs
LOOK = 0.5
DEADLINE = 3600  # seconds after which the Pod ends by itself
PIECE = 1 << 20
KEPT = ("nodeSelector", "tolerations", "affinity", "imagePullSecrets", "hostAliases")
NOT_READ = ("PANAL_ATTEMPT", "POD_IP")
READING = "reading"
REMEDY = "Look who has changed it: `kubectl get job {} -o yaml` shows it. The file can be read with a Pod that you write yourself."


@asynccontextmanager
async def opened(
    access: Access, client: Client, run: Object, say: Callable[[str], None]
) -> AsyncIterator[Callable[[str], AsyncIterator[bytes]]]:
    """Yields a function that returns the content of a file of the run's folder, in pieces. Raises Problem."""
    folder_of(run)
    if access.local:
        folder = await _local_folder(client, run)
        yield lambda name: _local(folder, name)
        return
    pod = await _pod(client, run)
    namespace = run["metadata"]["namespace"]
    made = await client.create(pod)
    name = made["metadata"]["name"]
    try:
        await _until_running(client, made, say)
        yield lambda file: _remote(client, namespace, name, file)
    finally:
        await asyncio.shield(client.delete(kinds.POD, namespace, name, made["metadata"]["uid"], grace=1))


def folder_of(run: Object) -> str:
    """The URI of the folder that the run has in its storage. Raises Problem if it has stored nothing."""
    status = run.get("status") or {}
    found = (status.get("model") or status.get("files") or status.get("evaluation") or {}).get("uri", "")
    if not found:
        name = run["metadata"]["name"]
        raise Problem(Code.NOT_FOUND, f"{name} has stored nothing", f"`panal get {name}` shows its state.")
    return str(found).rstrip("/").rpartition("/")[0]


async def save(content: AsyncIterator[bytes], to: Path, expected: str | None, say: Callable[[int], None]) -> tuple[int, str]:
    """Writes the file when all of it is here and has the `expected` digest. Returns size and digest. Raises Problem."""
    part = to.with_name(f".{to.name}.{os.getpid()}.part")
    sums, size = hashlib.sha256(), 0
    try:
        with part.open("wb") as opened_part:
            async for piece in content:
                opened_part.write(piece)
                sums.update(piece)
                size += len(piece)
                say(size)
        digest = f"sha256:{sums.hexdigest()}"
        if expected is not None and digest != expected:
            message = f"the file has {digest}, and status.model has {expected}: it is not the model that the run has stored"
            raise Problem(Code.REFUSED, message, "Somebody has changed it in the storage, or another model was stored meanwhile.")
        part.replace(to)
    finally:
        part.unlink(missing_ok=True)
    return size, digest


# --- the local platform -----------------------------------------------------------------------------------------
async def _local_folder(client: Client, run: Object) -> Path:
    scheme, _, rest = folder_of(run).partition("://")
    if scheme == "file":
        return Path(rest)
    if scheme != "pvc":
        raise Problem(Code.PLATFORM, "the local platform does not download from a bucket", f"Use a tool of the bucket: {folder_of(run)}")
    claim, _, inner = rest.partition("/")
    found = await client.get(kinds.PERSISTENT_VOLUME_CLAIM, run["metadata"]["namespace"], claim)
    volume = await client.get(kinds.PERSISTENT_VOLUME, "", found["spec"]["volumeName"])
    return Path(volume["spec"]["hostPath"]["path"]) / inner


async def _local(folder: Path, name: str) -> AsyncIterator[bytes]:
    if ".." in Path(name).parts or name.startswith("/"):
        raise Problem(Code.USAGE, f"{name} is not a file of the run", "Give a path below the run's folder, such as metadata.json.")
    try:
        with (folder / name).open("rb") as file:
            while piece := file.read(PIECE):
                yield piece
    except FileNotFoundError as error:
        raise Problem(Code.NOT_FOUND, f"the storage has no {name} of this run", "It may have been deleted.") from error


# --- a hub ------------------------------------------------------------------------------------------------------
async def _remote(client: Client, namespace: str, pod: str, name: str) -> AsyncIterator[bytes]:
    try:
        async for piece in client.execute(namespace, pod, READING, ["python3", "-m", "panal.pod.giving", name]):
            yield piece
    except ProgramFailed as error:
        raise Problem(Code.NOT_FOUND, str(error), "Check that the storage is still there, with what the run has stored.") from error


async def _pod(client: Client, run: Object) -> Object:
    """The Pod, from the aggregator's Job, which a run keeps after its end."""
    metadata = run["metadata"]
    try:
        job = await client.get(kinds.JOB, metadata["namespace"], names.aggregator(metadata["name"]))
    except NotFound as error:
        message = "the aggregator's Job, which says how the storage is reached, does not exist"
        raise Problem(Code.NOT_FOUND, message, "Read the file with a Pod that mounts the volume, or with a tool of the bucket.") from error
    return reading_pod(job, run)


def reading_pod(job: Object, run: Object) -> Object:
    """A Pod with the storage of the Job's reporter. Raises Problem if the storage is open to the reporter's ServiceAccount alone.

    A user of the namespace could replace the Job to get a Pod that the user may not create. So the Pod gets only what panal's Pods need."""
    if not _of_run(job, run):
        raise _changed(job, "does not belong to the run")
    spec: Mapping[str, Any] = job["spec"]["template"]["spec"]
    reporter = next((c for c in spec.get("initContainers") or () if c["name"] == "reporter"), None)
    if reporter is None:
        raise _changed(job, "has no reporter")
    env = [deepcopy(each) for each in reporter["env"] if each["name"] not in NOT_READ]
    values = {each["name"]: each for each in env}
    bucket = "PANAL_STORAGE_S3" in values
    if bucket and "AWS_ACCESS_KEY_ID" not in values:
        message = "the bucket is read with the identity of the run's Pod, which ended with it"
        raise Problem(Code.REFUSED, message, "Use a tool of the bucket; `panal models show` has the address.")
    mounts = [
        {"name": m["name"], "mountPath": m["mountPath"], "readOnly": not (bucket and m["name"] == "storage")}
        for m in reporter["volumeMounts"]
        if m["name"] == "storage" or m["mountPath"] == names.AUTHORITIES_DIR
    ]
    wanted = {mount["name"] for mount in mounts}
    volumes = [deepcopy(v) for v in spec["volumes"] if v["name"] in wanted]
    for volume in volumes:
        if not _allowed(volume, run):
            raise _changed(job, f"has a volume {volume['name']} that is none of the run's storage")
    metadata = job["metadata"]
    container = {
        **{field: reporter[field] for field in ("image", "imagePullPolicy") if field in reporter},
        "name": READING,
        "command": ["python3", "-c", f"import time; time.sleep({DEADLINE})"],
        "env": env,
        "volumeMounts": [*mounts, {"name": "tmp", "mountPath": "/tmp"}],
        "resources": reporter.get("resources") or {},
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "generateName": f"{metadata['name'][:40]}-reading-",
            "namespace": metadata["namespace"],
            "labels": {"app.kubernetes.io/name": "panal-reading"},
        },
        "spec": {
            **{field: deepcopy(spec[field]) for field in KEPT if field in spec},
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "restartPolicy": "Never",
            "activeDeadlineSeconds": DEADLINE,
            "terminationGracePeriodSeconds": 1,
            "securityContext": pods.security(open_shift=True) | _groups(spec.get("securityContext") or {}),
            "containers": [pods.secured(container)],
            "volumes": [*volumes, {"name": "tmp", "emptyDir": {}}],
        },
    }


def _of_run(job: Object, run: Object) -> bool:
    owners = job["metadata"].get("ownerReferences") or ()
    return any(o.get("controller") and o.get("kind") == names.KIND and o.get("uid") == run["metadata"]["uid"] for o in owners)


def _changed(job: Object, how: str) -> Problem:
    name = job["metadata"]["name"]
    return Problem(Code.REFUSED, f"the Job {name} is not as panal has made it: it {how}", REMEDY.format(name))


def _allowed(volume: Object, run: Object) -> bool:
    """Whether the Pod may have the volume: the run's storage, or the authorities of its bucket."""
    sources = {field: source for field, source in volume.items() if field != "name"}
    if volume["name"] != "storage":
        return len(sources) == 1 and not sources.keys().isdisjoint({"configMap", "secret"})
    stored = ((run.get("spec") or {}).get("server") or {}).get("storage") or {}
    if stored.get("type") == StorageType.HOST_PATH:
        return sources.keys() == {"hostPath"} and sources["hostPath"].get("path") == stored.get("path")
    return len(sources) == 1 and not sources.keys().isdisjoint({"persistentVolumeClaim", "emptyDir"})


def _groups(context: Mapping[str, Any]) -> Object:
    """What makes the volume readable, where the Job has it; OpenShift sets its own."""
    return {field: context[field] for field in ("fsGroup", "fsGroupChangePolicy", "supplementalGroups") if field in context}


async def _until_running(client: Client, pod: Object, say: Callable[[str], None]) -> None:
    """Raises Problem if the Pod does not run within PATIENCE."""
    metadata, until = pod["metadata"], time.monotonic() + PATIENCE
    while True:
        now = await client.get(kinds.POD, metadata["namespace"], metadata["name"])
        status = now.get("status") or {}
        if status.get("phase") == "Running":
            return
        why = waiting_for(now)
        if status.get("phase") in ("Failed", "Succeeded") or time.monotonic() >= until:
            raise Problem(
                Code.TIMEOUT, f"the Pod that reads the storage does not run: {why}", "Try again when the cluster has room for it."
            )
        say(f"the Pod {metadata['name']} starts: {why}")
        await asyncio.sleep(LOOK)


def waiting_for(pod: Object) -> str:
    status = pod.get("status") or {}
    scheduled = condition(pod, "PodScheduled")
    if scheduled.get("status") == "False":
        return str(scheduled.get("message") or scheduled.get("reason"))
    for container in status.get("containerStatuses") or ():
        if waiting := (container.get("state") or {}).get("waiting"):
            return f"{waiting.get('reason')} {waiting.get('message') or ''}".strip()
    return str(status.get("message") or status.get("phase") or "not scheduled yet")
