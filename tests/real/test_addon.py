"""The add-on and its certificates with real API servers and real Open Cluster Management."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from addon_suite import SOON, SYSTEM, AddOnSite, AddOnSuite
from fleet import Fleet
from panal.addon import install
from panal.kube import kinds
from panal.kube.objects import condition
from waiting import eventually

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def site(ocm: Fleet, tmp_path_factory: pytest.TempPathFactory) -> Iterator[AddOnSite]:
    kubeconfigs = {c.name: c.kubeconfig for c in (ocm.hub, *ocm.spokes)}
    agents = {c.name: c.dir / "hub-kubeconfig/kubeconfig" for c in ocm.spokes}
    found = AddOnSite(tmp_path_factory.mktemp("addon"), kubeconfigs, agents)
    try:
        found.up()
        yield found
    finally:
        found.stop()
        print(found.log[-6000:])


class TestAddOn(AddOnSuite):
    pass


def quiet(site: AddOnSite, seconds: float) -> bool:
    before = site.addon("cluster2")["metadata"]["resourceVersion"]
    time.sleep(seconds)
    return site.addon("cluster2")["metadata"]["resourceVersion"] == before


def test_hub_and_controller_agree_on_an_unreachable_cluster(site: AddOnSite, ocm: Fleet) -> None:
    """Both write the condition. If they did not agree, they would overwrite each other forever."""
    site.hub.apply(install.addon([install.placed_everywhere(SYSTEM)]))
    site.certified("cluster2")
    site.hub.patch(kinds.MANAGED_CLUSTER, "", "cluster2", spec={"leaseDurationSeconds": 1})
    eventually(lambda: condition(site.addon("cluster2"), "Available").get("status") == "True", "it is available", SOON)
    ocm.kill("cluster2", "ocm-registration.agent")
    try:
        eventually(lambda: condition(site.addon("cluster2"), "Available").get("status") == "Unknown", "it is unknown", SOON)
        eventually(lambda: quiet(site, seconds=4), "the add-on does not change any more", SOON)
    finally:
        ocm.start("cluster2", "ocm-registration.agent")
    eventually(lambda: condition(site.addon("cluster2"), "Available").get("status") == "True", "it is available again", SOON)
    site.hub.patch(kinds.MANAGED_CLUSTER, "", "cluster2", spec={"leaseDurationSeconds": 60})
