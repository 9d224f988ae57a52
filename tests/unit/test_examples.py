"""tests/examples: what is changed in a public example."""

import pytest

from public_apps import Example, copy

TASK = """import numpy
from datasets import Dataset
from datasets import load_dataset
from flwr_datasets import FederatedDataset
from flwr_datasets.partitioner import IidPartitioner
"""


def test_only_the_lines_that_load_data_are_changed(tmp_path):
    package = tmp_path / "app/inner"
    package.mkdir(parents=True)
    (package / "task.py").write_text(TASK)
    (package / "server_app.py").write_text("import numpy\n")
    (tmp_path / "app/pyproject.toml").write_text("[project]\n")
    changes = copy(tmp_path / "app", tmp_path / "copied", Example("a kind"))
    assert [change.split(" -> ")[0] for change in changes] == [f"inner/task.py: {line}" for line in TASK.splitlines()[2:4]]
    ours = TASK.replace("flwr_datasets import F", "inner.synthetic import F").replace("datasets import load", "inner.synthetic import load")
    assert (tmp_path / "copied/inner/task.py").read_text() == ours
    same = ("pyproject.toml", "inner/server_app.py")
    assert all((tmp_path / "copied" / name).read_text() == (tmp_path / "app" / name).read_text() for name in same)


def test_a_name_that_flower_does_not_bundle_is_changed(tmp_path):
    (tmp_path / "app").mkdir()
    (tmp_path / "app/pyproject.toml").write_text('[project]\nname = "my_app"\n[[tool.x]]\nkey_name = "a_b"\n')
    assert len(copy(tmp_path / "app", tmp_path / "copied", Example("a kind"))) == 1
    assert (tmp_path / "copied/pyproject.toml").read_text() == '[project]\nname = "my-app"\n[[tool.x]]\nkey_name = "a_b"\n'


@pytest.mark.parametrize(("clusters", "left"), [(3, 3), (5, 5), (None, 5)])
def test_a_number_of_clients_above_that_of_the_clusters_is_changed_to_it(tmp_path, clusters, left):
    (tmp_path / "app").mkdir()
    (tmp_path / "app/pyproject.toml").write_text('[project]\nname = "an-app"\n')
    (tmp_path / "app/server_app.py").write_text("FedAvg(min_fit_clients=5, min_evaluate_clients=2)\n")
    changes = copy(tmp_path / "app", tmp_path / "copied", Example("a kind", clusters=5), clusters)
    assert (tmp_path / "copied/server_app.py").read_text() == f"FedAvg(min_fit_clients={left}, min_evaluate_clients=2)\n"
    assert len(changes) == (left != 5)
