"""Clusters that joined through OCM's gRPC server, and have no access to the hub's API server: the add-on and its certificates.

The suite is the one of clusters that joined with a kubeconfig. What a cluster's agent sends comes from the gRPC server here, with the name
of the agent in an annotation; forged requests have it too.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

import ocm_grpc
from addon_suite import CSR, SOON, AddOnSite, AddOnSuite, labels, on_fleet
from api import Api, api
from fleet import Fleet
from panal.addon.requests import CSR_USER
from panal.kube.objects import Object, condition, labels_of
from requests_of_certificates import PREFIX, request
from rights import entries
from waiting import eventually

pytestmark = pytest.mark.real


@dataclass(frozen=True)
class Relaying:
    """Creates requests as OCM's gRPC server does for a user."""

    server: Api
    user: str

    def create(self, obj: Object) -> Object:
        return self.server.create({**obj, "metadata": obj["metadata"] | {"annotations": {CSR_USER: self.user}}})


class GrpcSite(AddOnSite):
    def agent(self, cluster: str) -> Api:
        server = api(self.kubeconfigs["hub"].with_name("grpc-server.kubeconfig"))
        return Relaying(server, f"{PREFIX}:{cluster}:{self.agents[cluster].read_text()}")  # type: ignore[return-value]


@pytest.fixture(scope="module")
def site(grpc: Fleet, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GrpcSite]:
    with on_fleet(GrpcSite, grpc, tmp_path_factory.mktemp("grpc"), "hub-kubeconfig/agent-name") as found:
        yield found


def requests(site: GrpcSite, cluster: str) -> list[Object]:
    return [csr for csr in site.hub.list(CSR) if csr["metadata"]["name"].startswith(f"addon-{cluster}-")]


def test_a_server_that_is_not_configured_is_not_believed(site: GrpcSite) -> None:
    """Nor do the agents send one request after the other: those that were denied stay theirs."""
    for cluster in ("cluster1", "cluster2"):
        eventually(lambda c=cluster: [condition(r, "Denied") for r in requests(site, c)], "a request is denied", SOON)
    time.sleep(3)  # in which an agent sends several requests if it misses its own
    for cluster in ("cluster1", "cluster2"):
        (only,) = requests(site, cluster)
        assert labels(cluster).items() <= only["metadata"]["labels"].items()
        denied = condition(only, "Denied")
        assert denied["reason"] == "ForeignRequester"
        assert all(word in denied["message"] for word in (ocm_grpc.USER, CSR_USER, "registration.grpcServerAccount"))
        assert site.certificate(cluster) is None


def test_the_configured_server_is_believed(site: GrpcSite) -> None:
    site.stop()
    site.grpc_server = ocm_grpc.USER
    site.start()
    for cluster in ("cluster1", "cluster2"):
        for csr in requests(site, cluster):
            site.hub.delete(CSR, "", csr["metadata"]["name"])
        site.certified(cluster)


@pytest.mark.parametrize(
    "user", ["", ocm_grpc.BOOTSTRAP, "system:serviceaccount:cluster1:agent", f"{PREFIX}:cluster:cluster1:addon:a:agent:b"]
)
def test_the_server_must_name_an_agent(site: GrpcSite, user: str) -> None:
    server = Relaying(api(site.kubeconfigs["hub"].with_name("grpc-server.kubeconfig")), user)
    site.send(server, request("cluster1"), "of-another")  # type: ignore[arg-type]
    found = site.answer("of-another")
    assert condition(found, "Denied")["reason"] == "ForeignRequester"
    assert user in condition(found, "Denied")["message"]
    eventually(lambda: not labels_of(site.hub.get(CSR, "", "of-another") or {"metadata": {}}), "it is not taken for one of cluster1", SOON)
    site.hub.delete(CSR, "", "of-another")


def test_the_annotation_of_another_user_is_not_believed(site: GrpcSite) -> None:
    server = Relaying(site.hub, f"{PREFIX}:cluster1:agent")
    site.send(server, request("cluster1"), "of-admin")  # type: ignore[arg-type]
    assert condition(site.answer("of-admin"), "Denied")["reason"] == "ForeignRequester"
    site.hub.delete(CSR, "", "of-admin")


def test_no_agent_has_asked_the_hubs_api_server(site: GrpcSite, grpc: Fleet) -> None:
    """Nor could it: no cluster has a kubeconfig for it."""
    users = {entry["user"].get("username", "") for entry in entries(grpc.root / "hub/log/audit.log")}
    assert ocm_grpc.USER in users
    assert not {user for user in users if user.startswith(PREFIX) or user in ("system:anonymous", ocm_grpc.BOOTSTRAP)}
    for spoke in grpc.spokes:
        given = "".join(p.read_text() for p in (spoke.dir / "hub-kubeconfig").iterdir()) + (spoke.dir / "nowhere.kubeconfig").read_text()
        assert str(grpc.hub.port["api"]) not in given


class TestAddOn(AddOnSuite):
    """Over gRPC from the beginning to the end."""
