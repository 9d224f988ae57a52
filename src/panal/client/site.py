"""A site as its owner sees it: the SitePolicy, the Pods of runs that are here, and the ledger.

The owner's own credentials for the site's cluster are used; the hub is not asked.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from panal.api import names
from panal.client.problem import Code, Problem
from panal.evidence.file import NoEvidenceError, parsed
from panal.evidence.sealed import Finding, differences, fingerprint, marks, read_key
from panal.kube import kinds
from panal.kube.client import Client, Selector
from panal.kube.errors import Conflict, KubeError, NotFound
from panal.kube.execution import ProgramFailed
from panal.kube.objects import Object, condition
from panal.kube.times import now_utc
from panal.site.budgets import Figures, Usage, figures, usage_of
from panal.site.decide import Decision, Left, decide
from panal.site.in_force import gated, in_force, request_of
from panal.site.known import KnownRuns
from panal.site.policy import SitePolicySpec
from panal.site.request import Asked, NotRecognizedError

INSTALL = "Install the site controller with the credentials of the site's owner: kubectl apply --server-side -f deploy/site.yaml."
WRITE = f"Write a SitePolicy {names.SITE_POLICY}: docs/how-to/site-policy.md."
STOPPED_WITHIN = 30.0  # seconds until the Pods have ended
LOOK = 0.2
ATTEMPTS = 5  # to change a policy that others change as well


@dataclass(frozen=True, slots=True)
class Ledger:
    """What it says about the runs that are here. `left`: bytes, rounds and updates of each that have left, or would have if they had not
    been refused, by `Asked.key`."""

    usage: Usage = field(default_factory=Usage)
    left: Mapping[str, tuple[int, int, int]] = field(default_factory=dict)

    def of(self, run: str) -> Left:
        bytes_, rounds, updates = self.left.get(run, (0, 0, 0))
        return Left(bytes_, rounds, self.usage.wanting(run, updates))


@dataclass(frozen=True, slots=True)
class Here:
    """A Pod of a run at the site. `asked` is None if the Pod is not recognized. `told`: the reason that the site controller has written."""

    pod: str
    asked: Asked | None
    problem: str
    running: bool
    told: str
    since: datetime

    def decision(self, policy: SitePolicySpec | None, ledger: Ledger | None = None) -> Decision | None:
        """What the policy says now; without the ledger, what has already left the site does not count. None for a Pod that is not
        recognized."""
        if self.asked is None:
            return None
        return decide(policy, self.asked, now_utc(), ledger.of(self.asked.key) if ledger else Left())


@dataclass(frozen=True, slots=True)
class Site:
    """`policy` is None if there is none, or none that can be read; then `problem` says why. `ready`: whether the site controller is.
    `ledger` is None if it cannot be read."""

    policy: SitePolicySpec | None
    problem: str
    ready: bool
    pods: Sequence[Here]
    ledger: Ledger | None = None

    @property
    def budgets(self) -> Sequence[Figures] | None:
        """What is spent of each; None if it is not known."""
        if self.ledger is None:
            return None
        return [figures(each, self.ledger.usage) for each in (self.policy.privacy_budgets if self.policy else ())]


async def read(client: Client) -> Site:
    """Raises Problem if the site controller is not installed."""
    policy, problem = await _policy(client)
    pods = (await client.list(kinds.POD, Selector(namespace=names.COLLABORATOR_NAMESPACE))).items
    here = [_here(pod) for pod in pods if _is_of_a_run(pod)]
    ready = await _ready(client)
    return Site(policy, problem, ready, sorted(here, key=lambda each: each.since), await _ledger(client) if ready else None)


async def _ledger(client: Client) -> Ledger | None:
    try:
        found = [entry async for entry in ledger(client, "--usage")][-1]
    except (Problem, KubeError):  # whoever may not look into the site controller's Pod still sees the rest
        return None
    left = {key: (each["bytes"], each["rounds"], each["updates"]) for key, each in found["left"].items()}
    return Ledger(usage_of(found["usage"]), left)


async def _policy(client: Client) -> tuple[SitePolicySpec | None, str]:
    try:
        policies = (await client.list(kinds.SITE_POLICY)).items
    except NotFound as error:
        raise Problem(Code.NOT_FOUND, "this cluster has no SitePolicy: the site controller is not installed", INSTALL) from error
    policy = next((each for each in policies if each["metadata"]["name"] == names.SITE_POLICY), None)
    if policy is None:
        return None, f"there is no SitePolicy {names.SITE_POLICY}, so nothing may run here"
    found = in_force(policy)
    return found.spec, f"the SitePolicy is invalid, so nothing may run here: {found.problem}" if found.problem else ""


def _is_of_a_run(pod: Object) -> bool:
    return names.ANNOTATION_REQUEST in (pod["metadata"].get("annotations") or {}) or bool(gated(pod) or condition(pod, names.SITE_GATE))


def _here(pod: Object) -> Here:
    request = request_of(pod)
    found, problem = (None, str(request)) if isinstance(request, NotRecognizedError) else (request, "")
    since = datetime.fromisoformat(pod["metadata"]["creationTimestamp"])
    told = str(condition(pod, names.SITE_GATE).get("reason") or "")
    return Here(pod["metadata"]["name"], found, problem, not gated(pod), told, since)


async def _ready(client: Client) -> bool:
    try:
        found = await client.get(kinds.DEPLOYMENT, names.SITE_CONTROLLER, names.SITE_CONTROLLER)
    except NotFound:
        return False
    return bool((found.get("status") or {}).get("readyReplicas"))


async def ledger(client: Client, *options: str) -> AsyncIterator[dict[str, Any]]:
    """The entries that the site controller prints. Raises Problem if it does not run, or the ledger is broken."""
    pods = (
        await client.list(kinds.POD, Selector(namespace=names.SITE_CONTROLLER, labels=f"app.kubernetes.io/name={names.SITE_CONTROLLER}"))
    ).items
    running = next((each for each in pods if (each.get("status") or {}).get("phase") == "Running"), None)
    if running is None:
        look = f"kubectl -n {names.SITE_CONTROLLER} get pods"
        raise Problem(Code.NOT_FOUND, "the site controller does not run, and the ledger is in its volume", f"Look at {look}. {INSTALL}")
    command = ["python3", "-m", "panal.site_controller.ledger", *options]
    rest = b""
    try:
        async for piece in client.execute(names.SITE_CONTROLLER, running["metadata"]["name"], "controller", command):
            *lines, rest = (rest + piece).split(b"\n")
            for line in lines:
                yield json.loads(line)
    except ProgramFailed as error:
        remedy = "Keep the file as it is, and find out who could write to the volume of the site controller."
        raise Problem(Code.UNHEALTHY, f"the ledger: {error}", remedy) from error


def receipts(file: Path) -> dict[str, Mapping[str, Any]]:
    """Those of a file of evidence, by cluster. Raises Problem."""
    try:
        found = parsed(file.read_bytes()).get("receipts")
    except (OSError, NoEvidenceError) as error:
        raise Problem(Code.USAGE, f"{file} is no file of `panal evidence`: {error}", "Give the file as it was written.") from error
    return {cluster: each for cluster, each in (found if isinstance(found, dict) else {}).items() if isinstance(each, dict)}


def key_of(receipt: Mapping[str, Any]) -> str:
    """The fingerprint of a receipt's key; empty if it has none."""
    try:
        return fingerprint(read_key(receipt.get("key")))
    except ValueError:
        return ""


