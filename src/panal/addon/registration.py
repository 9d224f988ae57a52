"""The status of a ManagedClusterAddOn as it should be: what OCM's agent is to ask for, and how the add-on is there.

`healthCheck.mode` is Customized: between runs nothing of ours runs at a site, so nothing could renew the Lease that OCM would otherwise
look for. The add-on is available when its manifests are there and a certificate that can be used has been issued. What OCM's add-on
manager says (Configured, Progressing, the configurations) is its own and is not touched.
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
ROTATED = "ClusterCertificateRotated"  # said by OCM's agent
CLUSTER_AVAILABLE = "ManagedClusterConditionAvailable"
MESSAGE_LENGTH = 1000
STATUS = {True: "True", False: "False", None: "Unknown"}


@dataclass(frozen=True, slots=True)
class Said:
    """A condition without its time; `status` None is Unknown."""

    type: str
    status: bool | None
    reason: str
    message: str


def status(addon: Object, work: Object | None, cluster: Object | None, now: datetime) -> Object:
    """What we say of it: to be applied as a whole. `work` is the add-on's on the hub, `cluster` the ManagedCluster."""
    shut_out = issued.revoked(addon)
    subject = {"user": addon["metadata"]["namespace"], "groups": [names.ADDON]}
    conditions = (_registered(addon), _manifests(work), _available(addon, work, cluster, now))
    return {
        "namespace": names.COLLABORATOR_NAMESPACE,
        "registrations": [] if shut_out else [{"signerName": names.SIGNER, "subject": subject}],
        "supportedConfigs": [{"group": GROUP, "resource": RESOURCE}],
        "healthCheck": {"mode": "Customized"},
        "conditions": [_timed(c, _conditions(addon), now) for c in conditions],
    }


def differs(addon: Object, wanted: Mapping[str, Any]) -> bool:
    """Whether the ManagedClusterAddOn does not say yet what we want it to."""
    found, said = addon.get("status") or {}, _conditions(addon)
    rest = any((found.get(key) or None) != (value or None) for key, value in wanted.items() if key != "conditions")
    return rest or any(said.get(c["type"]) != c for c in wanted["conditions"])


def _registered(addon: Object) -> Said:
    if issued.revoked(addon):
        cluster = addon["metadata"]["namespace"]
        return Said("RegistrationApplied", False, "Revoked", f"Shut out: `panal certs restore {cluster}` lets it take part again")
    return Said("RegistrationApplied", True, "SetPermissionApplied", "The cluster's agent may ask for its certificate")


def _manifests(work: Object | None) -> Said:
    state, message = _applied(work)
    reason = "AddonManifestApplied" if state else "AddonManifestAppliedFailed" if state is False else "ManifestWorkPending"
    return Said("ManifestApplied", bool(state), reason, message)


def _available(addon: Object, work: Object | None, cluster: Object | None, now: datetime) -> Said:
    """The first that is amiss, what explains the rest first. Of a cluster that does not answer it says what OCM's hub says."""
    lives = _current(cluster, CLUSTER_AVAILABLE)
    if lives.get("status") not in ("True", "False"):
        reason, message = lives.get("reason") or "ManagedClusterUnknown", lives.get("message") or "The cluster has not said that it lives"
        return Said("Available", None, reason, message)
    if lives["status"] == "False":
        return Said("Available", False, lives["reason"], lives.get("message") or "The cluster is not available")
    if issued.revoked(addon):
        return Said("Available", False, "Revoked", _registered(addon).message)
    applied, why = _applied(work)
    if not applied:
        return Said("Available", False if applied is False else None, "WorkNotApplied", why)
    there = _current(work, "Available", of_generation=True)
    if there.get("status") != "True":
        return Said("Available", False, "WorkNotAvailable", there.get("message") or "The add-on's objects are not there yet")
    return _certified(addon, now)


def _certified(addon: Object, now: datetime) -> Said:
    rotated, usable = _conditions(addon).get(ROTATED, {}), issued.valid(issued.issued(addon), now)
    if rotated.get("status") == "False":
        return Said("Available", False, "CertificateNotObtained", rotated.get("message") or "The cluster's agent has got no certificate")
    if not usable:
        secret = f"Secret {names.IDENTITY_SECRET} in its namespace {names.COLLABORATOR_NAMESPACE}"
        message = f"No certificate that is valid has been issued. If the cluster's agent does not ask for one, delete the {secret}"
        return Said("Available", False, "CertificateMissing", message)
    if not rotated:
        return Said("Available", None, "CertificatePending", "The cluster's agent has not said that it has its certificate")
    return Said("Available", True, "CollaboratorReady", "The cluster can take part: its certificate is valid and its objects are there")


def expiry(addon: Object, now: datetime) -> datetime | None:
    """When the last certificate ends, and the status with it; None without one."""
    return max((c.ends for c in issued.valid(issued.issued(addon), now)), default=None)


def _applied(work: Object | None) -> tuple[bool | None, str]:
    found = _current(work, "Applied", of_generation=True)
    if not found:
        return None, "The add-on's work has not been looked at by the cluster's agent yet"
    if found["status"] != "True":
        return False, found.get("message") or "The add-on's work cannot be applied"
    return True, "The add-on's work is applied"


def _current(obj: Object | None, type_: str, of_generation: bool = False) -> Mapping[str, Any]:
    """Empty if there is none, or none of the newest generation."""
    found = _conditions(obj or {}).get(type_, {})
    old = of_generation and obj is not None and found.get("observedGeneration") != obj["metadata"].get("generation")
    return {} if old else found


def _conditions(obj: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    found: Iterable[Mapping[str, Any]] = (obj.get("status") or {}).get("conditions") or ()
    return {c["type"]: c for c in found}


def _timed(said: Said, before: Mapping[str, Mapping[str, Any]], now: datetime) -> Object:
    old = before.get(said.type, {})
    same = old.get("status") == STATUS[said.status]
    moment = old["lastTransitionTime"] if same else now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {
        "type": said.type,
        "status": STATUS[said.status],
        "reason": said.reason,
        "message": shown(said.message, MESSAGE_LENGTH),  # some repeat what agents say
        "lastTransitionTime": moment,
    }
