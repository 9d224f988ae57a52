"""What `panal package` writes. That it works on a hub is tested there: tests/real/test_nodes_7_bring_your_app.py."""

from pathlib import Path

import pytest
import yaml

from panal.api.parse import parse
from panal.cli import new
from panal.cli.package import contents, package
from panal.client import apply
from panal.client.problem import Code, Problem

METADATA = {"namespace": "a", "uid": "c", "creationTimestamp": "2026-01-01T00:00:00Z", "generation": 1, "resourceVersion": "1"}
COMPONENTS = '[tool.flwr.app.components]\nserverapp = "a:b"\nclientapp = "c:d"\n'


def project(folder: Path, dependencies: str = '["flwr>=1.27", "numpy"]', more: str = "", config: str = "num-server-rounds = 7") -> Path:
    folder.mkdir(exist_ok=True)
    text = f'[project]\nname = "My App"\nversion = "1.2+local"\ndependencies = {dependencies}\n{more}\n'
    (folder / "pyproject.toml").write_text(f"{text}{COMPONENTS}[tool.flwr.app.config]\n{config}\n")
    return folder


def spec(text: str):
    found = yaml.safe_load(text)
    return parse({**found, "metadata": METADATA | found["metadata"]})


def test_a_new_app_is_packaged(tmp_path):
    made = [path.relative_to(tmp_path / "my-app").as_posix() for path in new.new(tmp_path / "my-app")]
    assert made[-3:] == ["Containerfile", ".dockerignore", "run.yaml"]
    assert [d["metadata"]["name"] for d in apply.documents(str(tmp_path / "my-app/run.yaml"))] == ["my-app"]
    assert 'OPENBLAS_NUM_THREADS="1"' in (tmp_path / "my-app/Containerfile").read_text()
    assert all("@" not in (tmp_path / "my-app" / name).read_text() for name in made[-3:])


def test_a_run_is_of_the_apps_name_rounds_and_image(tmp_path):
    run = spec(contents(project(tmp_path), "quay.io/me/app:2")["run.yaml"])
    assert (run.metadata.name, run.spec.server.rounds, run.spec.server.min_available_clients) == ("my-app", 7, 2)
    assert run.spec.server.image == run.spec.client.image == "quay.io/me/app:2"
    assert run.spec.client.data_claim == "None"
    assert run.spec.client.placement == {"clusterSets": ["default"]}
    project(tmp_path, config="min-available-nodes = 3")
    assert spec(contents(tmp_path)["run.yaml"]).spec.server.min_available_clients == 3
    assert spec(contents(tmp_path)["run.yaml"]).spec.server.image == "registry.example.com/my-app:1.2-local"


@pytest.mark.parametrize(
    ("given", "more", "name"),
    [("visits.example.com", "", "visits.example.com"), (None, '[tool.panal.run]\ndata = "../d"', "my-app.example.com")],
)
def test_clusters_that_have_data_are_chosen_by_their_claim(tmp_path, given, more, name):
    client = spec(contents(project(tmp_path, more=more), data_claim=given)["run.yaml"]).spec.client
    assert client.data_claim == name
    (predicate,) = client.placement["predicates"]
    assert predicate["requiredClusterSelector"]["claimSelector"]["matchExpressions"] == [{"key": name, "operator": "Exists"}]


@pytest.mark.parametrize(
    ("dependencies", "more", "line"),
    [
        ('["flwr>=1.27", "numpy"]', "", "      'flwr>=1.27' numpy flwr==1.4"),
        ('["flwr[simulation]>=1.29; python_version > \'3.9\'"]', "", "'flwr[simulation]>=1.29; python_version > '"),
        ('["flwr"]', 'requires-python = ">=3.12"', "FROM python:3.12-slim AS build"),
        ('["flwr"]', 'requires-python = ">=3.9,<3.11"', "FROM python:3.10-slim AS build"),
        ('["flwr"]', "", "FROM python:3.11-slim AS build"),
        ('["flwr"]', '[tool.panal.image]\nenv = { A = "x $y \\"z\\"", B = "{root}/b" }', r'A="x \$y \"z\"" B="/app/b"'),
        ('["flwr"]', '[tool.panal.image]\nprepare = ["sh", "-c", "a && b"]', "RUN cd /app && PATH=/opt/app/bin:$PATH sh -c 'a && b'"),
    ],
)  # fmt: skip
def test_the_containerfile_is_what_the_app_asks_for(tmp_path, dependencies, more, line):
    text = contents(project(tmp_path, dependencies, more))["Containerfile"]
    assert line in text
    assert "USER 65532:65532" in text


def test_a_list_of_requirements_is_installed_where_there_is_one(tmp_path):
    (project(tmp_path) / "requirements.txt").write_text("flwr==1.41.0\n")
    (tmp_path / "requirements-more.txt").write_text("")
    text = contents(tmp_path)["Containerfile"]
    assert "COPY requirements-more.txt requirements.txt /build/\nWORKDIR /build\n" in text
    assert "-r requirements.txt" in text


@pytest.mark.parametrize(
    ("dependencies", "more", "words", "said"),
    [
        ("[]", "", {}, "dependencies is empty"),
        ('["flwr"]', 'requires-python = "<3"', {}, "allows none of Python 3.10, 3.11"),
        ('["flwr"]', 'requires-python = "three"', {}, "requires-python"),
        ('["flwr"]', "", {"image": "My Image"}, "--image My Image is not a valid image name"),
        ('["flwr"]', "", {"data_claim": "My Data"}, "--data-claim My Data is not a valid name"),
    ],
)
def test_what_cannot_be_packaged_is_named(tmp_path, dependencies, more, words, said):
    with pytest.raises(Problem, match=said):
        contents(project(tmp_path, dependencies, more), **words)


def test_nothing_is_overwritten_unless_by_force(tmp_path):
    project(tmp_path)
    (tmp_path / "run.yaml").write_text("mine")
    with pytest.raises(Problem, match=r"already has run\.yaml") as refused:
        package(tmp_path, None, None, None, force=False)
    assert refused.value.code == Code.USAGE
    assert not (tmp_path / "Containerfile").exists()
    package(tmp_path, None, None, None, force=True)
    assert "kind: FederatedLearning" in (tmp_path / "run.yaml").read_text()


def test_files_elsewhere_say_how_to_build_with_them(tmp_path):
    made = package(project(tmp_path / "app"), None, tmp_path / "to hub", None, force=False)
    assert [path.name for path in made] == ["Containerfile", "Containerfile.dockerignore", "run.yaml"]
    assert f"-f '{tmp_path}/to hub/Containerfile' ." in made[0].read_text()
    assert sorted(path.name for path in (tmp_path / "app").iterdir()) == ["pyproject.toml"]