def misfits(receipt: Mapping[str, Any], entries: Iterable[dict[str, Any]]) -> list[Finding]:
    """What of a receipt the ledger does not say. `entries`: all of the ledger."""
    said = receipt.get("content")
    said = said if isinstance(said, dict) else {}
    record, runs = str(said.get("record")), KnownRuns()
    for entry in entries:
        runs.add(entry)
        if entry.get("kind") == "record" and entry.get("record") == record and entry.get("uid") == said.get("uid"):
            wanted = runs.by_uid[entry["uid"]].receipt(record, disclosed="run" in said)
            return list(differences(said, marks(wanted), "/content"))
    return [Finding("/content/record", "is not in the ledger, for this run")]


async def change(client: Client, edit: Callable[[dict[str, Any]], dict[str, Any]]) -> bool:
    """Writes the fields of the spec that `edit` returns; False if there was nothing to change. Raises Problem if there is no policy."""
    for _ in range(ATTEMPTS):
        try:
            found = await client.get(kinds.SITE_POLICY, "", names.SITE_POLICY)
        except NotFound as error:
            raise Problem(Code.NOT_FOUND, f"there is no SitePolicy {names.SITE_POLICY}", f"{WRITE} {INSTALL}") from error
        spec = found.get("spec") or {}
        fields = {name: value for name, value in edit(spec).items() if spec.get(name) != value}
        if not fields:
            return False
        metadata = {"resourceVersion": found["metadata"]["resourceVersion"]}
        try:
            await client.merge_patch(kinds.SITE_POLICY, "", names.SITE_POLICY, {"metadata": metadata, "spec": fields})
        except Conflict:
            continue
        return True
    raise Problem(Code.TIMEOUT, f"the SitePolicy {names.SITE_POLICY} is changed by others all the time", "Try again.")


async def end_pods(client: Client) -> float:
    """Deletes the Pods of runs that work here, and waits until their containers have ended. Returns the seconds. Raises Problem."""
    began, failed = time.monotonic(), ""
    while True:
        pods = (await client.list(kinds.POD, Selector(namespace=names.COLLABORATOR_NAMESPACE))).items
        working = [pod for pod in pods if _is_of_a_run(pod) and not gated(pod)]
        if not working:
            return time.monotonic() - began
        if time.monotonic() - began > STOPPED_WITHIN:
            named = ", ".join(pod["metadata"]["name"] for pod in working[:3])
            node = "If its node is away, what runs there goes on until the node has contact again."
            why = f"{named}: still there after {STOPPED_WITHIN:.0f} s{failed and f': {failed}'}"
            raise Problem(Code.TIMEOUT, why, node)
        for pod in working:
            if "deletionTimestamp" not in pod["metadata"]:
                metadata = pod["metadata"]
                try:
                    await client.delete(kinds.POD, metadata["namespace"], metadata["name"], metadata["uid"], grace=1)
                except KubeError as error:  # the others are deleted all the same
                    failed = str(error)
        await asyncio.sleep(LOOK)
