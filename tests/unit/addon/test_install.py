"""The objects that install the add-on. tests/real/test_chart.py compares them with charts/panal."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from panal.addon import install
from panal.api.names import SYSTEM_NAMESPACE

ROOT = Path(__file__).parents[3]
PLACED = {"namespace": "n", "name": "p"}


def test_the_file_in_deploy_is_up_to_date(capsys: pytest.CaptureFixture[str]) -> None:
    install.main()
    printed = capsys.readouterr().out
    assert (ROOT / "deploy/all-clusters.yaml").read_text() == printed, "run `make manifest` and commit deploy/all-clusters.yaml"
    assert list(yaml.safe_load_all(printed)) == install.all_clusters(SYSTEM_NAMESPACE)


@pytest.mark.parametrize(("placements", "written"), [([], {}), ([PLACED], {"placements": [PLACED]})])
def test_an_empty_list_of_placements_is_omitted(placements: list[install.Object], written: install.Object) -> None:
    assert install.addon(placements)["spec"]["installStrategy"] == {"type": "Placements"} | written


def test_all_clusters_owns_no_other_field_of_the_add_on() -> None:
    *_, addon = install.all_clusters("n")
    assert addon["metadata"] == {"name": "fl-collaborator"}
    assert addon["spec"] == {"installStrategy": {"type": "Placements", "placements": [install.placed_everywhere("n")]}}


def test_the_add_on_manager_installs_the_add_on_with_its_default_configuration() -> None:
    addon = install.addon([PLACED], {"namespace": "n", "name": "usual"})
    assert addon["metadata"]["annotations"] == {"addon.open-cluster-management.io/lifecycle": "addon-manager"}
    (config,) = addon["spec"]["supportedConfigs"]
    assert config["defaultConfig"] == {"namespace": "n", "name": "usual"}


def test_an_unreachable_cluster_keeps_the_add_on() -> None:
    binding, placement = install.everywhere("n")
    assert [binding["spec"]["clusterSet"]] == placement["spec"]["clusterSets"]
    tolerated = {t["key"] for t in placement["spec"]["tolerations"]}
    assert tolerated == {f"cluster.open-cluster-management.io/{taint}" for taint in ("unreachable", "unavailable")}
