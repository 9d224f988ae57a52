"""A local API server, as a process, for the tests of a module, and its clients."""

from __future__ import annotations

import pytest

import samples
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
    with samples.client(server.kubeconfig) as client:
        yield client


@pytest.fixture(scope="module")
def widgets(http):
    """A client of the server with a CRD of widgets."""
    assert http.post(samples.CRDS, json=samples.CRD).status_code == 201
    return http
