"""`panal logs`: reads the log of the aggregator on the hub, or of a collaborator on its own cluster."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from panal.api.names import COLLABORATOR_NAMESPACE, LABEL_COMPONENT, LABEL_RUN_UID, collaborator, run_id
from panal.api.text import block
from panal.cli.log_filter import filtered
from panal.cli.run import done
from panal.client.access import Access, contexts
from panal.client.finding import find
from panal.client.platform import installed
from panal.client.problem import Code, Problem
from panal.kube.client import Client, Selector
from panal.kube.errors import KubeError
from panal.kube.kinds import POD
from panal.kube.objects import Object
from panal.runtimes import runtime_for
from panal.runtimes.logs import Logs

LONGEST = 100_000  # characters of a line on a terminal


@dataclass(frozen=True, slots=True)
class Wanted:
    """`container`: the one asked for, else the one that runs the app; empty if it is not known. `rules` are those of `log_filter`; None:
    nothing is filtered."""

    container: str
    follow: bool
    tail: int | None
    rules: Logs | None


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
    there = _at_cluster(access, cluster, cluster_context) if cluster else None

    async def work() -> Code:
        async with access.open() as hub:
            run = await find(hub, name, namespace)
            rules = _rules(run)
            wanted = Wanted(container or (rules.collaborator if there else rules.aggregator), follow, tail, None if raw else rules)
            if there is None:
                pod = await _pod(hub, run["metadata"]["namespace"], run, "aggregator")
                return await _print(hub, pod, wanted)
        try:
            async with there.open() as managed:
                return await _print(managed, await _pod(managed, COLLABORATOR_NAMESPACE, run, "collaborator"), wanted)
        except (KubeError, Problem):
            if ended := _ended(there, run, wanted.container):
                return await _write_all(_each(ended.read_bytes().split(b"\n")[:-1]), wanted)
            raise

    return done(work(), there or access)


def _rules(run: Object) -> Logs:
    """Of the run's framework; an unknown one's output is shown as it is."""
    runtime = runtime_for(str(run["spec"].get("framework", "")))
    return runtime.logs if runtime else Logs()


def _at_cluster(access: Access, cluster: str, context: str | None) -> Access:
    """Access to the cluster: logs are never sent to the hub."""
    wanted = context or cluster
    known = contexts(access.kubeconfig)[1] if isinstance(access.kubeconfig, Path) else []
    if wanted not in known:
        message = f"the kubeconfig has no context {wanted}: the log of a collaborator stays on its cluster and is read there"
        raise Problem(
            Code.USAGE,
            message,
            f"Give a context of {cluster} with --cluster-context. The kubeconfig has the contexts {', '.join(known) or 'none'}.",
        )
    return access.at(wanted)


def _ended(access: Access, run: Object, container: str) -> Path | None:
    """The log of a removed collaborator, which only a node of the local platform keeps."""
    platform = installed()
    if platform is None or not (run.get("status") or {}).get("completionTime"):
        return None
    metadata = run["metadata"]
    name = collaborator(metadata["name"], run_id(metadata["namespace"], metadata["name"], metadata["uid"]))
    return platform.kept_log(access, COLLABORATOR_NAMESPACE, f"{name}-0", container)


async def _pod(client: Client, namespace: str, run: Object, component: str) -> Object:
    """The newest Pod of the component. Raises Problem if there is none."""
    selector = f"{LABEL_RUN_UID}={run['metadata']['uid']},{LABEL_COMPONENT}={component}"
    pods = (await client.list(POD, Selector(namespace, selector))).items
    if not pods:
        ended = ": it was removed when the run ended" if (run.get("status") or {}).get("completionTime") else " yet"
        raise Problem(
            Code.NOT_FOUND, f"{run['metadata']['name']} has no {component}{ended}", "`panal get NAME` shows the state of the run."
        )
    return max(pods, key=lambda pod: str(pod["metadata"]["creationTimestamp"]))


async def _print(client: Client, pod: Object, wanted: Wanted) -> Code:
    metadata, container = pod["metadata"], _container(pod, wanted.container)
    tail = wanted.tail if wanted.follow or wanted.rules is None else None  # of the filtered lines, unless the log is followed
    return await _write_all(client.logs(metadata["namespace"], metadata["name"], container, follow=wanted.follow, tail=tail), wanted)


async def _each(lines: list[bytes]) -> AsyncIterator[bytes]:
    for line in lines:
        yield line


async def _write_all(lines: AsyncIterator[bytes], wanted: Wanted) -> Code:
    kept = filtered(lines, wanted.rules) if wanted.rules else lines
    if wanted.follow or wanted.tail is None:
        async for line in kept:
            _write(line)
        return Code.OK
    for line in deque([line async for line in kept], wanted.tail):
        _write(line)
    return Code.OK


def _write(text: bytes) -> None:
    """Writes one line of a log: escaped to a terminal, unchanged to a file or a pipe."""
    sys.stdout.buffer.write((on_terminal(text) if sys.stdout.isatty() else text) + b"\n")
    sys.stdout.buffer.flush()


def on_terminal(text: bytes) -> bytes:
    """Escapes a line for a terminal. A carriage return, as in a progress bar, ends a line."""
    found = block(text.strip(b"\r").decode(errors="backslashreplace"), LONGEST)
    return found.encode()


def _container(pod: Object, wanted: str) -> str:
    spec = pod["spec"]
    found = [str(c["name"]) for c in [*(spec.get("initContainers") or ()), *spec["containers"]]]
    if wanted and wanted not in found:
        raise Problem(Code.NOT_FOUND, f"the Pod has no container {wanted}", f"Its containers are {', '.join(found)}.")
    return wanted or str(spec["containers"][0]["name"])
