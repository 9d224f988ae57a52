"""tests/examples: what is changed in a public example, and what its image becomes on real nodes."""

from panal.cli import new
from panal.cli.package import contents
from public_apps import Example, copy
from run_on_nodes import on_shared_layer

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


def test_the_image_on_nodes_is_the_packaged_one_on_the_shared_layer(tmp_path):
    new.new(tmp_path / "my-app")
    packaged = contents(tmp_path / "my-app")["Containerfile"]
    made = on_shared_layer(packaged)
    assert made.splitlines()[:2] == ["FROM localhost/panal-examples/shared:1", "COPY . /app/"]
    assert made.splitlines()[2:] == packaged.splitlines()[-len(made.splitlines()) + 2 :]
