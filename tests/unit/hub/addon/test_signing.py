"""Which denied requests lose the labels by which OCM's agents find and count them."""

from __future__ import annotations

from copy import deepcopy
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from panal.api import names
from panal.hub.addon.signing import KEPT, Signing
from panal.hub.watched import requester
from panal.kube.kinds import Kind
from panal.kube.objects import Object, labels_of
from requests_of_certificates import GRPC_SERVER, PREFIX, relayed, request


class Hub:
    """Cache, client and recorder in one, with these requests."""

    def __init__(self, *requests: Object) -> None:
        self.requests = {csr["metadata"]["name"]: deepcopy(csr) for csr in requests}

    def by_index(self, kind: Kind, index: str, key: str) -> list[Object]:
        return [csr for csr in self.requests.values() if requester(csr, "") == key]

    def get(self, *_: str) -> None:
        return None

    def synced(self, *_: Kind) -> bool:
        return True

    async def record(self, *_: object) -> None:
        return None

    async def merge_patch(self, kind: Kind, namespace: str, name: str, patch: Any, subresource: str = "") -> Object:
        csr = self.requests[name]
        if "labels" in patch["metadata"]:
            csr["metadata"]["labels"] = {}
        csr["status"] |= patch.get("status", {})
        return csr


async def labelled(*requests: Object, grpc_server: str = "") -> int:
    """How many requests have their labels after they were denied."""
    hub: Any = Hub(*(csr | {"metadata": csr["metadata"] | {"name": f"csr-{n}"}} for n, csr in enumerate(requests)))
    signing = Signing(hub, hub, hub, None, timedelta(days=1), lambda: datetime(2026, 3, 1, tzinfo=UTC), grpc_server)  # type: ignore[arg-type]
    for csr in list(hub.requests.values()):
        await signing.answer(csr)
        assert csr["status"]["conditions"][0]["type"] == "Denied"
    return sum(names.CLUSTER_LABEL in labels_of(csr) for csr in hub.requests.values())


LABELS = {names.CLUSTER_LABEL: "c1", names.ADDON_LABEL: names.ADDON}


@pytest.mark.parametrize(
    ("csr", "server", "kept"),
    [
        (relayed(request("c1")), "", KEPT),  # the server is not configured, or is another
        (relayed(request("c1")), "system:serviceaccount:other:grpc-server-sa", KEPT),
        (relayed(request("c1")), GRPC_SERVER, 10),  # the cluster's own: it is not accepted
        (relayed(request("c2", labels=LABELS)), "", 0),
        (relayed(request("c2", labels=LABELS)), GRPC_SERVER, 0),
        (relayed(request("c1", username="grpc-bootstrap")), GRPC_SERVER, 0),
        (request("c1", username="system:serviceaccount:open-cluster-management:bootstrap"), "", 0),
        (request("c2", labels=LABELS), "", 0),
        (relayed(request("c1"), f"{PREFIX}:c2:agent"), "", 0),
    ],
)
async def test_at_most_a_few_requests_that_others_have_created_keep_the_labels_of_a_cluster(csr: Object, server: str, kept: int) -> None:
    assert await labelled(*[csr] * 10, grpc_server=server) == kept
