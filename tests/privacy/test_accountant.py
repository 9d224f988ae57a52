"""The accountant agrees with dp-accounting, whose formulas and composition are its own."""

from __future__ import annotations

import json
import os
import subprocess
from itertools import product
from pathlib import Path

import pytest

from panal.privacy import accountant

REPOSITORY = Path(__file__).parents[2]
Case = tuple[int, float, float, float]


@pytest.fixture(scope="session")
def python() -> Path:
    venv = Path(os.environ.get("PANAL_PRIVACY_VENV") or REPOSITORY / ".cache/privacy")
    if not (venv / "bin/python").exists():
        pytest.fail(f"no environment {venv}: run `make test-privacy`, or set PANAL_PRIVACY_VENV to one with requirements/privacy.txt")
    return venv / "bin/python"


def library(python: Path, cases: list[Case], what: str) -> list[float]:
    command = [str(python), str(Path(__file__).with_name("library.py")), what]
    done = subprocess.run(command, input=json.dumps(cases), capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_delta_at_our_epsilon_is_the_one_that_was_asked_for(python: Path) -> None:
    grid = product((1, 2, 7, 100, 3000), (0.3, 0.7, 1.0, 2.5, 20.0), (1e-10, 1e-7, 1e-5, 1e-3))
    asked = [(k, z, d, accountant.epsilon(k, z, d)) for k, z, d in grid]
    cases = [case for case in asked if case[3]]
    assert len(cases) > 90
    for case, found in zip(cases, library(python, cases, "exact"), strict=True):
        assert found == pytest.approx(case[2], rel=1e-6), case


def test_epsilon_is_at_most_the_composed_one_and_close_to_it(python: Path) -> None:
    """The library's is rounded up to its grid."""
    cases = [(k, z, d, 0.0) for k, z, d in product((1, 3, 20), (1.0, 2.0), (1e-5,))]
    for case, found in zip(cases, library(python, cases, "compose"), strict=True):
        ours = accountant.epsilon(*case[:3])
        assert ours <= found * (1 + 1e-6), case
        assert ours == pytest.approx(found, rel=1e-4), case
