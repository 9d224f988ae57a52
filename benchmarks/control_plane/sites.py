"""Played: managed clusters with the add-on, and the agents of Open Cluster Management that report works and request certificates."""

from __future__ import annotations

import base64
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from benchmarks.control_plane.api import ADDONS, CLUSTERS, WORKS, Api, Changed, Object, Watch, each
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from panal.addon import issued
from panal.api import names

CLAIM = "example.com/digits"
PREFIX = "system:open-cluster-management"
MANAGED = f"{CLUSTERS}/v1/managedclusters"
CSRS = "/apis/certificates.k8s.io/v1/certificatesigningrequests"
SECONDS = 90  # that a registration may take
# What a real agent reports of a collaborator that runs.
RUNS_WELL: dict[str, str | int | bool] = {"phase": "Running", "ready": True, "restarts": 0}
TYPES = {str: "String", int: "Integer", bool: "Boolean"}


def now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def condition(type_: str, reason: str, status: str = "True", **more: Any) -> Object:
    return {"type": type_, "status": status, "reason": reason, "message": reason, "lastTransitionTime": now(), **more}


# --- clusters -----------------------------------------------------------------------------------------------------------------
async def join(api: Api, cluster: str) -> None:
    """A ManagedCluster that is accepted and available, and its namespace."""
    await api.create("/api/v1/namespaces", {"metadata": {"name": cluster}})
    spec = {"hubAcceptsClient": True, "leaseDurationSeconds": 60}
    labels = {"cluster.open-cluster-management.io/clusterset": "global", "region": f"region-{len(cluster)}"}
    head = {"apiVersion": "cluster.open-cluster-management.io/v1", "kind": "ManagedCluster"}
    await api.create(MANAGED, head | {"metadata": {"name": cluster, "labels": labels}, "spec": spec})
    status = {
        "conditions": [
            condition("HubAcceptedManagedCluster", "HubClusterAdminAccepted"),
            condition("ManagedClusterJoined", "ManagedClusterJoined"),
            condition("ManagedClusterConditionAvailable", "ManagedClusterAvailable"),
        ],
        "clusterClaims": [{"name": "id.k8s.io", "value": cluster}, {"name": CLAIM, "value": "pvc://digits"}],
        "allocatable": {"cpu": "16", "memory": "64Gi"},
        "capacity": {"cpu": "16", "memory": "64Gi"},
        "version": {"kubernetes": "v1.34.4"},
    }
    await api.patch(f"{MANAGED}/{cluster}/status", {"status": status})


async def take_part(api: Api, cluster: str) -> None:
    """The add-on on a cluster that has got its certificate earlier."""
    begins = datetime.now(UTC).replace(microsecond=0)
    ends = begins + timedelta(days=1)
    text = issued.text([issued.Issued(x509.random_serial_number(), begins, ends, str(uuid.uuid4()))], begins)
    await api.create(_addons(cluster), _addon({names.ANNOTATION_CERTIFICATES: text}))
    await _rotated(api, cluster)


def _addons(cluster: str) -> str:
    return f"{ADDONS}/namespaces/{cluster}/managedclusteraddons"


def _addon(annotations: dict[str, str]) -> Object:
    head = {"apiVersion": "addon.open-cluster-management.io/v1alpha1", "kind": "ManagedClusterAddOn"}
    return head | {"metadata": {"name": names.ADDON, "annotations": annotations}, "spec": {}}


async def _rotated(api: Api, cluster: str) -> None:
    """Adds the agent's condition to those of the controller, which may write at the same time."""
    path = f"{_addons(cluster)}/{names.ADDON}"
    while True:
        found = await api.get(path)
        others = (found.get("status") or {}).get("conditions") or []
        status = {"conditions": [*others, condition("ClusterCertificateRotated", "ClientCertificateUpdated")]}
        metadata = {"resourceVersion": found["metadata"]["resourceVersion"]}
        try:
            await api.patch(f"{path}/status", {"metadata": metadata, "status": status})
            return
        except Changed:
            continue


async def leave(api: Api, cluster: str) -> None:
    await api.delete(f"{_addons(cluster)}/{names.ADDON}")
    await api.delete(f"{MANAGED}/{cluster}")
    await api.delete(f"/api/v1/namespaces/{cluster}")


