"""`panal run` of a file, and `panal get`."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

from panal.api.names import CLUSTER_SET_LABEL
from panal.api.spec import Result
from panal.api.status import ENDED, Phase
from panal.cli import evaluated, freshness, output
from panal.cli.follow import follow
from panal.client import controller_lease, story
from panal.client.access import Access
from panal.client.apply import apply, documents
from panal.client.apps import App
from panal.client.finding import find
from panal.client.manifest import manifest
from panal.client.platform import Platform
from panal.client.problem import Code, Problem, explained
from panal.kube import kinds
from panal.kube.client import Client, Selector
from panal.kube.objects import Object, condition, labels_of

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Following:
    """`timeout` in seconds; `detach`: do not follow the run."""

    detach: bool = False
    timeout: float | None = None
    as_json: bool = False


def done(work: Coroutine[Any, Any, T], access: Access) -> T:
    """Returns the result of `work`, and converts its errors to Problem. Ctrl-C ends the command, not the run."""
    output.note(f"using {access}")
    try:
        with explained(str(access)):
            return asyncio.run(work)
    except KeyboardInterrupt as stop:
        raise Problem(Code.INTERRUPTED, "interrupted; the run continues", "Follow it again with `panal get NAME -w`.") from stop


def run_file(access: Access, file: str, namespace: str | None, create_namespace: bool, following: Following) -> Code:
    found = documents(file)
    return done(_run(access, found, namespace, create_namespace, following), access)


async def _run(access: Access, found: list[Object], namespace: str | None, create_namespace: bool, following: Following) -> Code:
    async with access.open() as client:
        runs = await apply(client, found, namespace, create_namespace)
        for run in runs:
            _tell_applied(run)
        return await until_end(client, runs, following)


def run_folder(platform: Platform, home: Path | None, app: App, following: Following) -> Code:
    """Runs an app's folder on the local platform, and follows the run."""
    wanted = platform.target(home, app)
    needed = app.needed(wanted.clusters)
    access, run = platform.start(home, app, manifest(app, wanted.image, needed, wanted.data_claim), output.TELL)
    name, clusters = run["metadata"]["name"], wanted.clusters
    output.note(f"run {name}: {app.rounds} rounds on {clusters} clusters; each round needs {needed} of them (--min-clients)")

    async def work() -> Code:
        async with access.open() as client:
            return await until_end(client, [run], following)

    return done(work(), access)


def _tell_applied(run: Object) -> None:
    name, namespace = run["metadata"]["name"], run["metadata"]["namespace"]
    phase = (run.get("status") or {}).get("phase", "")
    output.note(f"federatedlearning {name} in namespace {namespace} applied")
    if phase in ENDED:
        output.note(f"{name} is already {phase}: to run it again, give it another name, or delete it first")


async def until_end(client: Client, runs: list[Object], following: Following) -> Code:
    if not following.detach:
        runs = await follow(client, runs, following.timeout, lines_to_stderr=following.as_json)
        for run in runs:
            for text in story.summary(run.get("status") or {}) if not following.as_json else ():
                output.line(text)
            if not following.as_json:
                evaluated.show(run.get("status") or {})
    if following.as_json:
        output.as_json(runs[0] if len(runs) == 1 else {"apiVersion": "v1", "kind": "List", "items": runs})
    return max((ended(run) for run in runs), key=SEVERITY.index)


# The results of runs, the worst last: several runs give the worst of their results.
SEVERITY = (Code.OK, Code.WITHOUT_MODEL, Code.FAILED_WITH_MODEL, Code.RUN_FAILED)


def ended(run: Object) -> Code:
    """The exit code for a run that has ended."""
    status = run.get("status") or {}
    has_model, phase = bool(status.get("model")), status.get("phase")
    if phase == Phase.FAILED:
        return Code.FAILED_WITH_MODEL if has_model else Code.RUN_FAILED
    if status.get("evaluation"):
        return Code.OK
    wanted = run["spec"].get("result")
    return Code.WITHOUT_MODEL if phase == Phase.COMPLETED and not has_model and wanted not in (Result.FILES, Result.NONE) else Code.OK


