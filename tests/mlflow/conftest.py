"""A real MLflow server for the tests of this folder (`make test-mlflow` creates its environment)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlflow_server import Server, serving

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    venv = Path(os.environ.setdefault("PANAL_MLFLOW_VENV", str(REPOSITORY / ".cache/mlflow-3.17")))
    if not (venv / "bin/mlflow").exists():
        pytest.fail(f"no MLflow in {venv}: run `make test-mlflow`, or set PANAL_MLFLOW_VENV to an environment with mlflow==3.17.*")
    with serving(tmp_path_factory.mktemp("mlflow")) as found:
        yield found
