"""A real Kubeflow Model Registry for the tests of this folder (`make test-model-registry` builds it)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from model_registry_server import Server, database, environment, program, serving


@pytest.fixture(scope="session")
def store() -> Iterator[str]:
    program()
    environment()
    with database() as found:
        yield found


@pytest.fixture(scope="session")
def server(store: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("registry"), store) as found:
        yield found
