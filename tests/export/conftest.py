"""The libraries of the exports live in an environment of their own (`make test-export` creates it)."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def python() -> Path:
    venv = Path(os.environ.setdefault("PANAL_EXPORT_VENV", str(REPOSITORY / ".cache/export")))
    if not (venv / "bin/python").exists():
        pytest.fail(f"no environment {venv}: run `make test-export`, or set PANAL_EXPORT_VENV to one with requirements/export.txt")
    return venv / "bin/python"
