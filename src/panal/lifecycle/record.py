"""The record of a run that has ended: what the hub knows of it, for the hub to seal.

It is made once, after the status says that the run has ended, and only from what is stored on the hub, so that a controller that was killed
meanwhile makes it as well. Every part is an object by name, not a list, so that a change in it has a JSON pointer of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from cryptography.hazmat.primitives import hashes

from panal.api import names
from panal.api.names import ClusterName
from panal.api.types import CollaboratorStatus, Status
from panal.evidence.file import certificates
from panal.evidence.receipt import RECORD
from panal.evidence.sealed import fingerprint, read_key
from panal.lifecycle import policies
from panal.lifecycle.reasons import Reason
from panal.lifecycle.world import Evidence, Run, SiteView, World
from panal.placement.data import data_claim
from panal.runtimes import framework_of

VERSION = 1
REFUSED = (
    Reason.SITE_REFUSED,
    Reason.POLICY_NOT_COMPLIANT,
    Reason.POLICY_UNKNOWN,
    Reason.CERTIFICATE_REVOKED,
    Reason.CERTIFICATE_DENIED,
)


def record(world: World, evidence: Evidence, now: datetime) -> dict[str, Any]:
    """The content of the record, as JSON. `world` is that of a run that has ended."""
    run, progress = world.run, evidence.progress
    updates = progress.updates.by_cluster() if progress and progress.updates else None
    clusters = sorted(_participants(run.status, evidence, updates or {}))
    participants = {cluster: _participant(world, evidence, cluster, updates) for cluster in clusters}
    return {
        "kind": RECORD,
        "version": VERSION,
        "recorded": written(now),
        "hub": {"key": fingerprint(read_key(evidence.key))},
        "run": _identity(run),
        "spec": run.spec.model_dump(mode="json", by_alias=True, exclude_none=True, warnings=False),
        "outcome": _outcome(run),
        "app": {
            "sha256": progress.app_hash if progress else "",
            "framework": framework_of(run.spec),
            "frameworkVersion": progress.runtime_version if progress else "",
        },
        "images": _images(world),
        "participants": participants,
        "refusals": {
            cluster: {name: each[name] for name in ("reason", "message")}
            for cluster, each in participants.items()
            if each.get("reason") in REFUSED
        },
        "policies": _policies(world, participants),
        "history": progress.history.model_dump() if progress and progress.history else {},
        "privacy": run.status.privacy.model_dump(mode="json", by_alias=True, exclude_none=True) if run.status.privacy else {},
        "metrics": {**run.status.metrics, **run.status.non_finite_metrics},
        "results": _results(run.status),
        "certificates": _certificates(world),
        "software": dict(evidence.software),
    }


def asked(content: Mapping[str, Any]) -> list[str]:
    """The clusters with a policy of their own among the participants of a record: their sites are to countersign it."""
    return [cluster for cluster, each in content["participants"].items() if each.get("sitePolicy")]


def written(moment: datetime) -> str:
    """RFC 3339 in UTC."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _time(moment: datetime | None) -> str:
    return written(moment) if moment else ""


def _identity(run: Run) -> dict[str, Any]:
    return {
        "namespace": run.namespace,
        "name": run.name,
        "uid": run.uid,
        "generation": run.generation,
        "created": written(run.created),
        "purpose": run.spec.purpose,
        "requester": run.spec.requester,
    }


def _outcome(run: Run) -> dict[str, Any]:
    status = run.status
    ended = next((c for c in status.conditions if c.type in ("Complete", "Failed") and c.status == "True"), None)
    return {
        "phase": status.phase.value,
        "reason": ended.reason if ended else "",
        "message": status.message,
        "started": _time(status.start_time),
        "ended": _time(status.completion_time),
        "rounds": {"completed": status.rounds.completed, "total": status.rounds.total},
        "restarts": status.restarts.model_dump(mode="json", by_alias=True, exclude_none=True) if status.restarts else {},
    }


