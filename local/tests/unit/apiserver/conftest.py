"""One embedded server for the tests of a module, as a process, and ways to ask it."""

from __future__ import annotations

import pytest

import contract
from embedded import Embedded


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    found = Embedded(tmp_path_factory.mktemp("server")).start()
    try:
        yield found
    finally:
        assert found.stop() == 0, found.log()


@pytest.fixture(scope="module")
def http(server):
    with contract.client(server.kubeconfig) as client:
        yield client
