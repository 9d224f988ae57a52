"""A site as its owner sees it: the SitePolicy, the Pods of runs that are here, and, from the ledger, what the site controller has decided
about them.

The owner's own credentials for the site's cluster are used; the hub is not asked.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from panal.api import names
from panal.client.problem import Code, Problem
from panal.client.site_ledger import INSTALL, entries
from panal.kube import kinds
from panal.kube.client import Client, Selector
from panal.kube.errors import Conflict, KubeError, NotFound
from panal.kube.objects import Object, condition, uid_of
from panal.site.in_force import gated, in_force
from panal.site.policy import SitePolicySpec

WRITE = f"Write a SitePolicy {names.SITE_POLICY}: docs/how-to/site-policy.md."
STOPPED_WITHIN = 30.0  # seconds until the Pods have ended
DECIDED_WITHIN = 10.0  # seconds until the site controller has decided about an answer
LOOK = 0.2
ATTEMPTS = 5  # to change a policy that others change as well


@dataclass(frozen=True, slots=True)
class Here:
    """A Pod of a run at the site. `asked`: what the run asks; `verdict`, `code`, `rule` and `text`: what the site controller has decided;
    `rounds` and `bytes`: of the run, that have left the site. All of these are from the ledger, and empty while it has nothing about the
    Pod. `told`: the reason that the site controller has written into the Pod, and `status` that of the condition with it. `phase`: of the
    Pod."""

    pod: str
    since: datetime
    gated: bool
    phase: str = ""
    status: str = ""
    told: str = ""
    asked: Mapping[str, Any] = field(default_factory=dict)
    verdict: str = ""
    code: str = ""
    rule: str = ""
    text: str = ""
    rounds: int = 0
    bytes: int = 0

    @property
    def request(self) -> str:
        return str(self.asked.get("request") or "")


FROM_THE_LEDGER = ("asked", "verdict", "code", "rule", "text", "rounds", "bytes")


@dataclass(frozen=True, slots=True)
class Site:
    """`policy` is None if the site has no policy that can be read; `problem` says why. `ready`: whether the site controller is ready.
    `unread`: why the ledger cannot be read. `decided`: the generation of the policy that the site controller applies. `budgets`: the
    records of `panal.site.budgets.Figures`; None if the ledger cannot be read."""

    policy: SitePolicySpec | None
    problem: str
    ready: bool = True
    pods: Sequence[Here] = ()
    unread: str = ""
    decided: int = 0
    budgets: Sequence[Mapping[str, Any]] | None = None


async def read(client: Client) -> Site:
    """Raises Problem if the site controller is not installed."""
    policy, problem = await _policy(client)
    known, ledger, unread = await _known(client)
    pods = (await client.list(kinds.POD, Selector(namespace=names.COLLABORATOR_NAMESPACE))).items
    here = sorted((_pod(pod, known) for pod in pods if _is_of_a_run(pod)), key=lambda each: each.since)
    return Site(policy, problem, await _ready(client), here, unread, ledger.get("policy", 0), ledger.get("budgets"))


async def _ready(client: Client) -> bool:
    try:
        found = await client.get(kinds.DEPLOYMENT, names.SITE_CONTROLLER, names.SITE_CONTROLLER)
    except NotFound:
        return False
    return bool((found.get("status") or {}).get("readyReplicas"))


async def _known(client: Client) -> tuple[dict[str, Mapping[str, Any]], Mapping[str, Any], str]:
    """What the ledger says about Pods, by uid, and about the policy; or why it cannot be read."""
    try:
        *pods, policy = [each async for each in entries(client, "--here")]
    except (Problem, KubeError) as error:  # whoever may not look into the site controller's Pod still sees the rest
        return {}, {}, str(error)
    return {each["podUid"]: each for each in pods}, policy, ""


def _pod(pod: Object, known: Mapping[str, Mapping[str, Any]]) -> Here:
    told = condition(pod, names.SITE_GATE)
    from_the_pod = {
        "pod": pod["metadata"]["name"],
        "since": datetime.fromisoformat(pod["metadata"]["creationTimestamp"]),
        "gated": gated(pod),
        "phase": str((pod.get("status") or {}).get("phase") or ""),
        "status": str(told.get("status") or ""),
        "told": str(told.get("reason") or ""),
    }
    found = known.get(uid_of(pod), {})
    return Here(**from_the_pod, **{name: found[name] for name in FROM_THE_LEDGER if name in found})


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


async def change(client: Client, edit: Callable[[dict[str, Any]], dict[str, Any]]) -> tuple[int, bool]:
    """Writes the fields of the spec that `edit` returns. Returns the policy's generation then, and whether there was something to change.
    Raises Problem if there is no policy."""
    for _ in range(ATTEMPTS):
        try:
            found = await client.get(kinds.SITE_POLICY, "", names.SITE_POLICY)
        except NotFound as error:
            raise Problem(Code.NOT_FOUND, f"there is no SitePolicy {names.SITE_POLICY}", f"{WRITE} {INSTALL}") from error
        spec = found.get("spec") or {}
        fields = {name: value for name, value in edit(spec).items() if spec.get(name) != value}
        if not fields:
            return found["metadata"]["generation"], False
        metadata = {"resourceVersion": found["metadata"]["resourceVersion"]}
        try:
            changed = await client.merge_patch(kinds.SITE_POLICY, "", names.SITE_POLICY, {"metadata": metadata, "spec": fields})
        except Conflict:
            continue
        return changed["metadata"]["generation"], True
    raise Problem(Code.TIMEOUT, f"the SitePolicy {names.SITE_POLICY} is changed by others all the time", "Try again.")


async def until_decided(client: Client, request: str, generation: int, unanswered: Callable[[Here], bool]) -> list[Here]:
    """The Pods that ask by this request, when the site controller has decided about them by this generation of the policy. `unanswered`: as
    its decision was before the answer. Raises Problem if it does not decide."""
    end = time.monotonic() + DECIDED_WITHIN
    while True:
        found = await read(client)
        pods = [each for each in found.pods if each.request == request]
        if not found.unread and found.decided >= generation and not any(map(unanswered, pods)):
            return pods
        if time.monotonic() > end:
            why = found.unread or f"it has not decided about the request {request} yet"
            look = f"See `panal site`, and kubectl -n {names.SITE_CONTROLLER} logs deployment/{names.SITE_CONTROLLER}."
            raise Problem(Code.TIMEOUT, f"the answer is in the SitePolicy, but nothing is known of the site controller: {why}", look)
        await asyncio.sleep(LOOK)


async def end_pods(client: Client) -> tuple[float, list[str]]:
    """Deletes the Pods of runs that work here, and waits until their containers have ended. Returns the seconds, and the Pods' names.
    Raises Problem."""
    began, failed, ended = time.monotonic(), "", set[str]()
    while True:
        pods = (await client.list(kinds.POD, Selector(namespace=names.COLLABORATOR_NAMESPACE))).items
        working = [pod for pod in pods if _is_of_a_run(pod) and not gated(pod)]
        if not working:
            return time.monotonic() - began, sorted(ended)
        if time.monotonic() - began > STOPPED_WITHIN:
            named = ", ".join(pod["metadata"]["name"] for pod in working[:3])
            node = "If its node is away, what runs there goes on until the node has contact again."
            why = f"{named}: still there after {STOPPED_WITHIN:.0f} s{failed and f': {failed}'}"
            raise Problem(Code.TIMEOUT, why, node)
        ended |= {pod["metadata"]["name"] for pod in working}
        for pod in working:
            if "deletionTimestamp" not in pod["metadata"]:
                metadata = pod["metadata"]
                try:
                    await client.delete(kinds.POD, metadata["namespace"], metadata["name"], metadata["uid"], grace=1)
                except KubeError as error:  # the others are deleted all the same
                    failed = str(error)
        await asyncio.sleep(LOOK)