# --- registration -------------------------------------------------------------------------------------------------------------
async def register(api: Api, clusters: Sequence[str]) -> None:
    """The add-on comes to clusters that have joined; their agents request certificates and report the add-on's work."""
    selector = f"{WORKS}/manifestworks?labelSelector={names.ADDON_LABEL}={names.ADDON}"
    async with Watch.on(api, CSRS) as requests, Watch.on(api, f"{ADDONS}/managedclusteraddons") as addons, Watch.on(api, selector) as works:

        def of(watch: Watch, cluster: str) -> Object:
            return next((o for key, o in watch.objects.items() if key.startswith(f"{cluster}/")), {})

        async def one(cluster: str) -> None:
            await api.create(_addons(cluster), _addon({}))
            asked = f"{cluster}: the controller names the signer, and applies the work"
            await addons.until(lambda _: bool((of(addons, cluster).get("status") or {}).get("registrations")), asked, SECONDS)
            await works.until(lambda _: bool(of(works, cluster)), asked, SECONDS)
            name = await _request(api, cluster)
            signed = lambda found: bool((found[f"/{name}"].get("status") or {}).get("certificate"))  # noqa: E731
            await requests.until(lambda found: f"/{name}" in found and signed(found), f"{cluster}: a certificate", SECONDS)
            await _rotated(api, cluster)
            await report(api, of(works, cluster))
            available = lambda: any(  # noqa: E731
                (c["type"], c["status"]) == ("Available", "True") for c in of(addons, cluster)["status"]["conditions"]
            )
            await addons.until(lambda _: available(), f"{cluster}: the add-on is available", SECONDS)

        await each(clusters, one)


async def _request(api: Api, cluster: str) -> str:
    """The agent's request for a certificate; returns its name."""
    subject = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, names.ADDON), x509.NameAttribute(NameOID.COMMON_NAME, cluster)]
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name(subject))
    pem = builder.sign(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    usages = ["digital signature", "key encipherment", "client auth"]
    name, labels = f"addon-{cluster}", {names.CLUSTER_LABEL: cluster, names.ADDON_LABEL: names.ADDON}
    spec = {"request": base64.b64encode(pem).decode(), "signerName": names.SIGNER, "usages": usages}
    head = {"apiVersion": "certificates.k8s.io/v1", "kind": "CertificateSigningRequest", "metadata": {"name": name, "labels": labels}}
    await api.as_user(f"{PREFIX}:{cluster}:agent", f"{PREFIX}:{cluster}", f"{PREFIX}:managed-clusters").create(CSRS, head | {"spec": spec})
    return name


# --- reports of works ---------------------------------------------------------------------------------------------------------
async def report_all(api: Api, selector: str) -> None:
    """The agents have applied all works of the label selector, and their collaborators run."""
    works, _ = await api.items(f"{WORKS}/manifestworks?labelSelector={selector}")
    await each(works, lambda work: report(api, work))


async def report(api: Api, work: Object, **values: str | int | bool) -> None:
    """One agent's report; `values` are those of a collaborator's Pod that differ from a running one's."""
    generation = work["metadata"]["generation"]
    manifests = [_manifest(number, m, values) for number, m in enumerate(work["spec"]["workload"]["manifests"])]
    conditions = [
        condition("Applied", "AppliedManifestWorkComplete", observedGeneration=generation),
        condition("Available", "ResourcesAvailable", observedGeneration=generation),
    ]
    status = {"conditions": conditions, "resourceStatus": {"manifests": manifests}}
    path = f"{WORKS}/namespaces/{work['metadata']['namespace']}/manifestworks/{work['metadata']['name']}/status"
    await api.patch(path, {"status": status})


def _manifest(ordinal: int, manifest: Object, values: dict[str, str | int | bool]) -> Object:
    kind, metadata = manifest["kind"], manifest["metadata"]
    group, _, version = manifest["apiVersion"].rpartition("/")
    plural = f"{kind.lower()[:-1]}ies" if kind.endswith("y") else f"{kind.lower()}s"
    place = {"name": metadata["name"], "namespace": metadata.get("namespace", "")}
    meta = {"ordinal": ordinal, "group": group, "version": version, "kind": kind, "resource": plural, **place}
    has_feedback = kind == "Pod"
    synced = condition("StatusFeedbackSynced", "StatusFeedbackSynced" if has_feedback else "NoStatusFeedbackSynced")
    conditions = [condition("Applied", "AppliedManifestComplete"), condition("Available", "ResourceAvailable"), synced]
    return {"resourceMeta": meta, "conditions": conditions, "statusFeedback": _feedback(RUNS_WELL | values) if has_feedback else {}}


def _feedback(values: dict[str, str | int | bool]) -> Object:
    typed = [{"name": n, "fieldValue": {"type": TYPES[type(v)], TYPES[type(v)].lower(): v}} for n, v in values.items()]
    return {"values": typed}
