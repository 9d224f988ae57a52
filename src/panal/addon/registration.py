"""The desired status of a ManagedClusterAddOn: which certificate OCM's agent requests, and whether the add-on is available.

`healthCheck.mode` is Customized: OCM would otherwise check a Lease, and between runs nothing of panal runs at a site that could renew it.
The add-on is available when its manifests are applied and the cluster has a valid certificate. The fields of OCM's add-on manager
(Configured, Progressing, the configurations) are not changed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from panal.addon import issued
from panal.addon.config import GROUP, RESOURCE
from panal.api import names
from panal.api.text import shown

Object = dict[str, Any]
ROTATED = "ClusterCertificateRotated"  # written by OCM's agent
CLUSTER_AVAILABLE = "ManagedClusterConditionAvailable"
MESSAGE_LENGTH = 1000
MAX_REQUESTS = 10  # OCM's agent sends no request while so many CertificateSigningRequests, answered or not, have the labels of its add-on
STATUS = {True: "True", False: "False", None: "Unknown"}


@dataclass(frozen=True, slots=True)
class Condition:
    """A condition without its transition time. `status` None is Unknown."""

    type: str
    status: bool | None
    reason: str
    message: str


def status(addon: Object, work: Object | None, cluster: Object | None, now: datetime, requests: int = 0) -> Object:
    """The status, to be applied as a whole. `work`: the add-on's ManifestWork. `cluster`: the ManagedCluster. `requests`: the number of
    CertificateSigningRequests with the labels of the cluster and the add-on."""
    subject = {"user": addon["metadata"]["namespace"], "groups": [names.ADDON]}
    conditions = (_registered(addon), _manifests(work), _available(addon, work, cluster, now, requests))
    return {
        "namespace": names.COLLABORATOR_NAMESPACE,
        "registrations": [] if issued.revoked(addon) else [{"signerName": names.SIGNER, "subject": subject}],
        "supportedConfigs": [{"group": GROUP, "resource": RESOURCE}],
        "healthCheck": {"mode": "Customized"},
        "conditions": [_timed(c, _conditions(addon), now) for c in conditions],
    }


def differs(addon: Object, wanted: Mapping[str, Any]) -> bool:
    """Whether the status of the ManagedClusterAddOn differs from `wanted`."""
    found, conditions = addon.get("status") or {}, _conditions(addon)
    rest = any((found.get(key) or None) != (value or None) for key, value in wanted.items() if key != "conditions")
    return rest or any(conditions.get(c["type"]) != c for c in wanted["conditions"])


def _registered(addon: Object) -> Condition:
    if issued.revoked(addon):
        cluster = addon["metadata"]["namespace"]
        return Condition("RegistrationApplied", False, "Revoked", f"The cluster is revoked. To restore it: `panal certs restore {cluster}`")
    return Condition("RegistrationApplied", True, "SetPermissionApplied", "The cluster's agent may request its certificate")


def _manifests(work: Object | None) -> Condition:
    state, message = _applied(work)
    reason = "AddonManifestApplied" if state else "AddonManifestAppliedFailed" if state is False else "ManifestWorkPending"
    return Condition("ManifestApplied", bool(state), reason, message)


def _available(addon: Object, work: Object | None, cluster: Object | None, now: datetime, requests: int) -> Condition:
    """The first problem, causes before their effects. For a cluster that is not available: the reason and message of OCM."""
    alive = _current(cluster, CLUSTER_AVAILABLE)
    if alive.get("status") not in ("True", "False"):
        reason = alive.get("reason") or "ManagedClusterUnknown"
        return Condition("Available", None, reason, alive.get("message") or "The cluster has not reported its availability")
    if alive["status"] == "False":
        return Condition("Available", False, alive["reason"], alive.get("message") or "The cluster is not available")
    if issued.revoked(addon):
        return Condition("Available", False, "Revoked", _registered(addon).message)
    applied, why = _applied(work)
    if not applied:
        return Condition("Available", False if applied is False else None, "WorkNotApplied", why)
    present = _current(work, "Available", of_generation=True)
    if present.get("status") != "True":
        return Condition(
            "Available", False, "WorkNotAvailable", present.get("message") or "The add-on's objects do not exist on the cluster yet"
        )
    return _certified(addon, now, requests)


def _certified(addon: Object, now: datetime, requests: int) -> Condition:
    rotated, usable = _conditions(addon).get(ROTATED, {}), issued.valid(issued.issued(addon), now)
    failed = rotated.get("status") == "False"
    if requests >= MAX_REQUESTS and (failed or not usable):
        labels = f"{names.CLUSTER_LABEL}={addon['metadata']['namespace']},{names.ADDON_LABEL}={names.ADDON}"
        message = (
            f"The cluster's agent requests no certificate while {MAX_REQUESTS} or more requests have its labels. Kubernetes deletes a "
            f"request an hour after its answer; to delete them now: kubectl delete csr -l {labels}"
        )
        return Condition("Available", False, "TooManyCertificateRequests", message)
    if failed:
        return Condition(
            "Available", False, "CertificateNotObtained", rotated.get("message") or "The cluster's agent has not received a certificate"
        )
    if not usable:
        secret = f"Secret {names.IDENTITY_SECRET} in the namespace {names.COLLABORATOR_NAMESPACE} of the cluster"
        message = f"The cluster has no valid certificate. If its agent does not request one, delete the {secret}"
        return Condition("Available", False, "CertificateMissing", message)
    if not rotated:
        return Condition("Available", None, "CertificatePending", "The cluster's agent has not reported that it has its certificate")
    return Condition(
        "Available", True, "CollaboratorReady", "The cluster can take part: it has a valid certificate and the add-on's objects"
    )


def expiry(addon: Object, now: datetime) -> datetime | None:
    """When the last valid certificate expires, which changes the status; None without one."""
    return max((c.ends for c in issued.valid(issued.issued(addon), now)), default=None)


def _applied(work: Object | None) -> tuple[bool | None, str]:
    found = _current(work, "Applied", of_generation=True)
    if not found:
        return None, "The cluster's agent has not applied the add-on's work yet"
    if found["status"] != "True":
        return False, found.get("message") or "The add-on's work cannot be applied"
    return True, "The add-on's work is applied"


def _current(obj: Object | None, type_: str, of_generation: bool = False) -> Mapping[str, Any]:
    """The condition; empty if there is none or, with `of_generation`, if it is for an earlier generation of the object."""
    found = _conditions(obj or {}).get(type_, {})
    old = of_generation and obj is not None and found.get("observedGeneration") != obj["metadata"].get("generation")
    return {} if old else found


def _conditions(obj: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    found: Iterable[Mapping[str, Any]] = (obj.get("status") or {}).get("conditions") or ()
    return {c["type"]: c for c in found}


def _timed(wanted: Condition, before: Mapping[str, Mapping[str, Any]], now: datetime) -> Object:
    old = before.get(wanted.type, {})
    same = old.get("status") == STATUS[wanted.status]
    moment = old["lastTransitionTime"] if same else now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {
        "type": wanted.type,
        "status": STATUS[wanted.status],
        "reason": wanted.reason,
        "message": shown(wanted.message, MESSAGE_LENGTH),  # may contain text from agents
        "lastTransitionTime": moment,
    }
