"""Reports that are incomplete, which the CRDs of Open Cluster Management allow: one cluster's must not prevent the runs of others."""

from __future__ import annotations

import asyncio

import pytest

from panal.hub import views
from panal.hub.resolve import Resolver
from panal.hub.watched import _trimmed_cluster


@pytest.mark.parametrize("claim", [{"name": "a"}, {"value": "b"}, {}])
def test_a_claim_without_a_name_or_value_is_ignored(claim: dict[str, str]) -> None:
    cluster = {"metadata": {"name": "c1"}, "status": {"clusterClaims": [claim, {"name": "x", "value": "y"}]}}
    assert views.cluster(cluster).claims == views.cluster(_trimmed_cluster(cluster)).claims == {"x": "y"}


@pytest.mark.parametrize("host", ["a..b", "x" * 64])
def test_a_host_that_is_no_name_is_not_resolved(host: str) -> None:
    resolver = Resolver(lambda _: None)
    resolver.want(host)
    asyncio.run(resolver._resolve(host))
    assert resolver.known == {}
