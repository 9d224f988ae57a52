"""What is installed so that clusters can take part; charts/panal is held to the same by tests/real/test_chart.py."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from panal.addon import install
from panal.api.names import SYSTEM_NAMESPACE

ROOT = Path(__file__).parents[3]
PLACED = {"namespace": "n", "name": "p"}


def test_the_file_in_deploy_is_the_one_that_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    install.main()
    printed = capsys.readouterr().out
    assert (ROOT / "deploy/all-clusters.yaml").read_text() == printed, "run `make manifest` and commit deploy/all-clusters.yaml"
    assert list(yaml.safe_load_all(printed)) == install.let_all_take_part(SYSTEM_NAMESPACE)


@pytest.mark.parametrize(("placements", "written"), [([], {}), ([PLACED], {"placements": [PLACED]})])
def test_without_placements_the_list_is_left_to_whoever_makes_one(placements: list[install.Object], written: install.Object) -> None:
    assert install.addon(placements)["spec"]["installStrategy"] == {"type": "Placements"} | written


def test_who_lets_clusters_in_owns_nothing_else_of_the_add_on() -> None:
    *_, addon = install.let_all_take_part("n")
    assert addon["metadata"] == {"name": "fl-collaborator"}
    assert addon["spec"] == {"installStrategy": {"type": "Placements", "placements": [install.placed_everywhere("n")]}}


def test_the_add_on_is_the_add_on_managers_and_can_be_configured() -> None:
    addon = install.addon([PLACED], {"namespace": "n", "name": "usual"})
    assert addon["metadata"]["annotations"] == {"addon.open-cluster-management.io/lifecycle": "addon-manager"}
    (config,) = addon["spec"]["supportedConfigs"]
    assert config["defaultConfig"] == {"namespace": "n", "name": "usual"}


def test_a_cluster_that_is_away_keeps_its_certificate() -> None:
    binding, placement = install.everywhere("n")
    assert [binding["spec"]["clusterSet"]] == placement["spec"]["clusterSets"]
    tolerated = {t["key"] for t in placement["spec"]["tolerations"]}
    assert tolerated == {f"cluster.open-cluster-management.io/{taint}" for taint in ("unreachable", "unavailable")}
