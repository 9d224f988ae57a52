"""The add-on's loop while the hub refuses its writes: certificate requests are still answered."""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from panal.addon.authority import Times
from panal.addon.manifests import WORK
from panal.api import names
from panal.hub.addon.controller import AddOnController
from panal.kube import kinds
from panal.kube.errors import Forbidden, KubeError
from panal.kube.kinds import Kind
from panal.kube.objects import Object

CLUSTER = "cluster1"
ADDON = {
    "apiVersion": kinds.MANAGED_CLUSTER_ADDON.api_version,
    "kind": "ManagedClusterAddOn",
    "metadata": {"name": names.ADDON, "namespace": CLUSTER, "uid": "u", "resourceVersion": "1"},
}
CSR = {"metadata": {"name": "csr-1", "creationTimestamp": "2026-03-01T12:00:00Z"}, "spec": {"signerName": names.SIGNER}}


class Hub:
    """Cache and client in one: one cluster with the add-on, one request; every write is refused."""

    def get(self, kind: Kind, *_: str) -> Object | None:
        return ADDON if kind == kinds.MANAGED_CLUSTER_ADDON else None

    def by_index(self, *_: object) -> list[Object]:
        return [CSR]

    async def create(self, obj: Object, *, brief: bool) -> Object:
        raise Forbidden(403, "Forbidden", f"exceeded quota: {obj['metadata']['name']}")


def controller(hub: Hub, answered: list[str], failure: KubeError | None = None) -> AddOnController:
    authorities: Any = SimpleNamespace(trust=lambda: SimpleNamespace(server_bundle="CA"))
    both: Any = hub
    found = AddOnController(both, both, both, authorities, Times(), lambda: datetime(2026, 3, 1, 12, tzinfo=UTC))

    async def answer(csr: Object) -> None:
        answered.append(csr["metadata"]["name"])
        if failure:
            raise failure

    found._signing = SimpleNamespace(answer=answer)  # type: ignore[assignment]
    return found


@pytest.mark.parametrize("failure", [None, Forbidden(403, "Forbidden", "may not sign")])
async def test_requests_are_answered_while_the_work_is_refused(failure: KubeError | None) -> None:
    """The refusal is raised, so that the cluster is retried."""
    answered: list[str] = []
    with pytest.raises(Forbidden, match="may not sign" if failure else f"exceeded quota: {WORK}"):
        await controller(Hub(), answered, failure)._reconcile(CLUSTER)
    assert answered == ["csr-1"]
