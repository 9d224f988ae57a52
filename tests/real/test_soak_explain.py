"""200 fleets that `panal explain` explains as the real placement controller decides: see explain_suite."""

from __future__ import annotations

from pathlib import Path

import pytest

import random_fleets
from api import api
from cluster import Cluster
from explain_suite import *  # noqa: F403
from explain_suite import Explain, compare

pytestmark = [pytest.mark.real, pytest.mark.soak]


@pytest.mark.parametrize("first", range(1000, 1200, 20))
def test_fleets_are_explained_as_they_are_decided(first: int, placement_api: Cluster, explain: Explain, tmp_path: Path) -> None:
    compare(api(placement_api.kubeconfig), explain, [random_fleets.fleet(seed) for seed in range(first, first + 20)], tmp_path)
