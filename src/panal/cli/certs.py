"""`panal certs`: shows authorities and certificates, rotates authorities, revokes and restores clusters.

The commands read and annotate objects on the hub. The controller does the work: this module handles no keys.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Container, Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Any

from panal.addon import issued
from panal.addon.authority import COLLABORATORS, SERVERS, published
from panal.addon.issued import Issued
from panal.api import names
from panal.cli import output
from panal.cli.run import done
from panal.client import story
from panal.client.access import Access
from panal.client.problem import Code, Problem
from panal.hub.addon import versions
from panal.kube import kinds
from panal.kube.client import Client, Selector
from panal.kube.errors import NotFound
from panal.kube.objects import Object, condition, key_of, labels_of
from panal.kube.times import from_time, now_utc, to_time

SHORT = 16  # digits of a fingerprint that are shown
PATIENCE = 5.0  # seconds within which a running controller acts on a request
LOOK_AGAIN = 0.2


class Which(StrEnum):
    SERVERS = SERVERS
    COLLABORATORS = COLLABORATORS


# --- show --------------------------------------------------------------------------------------------------------
def show(access: Access, namespace: str, as_json: bool) -> Code:
    return done(_show(access, namespace, as_json), access)


async def _show(access: Access, namespace: str, as_json: bool) -> Code:
    async with access.open() as client:
        client.speak(await versions.forms(client))
        public = await _authorities(client, namespace)
        addons = (await client.list(kinds.MANAGED_CLUSTER_ADDON, Selector(fields=f"metadata.name={names.ADDON}"))).items
        gateways = (await client.list(kinds.CONFIG_MAP, Selector(labels=names.LABEL_RUN))).items
        in_progress = {key_of(run) for run in (await client.list(kinds.FEDERATED_LEARNING)).items if not story.ended(run)}
    authorities = [{"authority": which, **one} for which in Which for one in _listed(public, which)]
    runs = _runs(gateways, in_progress)
    clusters = [_cluster(addon, runs.get(addon["metadata"]["namespace"], [])) for addon in addons]
    if as_json:
        output.as_json({"authorities": authorities, "clusters": clusters})
        return Code.OK
    output.columns(("AUTHORITY", "ROLE", "FINGERPRINT", "UNTIL"), [_authority_row(one) for one in authorities])
    output.line("")
    if clusters:
        output.columns(("CLUSTER", "STATE", "UNTIL", "REVOKED", "RUNS"), [_cluster_row(one) for one in clusters])
    else:
        output.line(f"no cluster can take part: no cluster has the add-on {names.ADDON}")
    for one in clusters:
        if one["available"] != "True" and one["message"]:
            output.line(f"{one['cluster']}: {one['message']}")
    return Code.OK


async def _authorities(client: Client, namespace: str) -> Object:
    try:
        return await client.get(kinds.CONFIG_MAP, namespace, names.AUTHORITIES)
    except NotFound as error:
        message = f"the ConfigMap {names.AUTHORITIES} does not exist in the namespace {namespace}, so there is no authority"
        remedy = f"Check that the controller runs: kubectl -n {namespace} get pods. If it is in another namespace, give that with -n."
        raise Problem(Code.NOT_FOUND, message, remedy) from error


def _listed(public: Object, which: str) -> list[dict[str, str]]:
    return published(public.get("data") or {}, which)


def _runs(gateways: Iterable[Object], in_progress: Container[tuple[str, str]]) -> dict[str, list[str]]:
    """The runs that admit each cluster, as NAMESPACE/NAME. A run that has ended keeps its list but admits no cluster."""
    found: dict[str, list[str]] = {}
    for gateway in gateways:
        run, namespace = labels_of(gateway).get(names.LABEL_RUN, ""), gateway["metadata"]["namespace"]
        if gateway["metadata"]["name"] == names.gateway(run) and (namespace, run) in in_progress:
            for cluster in _participants(gateway):
                found.setdefault(cluster, []).append(f"{namespace}/{run}")
    return {cluster: sorted(each) for cluster, each in found.items()}


def _participants(gateway: Object) -> list[str]:
    try:
        return [str(cluster) for cluster in json.loads((gateway.get("data") or {}).get(names.KEY_PARTICIPANTS) or "[]")]
    except (ValueError, TypeError):
        return []


def _cluster(addon: Object, runs: Sequence[str]) -> dict[str, Any]:
    available = condition(addon, "Available")
    return {
        "cluster": addon["metadata"]["namespace"],
        "available": available.get("status", "Unknown"),
        "reason": available.get("reason", ""),
        "message": available.get("message", ""),
        "revoked": _revoked(addon),
        "certificates": [_certificate(one) for one in issued.issued(addon)],
        "runs": [] if issued.revoked(addon) else list(runs),
    }


def _revoked(addon: Object) -> str | None:
    found: str | None = (addon["metadata"].get("annotations") or {}).get(names.ANNOTATION_REVOKED)
    return found


def _certificate(one: Issued) -> dict[str, str | None]:
    since = to_time(one.revoked) if one.revoked else None
    return {"serial": f"{one.serial:x}", "notBefore": to_time(one.begins), "notAfter": to_time(one.ends), "revoked": since}


def _authority_row(one: Mapping[str, str]) -> tuple[str, ...]:
    return one["authority"], one.get("role", ""), one.get("fingerprint", "")[:SHORT], _moment(one.get("notAfter"))


def _cluster_row(one: Mapping[str, Any]) -> tuple[str, ...]:
    now = to_time(now_utc())
    valid = [c["notAfter"] for c in one["certificates"] if not c["revoked"] and c["notAfter"] > now]
    state = {"True": "Available", "False": "Unavailable"}.get(one["available"], "Unknown")
    until, since = _moment(max(valid, default="")), _moment(one["revoked"])
    return one["cluster"], one["reason"] if one["revoked"] else state, until or "-", since or "-", ", ".join(one["runs"]) or "-"


def _moment(text: str | None) -> str:
    """A time to the minute, in UTC; other text is returned unchanged."""
    if not text:
        return ""
    try:
        return to_time(from_time(text))[:16].replace("T", " ") + "Z"
    except ValueError:
        return text


# --- rotate ------------------------------------------------------------------------------------------------------
def rotate(access: Access, namespace: str, which: Which | None) -> Code:
    return done(_rotate(access, namespace, [which] if which else list(Which)), access)


async def _rotate(access: Access, namespace: str, wanted: Sequence[Which]) -> Code:
    """Returns when the controller has created the new authorities, or after PATIENCE."""
    async with access.open() as client:
        before = await _authorities(client, namespace)
        value = f"{','.join(wanted)}@{to_time(now_utc())}"
        change = {"metadata": {"annotations": {names.ANNOTATION_ROTATE: value}}}
        await client.merge_patch(kinds.CONFIG_MAP, namespace, names.AUTHORITIES, change)
        after = await _taken_up(client, namespace)
    for which in wanted:
        output.line(f"{which}: {_rotation(_listed(before, which), _listed(after, which))}")
    output.line("Runs are not interrupted. `panal certs` shows the progress of the rotation.")
    return Code.OK


async def _taken_up(client: Client, namespace: str) -> Object:
    """The ConfigMap when the controller has removed the annotation, or after PATIENCE."""
    until = time.monotonic() + PATIENCE
    while True:
        found = await _authorities(client, namespace)
        if names.ANNOTATION_ROTATE not in (found["metadata"].get("annotations") or {}) or time.monotonic() > until:
            return found
        await asyncio.sleep(LOOK_AGAIN)


def _rotation(before: Sequence[Mapping[str, str]], after: Sequence[Mapping[str, str]]) -> str:
    known = {one.get("fingerprint") for one in before}
    for one in after:
        name, new = one.get("fingerprint", "")[:SHORT], one.get("fingerprint") not in known
        if one.get("role") == "next" and new:
            return (
                f"{name} is created and is distributed to every gateway. It signs when all gateways trust it (after 10 minutes, unless the "
                "controller is configured otherwise); the previous authority stays trusted until all its certificates expire"
            )
        if one.get("role") == "next":
            return f"{name} is already being distributed to every gateway; another authority is created when it signs"
        if one.get("role") == "current" and new:
            return f"{name} signs now"
    return "requested, but the controller has not started the rotation yet; check that the controller runs"


# --- revoke and restore ------------------------------------------------------------------------------------------
def revoke(access: Access, cluster: str) -> Code:
    return done(_revoke(access, cluster), access)


async def _revoke(access: Access, cluster: str) -> Code:
    async with access.open() as client:
        client.speak(await versions.forms(client))
        if since := _revoked(await _addon(client, cluster)):
            output.line(f"{cluster} has been revoked since {_moment(since)}")
            return Code.OK
        await _annotate(client, cluster, to_time(now_utc()))
    output.line(f"{cluster} is revoked: its certificates are invalid, its connections end within seconds, and it gets no new certificate.")
    output.line(f"`panal certs restore {cluster}` restores it.")
    return Code.OK


def restore(access: Access, cluster: str) -> Code:
    return done(_restore(access, cluster), access)


async def _restore(access: Access, cluster: str) -> Code:
    async with access.open() as client:
        client.speak(await versions.forms(client))
        if not _revoked(await _addon(client, cluster)):
            output.line(f"{cluster} is not revoked")
            return Code.OK
        await _revocation(client, cluster)
        await _annotate(client, cluster, None)
    output.line(f"{cluster} is restored and gets a new certificate. Its revoked certificates stay revoked.")
    return Code.OK


async def _revocation(client: Client, cluster: str) -> None:
    """Waits until the controller has revoked the cluster's certificates: a restore before that would leave them valid."""
    until = time.monotonic() + PATIENCE
    while issued.valid(issued.issued(await _addon(client, cluster)), now_utc()):
        if time.monotonic() > until:
            message = f"{cluster} is still revoked: the controller has not revoked its certificates yet"
            raise Problem(Code.TIMEOUT, message, "Check that the controller runs, and try again.")
        await asyncio.sleep(LOOK_AGAIN)


async def _annotate(client: Client, cluster: str, since: str | None) -> None:
    change = {"metadata": {"annotations": {names.ANNOTATION_REVOKED: since}}}
    await client.merge_patch(kinds.MANAGED_CLUSTER_ADDON, cluster, names.ADDON, change)


async def _addon(client: Client, cluster: str) -> Object:
    try:
        return await client.get(kinds.MANAGED_CLUSTER_ADDON, cluster, names.ADDON)
    except NotFound as error:
        missing = error
    try:
        await client.get(kinds.MANAGED_CLUSTER, "", cluster)
    except NotFound:
        raise Problem(Code.NOT_FOUND, f"the managed cluster {cluster} does not exist", "`panal get clusters` lists them.") from missing
    message = f"{cluster} does not have the add-on {names.ADDON}, so it has no certificate"
    raise Problem(Code.NOT_FOUND, message, f"To list its clusters: kubectl get clustermanagementaddon {names.ADDON} -o yaml") from missing
