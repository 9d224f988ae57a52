"""Certificates that change, on real API servers and real Open Cluster Management, with panal's own nodes."""

from __future__ import annotations

import pytest

from identity_suite import *  # noqa: F403
from kubernetes import Kubernetes

pytestmark = [pytest.mark.real, pytest.mark.flower]


@pytest.fixture(scope="module")
def engine(kubernetes: Kubernetes) -> Kubernetes:
    return kubernetes
