"""Which clusters the aggregator's gateway admits, and why it refuses others."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from panal.addon.config import NOTHING
from panal.api.names import ClusterName
from panal.lifecycle.decide import decide
from panal.lifecycle.reasons import Reason
from panal.lifecycle.world import PlacementView, SiteView, World
from worlds import NOW, ago, applied, deleted, names_of, running, sites, status_after


def participants(world: World) -> list[str]:
    found = next(o for o in applied(decide(world, NOW), "ConfigMap") if o["metadata"]["name"] == "digits-gateway")
    names: list[str] = json.loads(found["data"]["participants"])
    return names


def test_the_gateway_admits_only_participants() -> None:
    assert participants(running()) == ["cluster1", "cluster2", "cluster3"]
    assert participants(running(placement=PlacementView(selected=names_of(1, 2)))) == ["cluster1", "cluster2"]
    assert participants(running(sites=sites(1, 2))) == ["cluster1", "cluster2"]
    rewriting = running(placement=PlacementView(selected=frozenset(), settled=False))
    assert participants(rewriting) == ["cluster1", "cluster2", "cluster3"]


BARRED = [
    ("no add-on", {}, Reason.ADDON_NOT_INSTALLED, "fl-collaborator"),
    ("revoked", sites(3, revoked="2026-03-01T11:59:00Z"), Reason.CERTIFICATE_REVOKED, "2026-03-01T11:59:00Z"),
    ("wrong configuration", sites(3, config=replace(NOTHING, problems=("the proxy is no URL",))), Reason.SITE_CONFIG_INVALID, "no URL"),
]


@pytest.mark.parametrize(("third", "reason", "words"), [case[1:] for case in BARRED], ids=[case[0] for case in BARRED])
def test_the_gateway_no_longer_admits_an_excluded_cluster(third: dict[ClusterName, SiteView], reason: Reason, words: str) -> None:
    world = running(sites=sites(1, 2) | third)
    plan = decide(world, NOW)
    assert deleted(plan, "ManifestWork") == ["cluster3"]
    assert participants(world) == ["cluster1", "cluster2"]
    assert plan.status is not None
    first = plan.status.collaborators[0]
    assert (first.cluster, first.reason) == ("cluster3", reason)
    assert words in first.message


def test_a_cluster_without_a_certificate_keeps_its_work() -> None:
    cases = [
        (None, "", Reason.CERTIFICATE_PENDING),
        (ago(1), "", Reason.CERTIFICATE_PENDING),
        (None, "csr is denied: WrongRequester", Reason.CERTIFICATE_DENIED),
    ]
    for certified, denied, reason in cases:
        world = running(sites=sites(1, 2) | sites(3, certified=certified, denied=denied))
        assert deleted(decide(world, NOW), "ManifestWork") == []
        first = status_after(world).collaborators[0]
        assert (first.cluster, first.reason) == ("cluster3", reason)
