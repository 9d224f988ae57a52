"""A short run of each example with the real Flower, in an environment that PANAL_FLOWER_VENV names (`make test-fields` creates it)."""

from __future__ import annotations

import json
import os
import subprocess
import tomllib

import pytest
import yaml
from tests.flower.conftest import flower_venv, pods  # noqa: F401  a fixture

from fields import COMPARE, Comparison, with_table
from reporting import ConfigMap, reporting

from .conftest import EXAMPLES, NAMES, divided

ROUNDS = 2
ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}  # as the images of the examples have it


def compared(name, data, model):
    command = [str(flower_venv() / "bin/python"), "-c", COMPARE, str(EXAMPLES / name), str(data), str(model)]
    env = os.environ | ONE_THREAD
    return Comparison(**json.loads(subprocess.run(command, env=env, stdout=subprocess.PIPE, text=True, check=True).stdout))


@pytest.mark.flower
@pytest.mark.parametrize("name", NAMES)
def test_a_short_run_ends_with_a_model_that_can_be_compared(name, pods, tmp_path):  # noqa: F811
    data = divided(name, tmp_path / "data")
    every = sorted(path.name for path in data.glob("cluster*"))
    sites = every[:3]  # are enough here
    run, config_map = pods(rounds=ROUNDS, min_clients=len(sites)), ConfigMap()
    with reporting(run, config_map) as folder:
        run.start_superlink()
        run.announce(run.app(str(EXAMPLES / name)))
        for site in sites:
            run.start_site(site, {"PANAL_DATA_PATH": str(data / site)} | ONE_THREAD)
        assert run.termination()[0] == 0, run.log("superlink")
    rounds = [record for record in run.records() if record.get("event") == "round" and record.get("phase") == "train"]
    assert len(rounds) == ROUNDS
    assert all(sorted(record["collaborators"]) == sites for record in rounds)
    found = compared(name, data, folder / "model.safetensors")
    assert {"federated", "central"} < found.rows.keys()
    assert sum(row.startswith("only ") for row in found.rows) == len(every)
    assert found.best_by in found.rows["federated"]


@pytest.mark.parametrize("name", NAMES)
def test_the_documents_of_an_example_agree(name):
    """The table of the README is the one of docs/examples.md, and says that federated is better; the run has the app's rounds."""
    readme, docs = ((place).read_text() for place in (EXAMPLES / name / "README.md", EXAMPLES.parent / "docs/examples.md"))
    table = readme.split(f"<!-- table of {name} -->\n")[1].split("\n<!-- end of table -->")[0]
    assert with_table(docs, name, table) == docs
    header, _, *lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()]
    rows = {cells[0]: dict(zip(header[1:], map(float, cells[1:]), strict=True)) for cells in lines}
    source = (EXAMPLES / name / "compare.py").read_text()
    best_by, higher = source.split('BEST_BY = "')[1].split('"')[0], "HIGHER_IS_BETTER = True" in source
    assert Comparison(best_by, higher, rows).gain > 0
    config = tomllib.loads((EXAMPLES / name / "pyproject.toml").read_text())["tool"]["flwr"]["app"]["config"]
    run = yaml.safe_load((EXAMPLES / name / "hub/run.yaml").read_text())
    server = run["spec"]["server"]
    assert (server["rounds"], server["minAvailableClients"]) == (config["num-server-rounds"], config["min-available-nodes"])


def test_a_model_that_is_not_better_than_the_best_site_is_told():
    rows = {"only a": {"error": 0.2}, "only b": {"error": 0.1}, "federated": {"error": 0.15}, "central": {"error": 0.05}}
    lower, higher = Comparison("error", False, rows), Comparison("error", True, rows)
    assert (lower.best_site, round(lower.gain, 3)) == ("only b", -0.05)
    assert (higher.best_site, round(higher.gain, 3)) == ("only a", -0.05)
    assert lower.table().splitlines()[3] == "| only b | 0.100 |"
    with pytest.raises(ValueError, match="no <!-- table of x -->"):
        with_table("text", "x", lower.table())