def _images(world: World) -> dict[str, Any]:
    """As the spec names them; and of the aggregator's containers, as the node had them."""
    server, client = world.run.spec.server.image, world.run.spec.client.image
    pods = sorted(world.job.pods, key=lambda pod: pod.created) if world.job else ()
    found = {each.name: each.image_id for each in pods[-1].containers if each.image_id} if pods else {}
    return {
        "server": server,
        "client": client,
        "podTools": world.images.pod_tools,
        "gateway": world.images.gateway,
        "aggregator": found,
    }


def _participants(status: Status, evidence: Evidence, updates: Mapping[str, int]) -> set[str]:
    """Every cluster of which the hub knows that it was in the run."""
    return {
        *evidence.admitted,
        *(cluster for cluster in evidence.traffic if cluster),
        *(each.cluster for each in status.collaborators),
        *updates,
    }


def _participant(world: World, evidence: Evidence, name: str, updates: Mapping[str, int] | None) -> dict[str, Any]:
    """`updates`: of a private run, by cluster."""
    cluster, run = ClusterName(name), world.run
    view, claim = world.clusters.get(cluster), data_claim(run.spec.client.placement, run.spec.client.data_claim)
    claims = view.claims if view else {}
    traffic = evidence.traffic.get(name)
    known = next((each for each in run.status.collaborators if each.cluster == name), None)
    return {
        **_ending(known),
        "data": claims.get(claim, "") if claim != names.NO_DATA else names.NO_DATA,
        "sitePolicy": claims.get(names.SITE_CLAIM, ""),
        "certificates": _issued(world.sites.get(cluster)),
        **({"updates": updates.get(name, 0)} if updates is not None else {}),
        **({"bytesReceived": traffic.bytes_received, "bytesSent": traffic.bytes_sent} if traffic else {}),
    }


def _ending(known: CollaboratorStatus | None) -> dict[str, Any]:
    """How it ended. The status lists at most 50 clusters, those in trouble first; of another one nothing is known."""
    if known is None:
        return {}
    found: dict[str, Any] = {"state": known.state, "reason": known.reason, "message": known.message, "round": known.round}
    return found | ({"epsilon": known.epsilon} if known.epsilon is not None else {})


def _issued(site: SiteView | None) -> dict[str, Any]:
    """The certificates that were issued to the cluster and had not expired, by their serial numbers."""
    return {
        f"{each.serial:x}": {"notBefore": written(each.begins), "notAfter": written(each.ends), "revoked": _time(each.revoked)}
        for each in (site.issued if site else ())
    }


def _policies(world: World, participants: Iterable[str]) -> dict[str, Any]:
    """The compliance of the participants with the policies that the run requires."""
    required = policies.required(world.run.spec.client, world.run.namespace)
    states = {name: world.compliance.get(name, {}) for name in required}
    return {name: {cluster: each.get(ClusterName(cluster), "") for cluster in participants} for name, each in states.items()}


def _results(status: Status) -> dict[str, Any]:
    found = {"model": status.model, "initialModel": status.initial_model, "files": status.files}
    results = {name: each.model_dump(mode="json", by_alias=True, exclude_none=True) for name, each in found.items() if each}
    if status.evaluation:
        results["evaluation"] = {"uri": status.evaluation.uri, "digest": status.evaluation.digest}
    return results


# --- certificates -------------------------------------------------------------------------------------------------------
def _certificates(world: World) -> dict[str, Any]:
    """That of the aggregator's gateway, and those of the authority whose collaborators it admitted, by their SHA-256."""
    found = world.credentials
    return {"aggregator": described(found.certificate), "collaborators": described(found.trust)}


def described(pem: str) -> dict[str, Any]:
    """The certificates of a PEM text, by the SHA-256 of each."""
    return {
        each.fingerprint(hashes.SHA256()).hex(): {
            "serial": f"{each.serial_number:x}",
            "subject": each.subject.rfc4514_string(),
            "notBefore": written(each.not_valid_before_utc),
            "notAfter": written(each.not_valid_after_utc),
        }
        for each in certificates(pem)
    }
