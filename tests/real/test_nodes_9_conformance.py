"""What every runtime owes a run, on real nodes: PANAL_RUNTIMES names the runtimes, and `make test-conformance-nodes` runs it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

import clusters
from conformance_suite import *  # noqa: F403
from conformance_suite import IMAGES, RUNTIMES
from fleet import Fleet

pytestmark = [pytest.mark.real, pytest.mark.nodes, pytest.mark.long]
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module", autouse=True)
def _images(runs: Fleet, images: Path) -> None:
    for runtime in RUNTIMES:
        if runtime in IMAGES:
            archive = images / f"test-{runtime}.tar"
            subprocess.run(["make", "--silent", str(archive.relative_to(ROOT))], cwd=ROOT, stdin=subprocess.DEVNULL, check=True)
            clusters.load(runs.root, [archive])
