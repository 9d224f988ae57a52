"""Answers certificate requests on the hub: approves, records and signs them, or denies them with an Event and a log line.

A certificate is recorded in an annotation of the cluster's ManagedClusterAddOn before it is written to the request, so that it can always
be revoked. A retried request gets the serial number that was recorded for it. The record is written only if the API server still has the
ManagedClusterAddOn that the decision was made from, so that a cluster that was revoked meanwhile gets no certificate.
"""

from __future__ import annotations

import base64
import logging
from collections.abc import Callable
from datetime import datetime, timedelta

from panal.addon import issued
from panal.addon.leaf import sign_collaborator
from panal.addon.requests import Approve, ClusterState, Deny, claimed_requester, judge
from panal.api import names
from panal.hub import metrics
from panal.hub.addon.authorities import Authorities
from panal.hub.watched import BY_REQUESTER, USER, requester
from panal.kube import kinds
from panal.kube.cache import Cache
from panal.kube.client import Client
from panal.kube.events import EventRecorder
from panal.kube.objects import Object, conditions_of, holds, labels_of, uid_of, version_of
from panal.kube.times import to_time

log = logging.getLogger(__name__)

KEPT = 3  # requests with the label of one cluster, out of the ten that would keep its agent from sending another


class Signing:
    """Answers certificate requests. `life`: the lifetime of certificates. `grpc_server`: see `panal.addon.requests`."""

    def __init__(
        self,
        client: Client,
        cache: Cache,
        recorder: EventRecorder,
        authorities: Authorities,
        life: timedelta,
        now: Callable[[], datetime],
        grpc_server: str = "",
    ) -> None:
        self._client = client
        self._cache = cache
        self._recorder = recorder
        self._authorities = authorities
        self._life = life
        self._now = now
        self._grpc_server = grpc_server

    async def answer(self, csr: Object) -> None:
        """Approves and signs, or denies, a pending request. Raises KubeError."""
        match judge(csr, lambda cluster: self._known(csr, cluster), self._grpc_server):
            case Approve(cluster, request):
                await self._sign(csr, cluster, request)
            case Deny() as denied:
                await self._deny(csr, denied)

    def _known(self, csr: Object, cluster: str) -> ClusterState | None:
        """None while the cache is not synced."""
        if not self._cache.synced(kinds.MANAGED_CLUSTER_ADDON, kinds.MANAGED_CLUSTER):
            return None
        return self._about(csr, cluster, self._cache.get(kinds.MANAGED_CLUSTER_ADDON, cluster, names.ADDON))

    def _about(self, csr: Object, cluster: str, addon: Object | None) -> ClusterState:
        """The state of the cluster. Does not count a certificate that was recorded for this request."""
        accepted = self._cache.get(kinds.MANAGED_CLUSTER, "", cluster)
        valid = issued.valid(issued.issued(addon), self._now()) if addon else ()
        return ClusterState(
            accepted=accepted is not None and holds(accepted, "HubAcceptedManagedCluster"),
            installed=addon is not None and not addon["metadata"].get("deletionTimestamp"),
            revoked=addon is not None and issued.revoked(addon),
            certificates=sum(c.request != uid_of(csr) for c in valid),
        )

    async def _sign(self, csr: Object, cluster: str, request: str) -> None:
        """Raises Conflict or NotFound if the add-on in the cache is out of date; the next attempt has a newer one."""
        addon = self._cache.get(kinds.MANAGED_CLUSTER_ADDON, cluster, names.ADDON)
        verdict = judge(csr, lambda _: self._about(csr, cluster, addon), self._grpc_server)
        if isinstance(verdict, Deny):
            await self._deny(csr, verdict)
            return
        assert addon, "no request is approved without an add-on"
        recorded, now = issued.issued(addon), self._now()
        serial = next((c.serial for c in recorded if c.request == uid_of(csr)), None)
        pem = sign_collaborator(self._authorities.collaborators, request, cluster, now, self._life, serial)
        one = issued.certificate(pem, uid_of(csr))
        await self._record(addon, [*(c for c in recorded if c.serial != one.serial), one], now)
        if not any(c["type"] == "Approved" for c in conditions_of(csr)):
            csr = await self._add_condition(
                csr, "Approved", "ApprovedByPanal", f"The agent of cluster {cluster} requests its own certificate"
            )
        await self._patch(csr, {"certificate": base64.b64encode(pem.encode()).decode()}, "status")
        metrics.CERTIFICATE_REQUESTS.labels("signed").inc()
        log.info("signed a certificate for cluster %s, serial %x, valid until %s", cluster, one.serial, to_time(one.ends))

    async def _record(self, addon: Object, certificates: list[issued.Issued], now: datetime) -> None:
        annotations = {names.ANNOTATION_CERTIFICATES: issued.text(certificates, now)}
        patch = {"metadata": {"uid": uid_of(addon), "resourceVersion": version_of(addon), "annotations": annotations}}
        await self._client.merge_patch(kinds.MANAGED_CLUSTER_ADDON, addon["metadata"]["namespace"], names.ADDON, patch)

    async def _deny(self, csr: Object, denied: Deny) -> None:
        """Denies a request. One that another client has approved cannot be denied; it gets the condition Failed instead."""
        approved = any(c["type"] == "Approved" for c in conditions_of(csr))
        await self._add_condition(csr, "Failed" if approved else "Denied", str(denied.reason), denied.message)
        metrics.CERTIFICATE_REQUESTS.labels(str(denied.reason)).inc()
        log.warning("certificate request %s denied: %s: %s", csr["metadata"]["name"], denied.reason, denied.message)
        await self._unlabel(csr, denied.cluster)
        addon = self._cache.get(kinds.MANAGED_CLUSTER_ADDON, denied.cluster, names.ADDON) if denied.cluster else None
        await self._recorder.record(addon or csr, "Warning", "CertificateDenied", f"{denied.reason}: {denied.message}")

    async def _unlabel(self, csr: Object, cluster: str) -> None:
        """Removes the label of another cluster: OCM's agents send no request while ten have their label, whoever created them."""
        claimed = labels_of(csr).get(names.CLUSTER_LABEL, "")
        if claimed and claimed != cluster and not self._may_be_its_own(csr, claimed):
            patch = {"metadata": {"uid": uid_of(csr), "labels": {names.CLUSTER_LABEL: None, names.ADDON_LABEL: None}}}
            await self._client.merge_patch(kinds.CERTIFICATE_SIGNING_REQUEST, "", csr["metadata"]["name"], patch)

    def _may_be_its_own(self, csr: Object, claimed: str) -> bool:
        """Whether the requester may be a gRPC server that is not configured.

        Its agents take a request that has lost its labels for deleted, and send the next one at once. So a few requests of a user keep
        their labels: too few to keep an agent from sending one."""
        key = requester(csr, self._grpc_server)
        if not key.startswith(USER) or claimed_requester(csr) != claimed:
            return False
        found = self._cache.by_index(kinds.CERTIFICATE_SIGNING_REQUEST, BY_REQUESTER, key)
        return sum(labels_of(each).get(names.CLUSTER_LABEL) == claimed for each in found) <= KEPT

    async def _add_condition(self, csr: Object, type_: str, reason: str, message: str) -> Object:
        moment = to_time(self._now())
        condition = {"type": type_, "status": "True", "reason": reason, "message": message, "lastUpdateTime": moment}
        return await self._patch(csr, {"conditions": [*conditions_of(csr), condition]}, "status" if type_ == "Failed" else "approval")

    async def _patch(self, csr: Object, status: Object, subresource: str) -> Object:
        """Raises Conflict if the request has changed since it was read."""
        patch = {"metadata": {"uid": uid_of(csr), "resourceVersion": version_of(csr)}, "status": status}
        name = csr["metadata"]["name"]
        return await self._client.merge_patch(kinds.CERTIFICATE_SIGNING_REQUEST, "", name, patch, subresource)
