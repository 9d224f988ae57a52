"""Secure aggregation of five clusters, two of which are killed while they train, on real API servers and real Open Cluster Management."""

from __future__ import annotations

import pytest

from kubernetes import Kubernetes
from secure_runs import secure_with_drop_outs

pytestmark = [pytest.mark.real, pytest.mark.flower]


def test_two_of_five_clusters_drop_out(five_sites: Kubernetes) -> None:
    clusters = [spoke.name for spoke in five_sites.fleet.spokes]
    secure_with_drop_outs(five_sites, "runs", clusters, killed=clusters[3:])
