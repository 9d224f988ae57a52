"""A real MLflow server for the tests of this folder (`make test-mlflow` creates its environment)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from mlflow_server import Server, serving


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("mlflow")) as found:
        yield found
