"""`panal explain` beside real decisions: see explain_suite. `make soak` compares 200 more fleets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

import random_fleets
from api import api
from cluster import Cluster
from explain_suite import *  # noqa: F403
from explain_suite import Explain, compare, place, prepare, settled, start
from panal.api.names import GROUP as GROUP_OF_RUNS
from panal.hub import views
from panal.kube import kinds
from panal.lifecycle.decide import decide
from panal.lifecycle.world import PlacementView
from random_fleets import GROUP
from waiting import eventually
from worlds import NOW, running

pytestmark = pytest.mark.real


def test_fleets_are_explained_as_they_are_decided(placement_api: Cluster, explain: Explain, tmp_path: Path) -> None:
    counted = compare(api(placement_api.kubeconfig), explain, [random_fleets.fleet(seed) for seed in range(30)], tmp_path)
    assert min(counted[each] for each in ("Selected", "Outscored", "NotQualified", "changed", "raised")) > 2, counted


# --- what a user may read -----------------------------------------------------------------------------------------------
def access(hub: Cluster, namespace: str, account: str, folder: Path) -> Path:
    """The kubeconfig of a ServiceAccount."""
    hub.kubectl("-n", namespace, "create", "serviceaccount", account)
    config = yaml.safe_load(hub.kubeconfig.read_text())
    config["users"][0]["user"] = {"token": hub.kubectl("-n", namespace, "create", "token", account).strip()}
    path = folder / account
    path.write_text(yaml.safe_dump(config))
    return path


def allow(hub: Cluster, namespace: str, account: str, *resources: str, everywhere: bool = False) -> None:
    kind, where = ("clusterrole", ()) if everywhere else ("role", ("-n", namespace))
    binding = "clusterrolebinding" if everywhere else "rolebinding"
    name = f"{namespace}-{account}"
    hub.kubectl(*where, "create", kind, name, "--verb=get,list", *(f"--resource={each}" for each in resources))
    hub.kubectl(*where, "create", binding, name, f"--{kind}={name}", f"--serviceaccount={namespace}:{account}")


@pytest.fixture(scope="module")
def watched_run(placement_api: Cluster) -> random_fleets.Fleet:
    """A run of which some clusters are selected."""
    hub, fleet = api(placement_api.kubeconfig), random_fleets.fleet(500)
    fleet.placement = {"clusterSets": [f"{fleet.name}-a"], "tolerations": [{"operator": "Exists"}]}
    prepare(hub, [fleet])
    start(hub, fleet, bind=True)
    assert settled(hub, fleet.name, "run")
    return fleet


def test_without_rights_on_clusters_the_decisions_are_shown(placement_api, watched_run, panal, tmp_path):
    namespace = watched_run.name
    kubeconfig = access(placement_api, namespace, "scientist", tmp_path)
    allow(
        placement_api, namespace, "scientist", f"federatedlearnings.{GROUP_OF_RUNS}", f"placements.{GROUP}", f"placementdecisions.{GROUP}"
    )
    code, out, err = panal("explain", "run", "-n", namespace, "--kubeconfig", str(kubeconfig))
    assert code == 0, err
    assert "note: you may not list managedclusters.cluster.open-cluster-management.io: nothing can be said of clusters that" in out
    assert "note: you may not list managedclustersets.cluster.open-cluster-management.io" in out
    assert all(f"  {cluster}" in out for cluster in settled(api(placement_api.kubeconfig), namespace, "run"))
    assert "NOT SELECTED" not in out


def test_what_else_may_not_be_read_is_said(placement_api, watched_run, panal, tmp_path):
    namespace = watched_run.name
    kubeconfig = access(placement_api, namespace, "engineer", tmp_path)
    allow(placement_api, namespace, "engineer", f"federatedlearnings.{GROUP_OF_RUNS}", f"placementdecisions.{GROUP}")
    sets = (f"managedclusters.{GROUP}", f"managedclustersets.{GROUP}", f"managedclustersetbindings.{GROUP}")
    allow(placement_api, namespace, "engineer", *sets, everywhere=True)
    code, out, err = panal("explain", "run", "-n", namespace, "--kubeconfig", str(kubeconfig))
    assert code == 0, err
    assert "note: you may not get placements.cluster.open-cluster-management.io: whether it is scheduled is not known" in out
    assert "note: you may not list placementdecisions.cluster.open-cluster-management.io of all namespaces" in out
    assert "note: you may not list managedclusteraddons.addon.open-cluster-management.io" in out
    assert "does not take part" not in out
    assert f"is in none of the cluster sets [{namespace}-a]" in out


def test_without_rights_on_the_run_nothing_is_shown(placement_api, watched_run, panal, tmp_path):
    kubeconfig = access(placement_api, watched_run.name, "stranger", tmp_path)
    code, out, err = panal("explain", "run", "-n", watched_run.name, "--kubeconfig", str(kubeconfig))
    assert (code, out, "denies permission" in err) == (6, "", True)


# --- a placement that is misconfigured while a run trains ----------------------------------------------------------------
@pytest.mark.parametrize(
    "typo",
    [
        {"decisionStrategy": {"groupStrategy": {"clustersPerDecisionGroup": "25"}}},  # Satisfied stays True, all decisions are deleted
        {"tolerations": [{"operator": "Exists", "value": "x"}]},  # the decisions are emptied
    ],
    ids=["group size", "toleration"],
)
def test_a_misconfigured_placement_evicts_nobody(placement_api: Cluster, watched_run: random_fleets.Fleet, typo: dict[str, Any]) -> None:
    """By hand: a run with this spec is refused, but others may change the Placement."""
    hub, namespace, name = api(placement_api.kubeconfig), watched_run.name, f"typo-{next(iter(typo)).lower()}"
    spec = {"clusterSets": [f"{namespace}-a"], "tolerations": [{"operator": "Exists"}]}
    place(hub, namespace, name, spec, {})
    selected = settled(hub, namespace, name)
    assert selected

    def seen() -> PlacementView | None:
        placement = hub.get(kinds.PLACEMENT, namespace, name)
        assert placement
        return views.placement(placement, hub.list(kinds.PLACEMENT_DECISION, namespace, labels=f"{GROUP}/placement={name}"))

    hub.patch(kinds.PLACEMENT, namespace, name, spec=typo)
    view = eventually(lambda: found if (found := seen()) and found.misconfigured and not found.selected else None, "evicted by OCM", 30)
    plan = decide(running(placement=view), NOW)
    assert plan.delete == ()
    assert plan.status is None or plan.status.clients.selected == 3
