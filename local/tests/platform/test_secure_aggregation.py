"""Secure aggregation of five clusters, two of which are killed while they train."""

from __future__ import annotations

from pathlib import Path

import pytest

from platform_engine import Platform
from runs import label_clusters
from secure_runs import secure_with_drop_outs

pytestmark = [pytest.mark.flower, pytest.mark.long]
CLUSTERS = [f"cluster{number}" for number in range(1, 6)]


def test_two_of_five_clusters_drop_out(tmp_path: Path) -> None:
    with Platform.at(tmp_path, clusters=5) as engine:
        label_clusters(engine, clusters=CLUSTERS)
        secure_with_drop_outs(engine, "runs", CLUSTERS, killed=CLUSTERS[3:])
