"""The add-on and its certificates with real API servers and real Open Cluster Management."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from addon_suite import AddOnSite, AddOnSuite
from fleet import Fleet

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
