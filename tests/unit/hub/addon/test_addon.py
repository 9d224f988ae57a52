"""The add-on and its certificates on embedded API servers, with the local platform's stand-in for Open Cluster Management."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from addon_suite import AddOnSite, AddOnSuite
from standin import Standin


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AddOnSite]:
    root = tmp_path_factory.mktemp("addon")
    standin = Standin(root, ("cluster1", "cluster2"))
    found = AddOnSite(
        root, {c: standin.kubeconfig(c) for c in ("hub", *standin.clusters)}, {c: standin.own_kubeconfig(c) for c in standin.clusters}
    )
    try:
        standin.up()
        standin.control("hub")
        found.up()
        yield found
    finally:
        found.stop()
        standin.down()
        print(found.log[-6000:])


class TestAddOn(AddOnSuite):
    pass
