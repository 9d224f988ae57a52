"""`panal logs`: of the aggregator, which is on the hub, or of a collaborator, which is on its own cluster and is read there."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from panal.api.names import COLLABORATOR_NAMESPACE, LABEL_COMPONENT, LABEL_RUN_UID, collaborator, run_id
from panal.api.text import block
from panal.cli.access import Access, contexts
from panal.cli.log_filter import filtered
from panal.cli.problem import Code, Problem
from panal.cli.run import done, find
from panal.kube.client import Client, Selector
from panal.kube.kinds import POD
from panal.kube.objects import Object
from panal.local.node.records import kept_logs
from panal.local.supervisor.folder import Folder

LONGEST = 100_000  # characters of a line on a terminal
TALKATIVE = ("superlink", "supernode")  # the containers in which the user's code speaks


@dataclass(frozen=True, slots=True)
class Wanted:
    """`raw`: as the container wrote it, see `log_filter`."""

    container: str | None
    follow: bool
    tail: int | None
    raw: bool


def logs(
    access: Access,
    name: str,
    *,
    namespace: str | None,
    cluster: str | None,
    cluster_context: str | None,
    container: str | None,
    follow: bool,
    tail: int | None,
    raw: bool = False,
) -> Code:
    wanted = Wanted(container, follow, tail, raw)
    there = _at_cluster(access, cluster, cluster_context) if cluster else None

    async def work() -> Code:
        async with access.open() as hub:
            run = await find(hub, name, namespace)
            if there is None:
                pod = await _pod(hub, run["metadata"]["namespace"], run, "aggregator")
                return await _print(hub, pod, wanted)
        if ended := _ended(there, run, container):
            return await _write_all(_each(ended.read_bytes().split(b"\n")[:-1]), wanted)
        async with there.open() as spoke:
            pod = await _pod(spoke, COLLABORATOR_NAMESPACE, run, "collaborator")
            return await _print(spoke, pod, wanted)

    return done(work(), there or access)


def _at_cluster(access: Access, cluster: str, context: str | None) -> Access:
    """Logs never travel to the hub: they are read at the cluster itself."""
    wanted = context or cluster
    known = contexts(access.kubeconfig)[1] if isinstance(access.kubeconfig, Path) else []
    if wanted not in known:
        message = f"the kubeconfig has no context {wanted}: logs of a collaborator stay on its cluster and are read there"
        raise Problem(Code.USAGE, message, f"Name a context of {cluster} with --cluster-context (there are {', '.join(known) or 'none'}).")
    return access.at(wanted)


def _ended(access: Access, run: Object, container: str | None) -> Path | None:
    """The log that a node of the local platform kept of a collaborator that is gone. Elsewhere it goes with its Pod."""
    if not access.local or not isinstance(access.kubeconfig, Path):
        return None
    metadata = run["metadata"]
    name = collaborator(metadata["name"], run_id(metadata["namespace"], metadata["name"], metadata["uid"]))
    node = Folder(access.kubeconfig.parent).node(access.context or "")
    file = kept_logs(node, COLLABORATOR_NAMESPACE, f"{name}-0") / f"{container or TALKATIVE[-1]}.log"
    return file if file.is_file() and (run.get("status") or {}).get("completionTime") else None


async def _pod(client: Client, namespace: str, run: Object, component: str) -> Object:
    """The newest of them."""
    selector = f"{LABEL_RUN_UID}={run['metadata']['uid']},{LABEL_COMPONENT}={component}"
    pods = (await client.list(POD, Selector(namespace, selector))).items
    if not pods:
        ended = " any more: it was removed when the run ended" if (run.get("status") or {}).get("completionTime") else " yet"
        raise Problem(Code.NOT_FOUND, f"{run['metadata']['name']} has no {component} there{ended}", "`panal get NAME` says how the run is.")
    return max(pods, key=lambda pod: str(pod["metadata"]["creationTimestamp"]))


async def _print(client: Client, pod: Object, wanted: Wanted) -> Code:
    metadata, container = pod["metadata"], _container(pod, wanted.container)
    tail = wanted.tail if wanted.follow or wanted.raw else None  # of what is left of it, where there is an end
    return await _write_all(client.logs(metadata["namespace"], metadata["name"], container, follow=wanted.follow, tail=tail), wanted)


async def _each(lines: list[bytes]) -> AsyncIterator[bytes]:
    for line in lines:
        yield line


async def _write_all(lines: AsyncIterator[bytes], wanted: Wanted) -> Code:
    kept = lines if wanted.raw else filtered(lines)
    if wanted.follow or wanted.tail is None:
        async for line in kept:
            _write(line)
        return Code.OK
    for line in deque([line async for line in kept], wanted.tail):
        _write(line)
    return Code.OK


def _write(text: bytes) -> None:
    """One line of a log. A terminal gets what prints, and escapes of the rest; a file or a pipe gets the bytes."""
    sys.stdout.buffer.write((on_terminal(text) if sys.stdout.isatty() else text) + b"\n")
    sys.stdout.buffer.flush()


def on_terminal(text: bytes) -> bytes:
    """A progress bar's carriage returns end lines."""
    found = block(text.strip(b"\r").decode(errors="backslashreplace"), LONGEST)
    return found.encode()


def _container(pod: Object, wanted: str | None) -> str:
    spec = pod["spec"]
    found = [str(c["name"]) for c in [*(spec.get("initContainers") or ()), *spec["containers"]]]
    if wanted and wanted not in found:
        raise Problem(Code.NOT_FOUND, f"there is no container {wanted} in it", f"It has {', '.join(found)}.")
    return wanted or next((name for name in TALKATIVE if name in found), str(spec["containers"][0]["name"]))
