"""What `panal explain` finds is what the platform's scheduler selects, on fleets made from seeds."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

import random_fleets
from panal.placement.hub import PLACEMENT_LABEL, Hub
from panal.placement.selection import Verdict, explained
from panal_local.scheduling.filters import matches
from panal_local.scheduling.schedule import schedule

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize("seed", range(200))
def test_fleets_are_explained_as_they_are_scheduled(seed):
    fleet = random_fleets.fleet(seed, NOW)
    placement = {"metadata": {"name": "p", "namespace": fleet.name}, "spec": fleet.placement}
    hub = Hub(fleet.clusters, fleet.sets, fleet.bindings, fleet.decisions, fleet.scores)
    forecast = explained(placement, hub, NOW, matches)
    outcome = schedule(placement, hub, NOW)
    selected = {cluster for decision in outcome.decisions for cluster in decision.clusters}
    misconfigured = outcome.conditions[0]["message"] if outcome.conditions[0]["status"] == "True" else ""
    if not misconfigured:
        assert {each.cluster for each in forecast.standings if each.verdict is Verdict.SELECTED} == selected
    written = [
        {"metadata": {"name": d.name, "namespace": fleet.name, "labels": {PLACEMENT_LABEL: "p"}}, "status": d.status}
        for d in outcome.decisions
    ]
    after = explained(placement, replace(hub, decisions=[*hub.decisions, *written]), NOW, matches, selected, misconfigured)
    assert [each for each in after.standings if each.otherwise] == []