# --- get ---------------------------------------------------------------------------------------------------------
def get(access: Access, what: str, namespace: str | None, watch: bool, following: Following) -> Code:
    match what:
        case "runs":
            return done(_get_runs(access, namespace, following.as_json), access)
        case "clusters":
            return done(_get_clusters(access, following.as_json), access)
    return done(_get_run(access, what, namespace, watch, following), access)


async def _get_runs(access: Access, namespace: str | None, as_json: bool) -> Code:
    async with access.open() as client:
        runs = (await client.list(kinds.FEDERATED_LEARNING, Selector(namespace or ""))).items
        since = await _silent_since(client, runs)
    runs.sort(key=lambda run: str(run["metadata"]["creationTimestamp"]))
    if as_json:
        output.as_json({"apiVersion": "v1", "kind": "List", "items": runs})
    elif runs:
        output.columns(("NAMESPACE", "NAME", "PHASE", "ROUND", "CLIENTS", "METRIC", "AGE"), [_row(run, since) for run in runs])
    else:
        output.note("no runs")
    return Code.OK


async def _silent_since(client: Client, runs: list[Object]) -> datetime | None:
    """Since when the status of these runs is not up to date. Prints a warning."""
    since = None if all(map(story.ended, runs)) else await controller_lease.silent_since(client)
    if since:
        output.warn(freshness.warning(since))
    return since


def _row(run: Object, since: datetime | None) -> tuple[str, ...]:
    metadata, status = run["metadata"], run.get("status") or {}
    rounds, clients = (status.get(name, {}).get("summary", "") for name in ("rounds", "clients"))
    metric, age = status.get("headlineMetric", ""), output.age(metadata["creationTimestamp"])
    return metadata["namespace"], metadata["name"], freshness.phase(run, since), rounds, clients, metric, age


async def _get_clusters(access: Access, as_json: bool) -> Code:
    async with access.open() as client:
        clusters = (await client.list(kinds.MANAGED_CLUSTER)).items
    if as_json:
        output.as_json({"apiVersion": "v1", "kind": "List", "items": clusters})
    elif clusters:
        output.columns(("NAME", "AVAILABLE", "SET", "CLAIMS", "AGE"), [_cluster(cluster) for cluster in clusters])
    else:
        output.note("no managed clusters")
    return Code.OK


def _cluster(cluster: Object) -> tuple[str, ...]:
    metadata, status = cluster["metadata"], cluster.get("status") or {}
    claims = ", ".join(f"{c.get('name', '')}={c.get('value', '')}" for c in status.get("clusterClaims") or ())
    member = labels_of(cluster).get(CLUSTER_SET_LABEL, "")
    available = condition(cluster, "ManagedClusterConditionAvailable").get("status", "Unknown")
    return metadata["name"], available, member, claims, output.age(metadata["creationTimestamp"])


async def _get_run(access: Access, name: str, namespace: str | None, watch: bool, following: Following) -> Code:
    async with access.open() as client:
        run = await find(client, name, namespace)
        if watch:
            return await until_end(client, [run], following)
        since = await _silent_since(client, [run])
    if following.as_json:
        output.as_json(run)
        return Code.OK
    output.columns(("NAMESPACE", "NAME", "PHASE", "ROUND", "CLIENTS", "METRIC", "AGE"), [_row(run, since)])
    status = run.get("status") or {}
    output.line("")
    output.line(status.get("message", ""))
    rows = [_collaborator(each) for each in status.get("collaborators") or ()]
    if rows:
        output.line("")
        output.columns(("CLUSTER", "STATE", "ROUND", "REPORTED", "REASON"), rows)
    for text in story.summary(status):
        output.line(text)
    evaluated.show(status)
    return Code.OK


def _collaborator(each: dict[str, Any]) -> tuple[str, ...]:
    metrics, why = story.numbers(each), f"{each.get('reason', '')} {each.get('message', '')}".strip()
    return each["cluster"], each.get("state", ""), str(each.get("round") or ""), metrics, why
