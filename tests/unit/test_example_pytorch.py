"""examples/pytorch as far as it needs no PyTorch: what it is made of, and that panal accepts it. `make test-pytorch` runs it."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

from panal.api.crd import crd
from panal.api.parse import parse_spec
from panal.cli import recipe
from panal.client import apps
from panal_local.apiserver.schema import check, prune

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples/pytorch"
LOCK = (EXAMPLE / "requirements.txt").read_text()
FOR_GPUS = re.compile(r"^(torch|triton|cuda-|nvidia-)")


def pinned(lock: str) -> dict[str, str]:
    return dict(re.findall(r"^([a-z0-9._-]+)(?:\[[^\]]*\])?==([^\s;\\]+)", lock, re.MULTILINE))


def test_it_is_a_flower_app_that_knows_nothing_of_panal() -> None:
    app = apps.read(EXAMPLE)
    assert (app.framework, app.name, app.rounds) == ("flower", "pytorch-app", 5)
    code = "".join(file.read_text() for file in EXAMPLE.rglob("*.py"))
    assert "ClientApp" in code
    assert "panal" not in code


def test_its_lock_is_complete_and_has_what_the_app_asks_for() -> None:
    found = recipe.read(EXAMPLE).requirements
    assert found.locked
    for line in LOCK.replace("\\\n", " ").splitlines():
        assert re.search(r"==\S+ .*--hash=sha256:[0-9a-f]{64}", line), line
        assert not re.search(r"://|file:|--(index|extra|find)", line), line
    versions = pinned(LOCK)
    for asked in map(Requirement, found.dependencies):
        assert asked.specifier.contains(versions[asked.name]), f"{asked}: run `make lock`"
    others = pinned(max((ROOT / "requirements").glob("flower-*.txt")).read_text())
    assert {name: versions.get(name) for name in others} == others  # the same Flower, and all that it needs


@pytest.mark.parametrize("lock", sorted((ROOT / "requirements").glob("*.txt")), ids=lambda lock: lock.name)
def test_pytorch_is_in_no_other_environment(lock: Path) -> None:
    assert "torch" not in pinned(lock.read_text())


def test_its_image_for_cpus_has_all_of_the_lock_but_what_is_for_gpus() -> None:
    line = re.search(r"sed -E '(.*)' requirements.txt", (EXAMPLE / "Containerfile").read_text())
    assert line
    done = subprocess.run(["sed", "-E", line[1]], input=LOCK, capture_output=True, text=True, check=True)
    assert pinned(done.stdout) == {name: version for name, version in pinned(LOCK).items() if not FOR_GPUS.match(name)}
    assert done.stdout.count("--hash=") == sum(block.count("--hash=") for block in re.split(r"\n(?=\S)", LOCK) if not FOR_GPUS.match(block))


def test_its_image_is_not_among_those_that_make_images_builds() -> None:
    done = subprocess.run(["make", "-n", "-B", "images"], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "example-mnist" in done.stdout
    assert "example-pytorch" not in done.stdout


@pytest.mark.parametrize("file", sorted(ROOT.glob("examples/*/hub/*.yaml")), ids=lambda file: f"{file.parts[-3]}/{file.name}")
def test_runs_of_the_examples_are_what_the_crd_accepts(file: Path) -> None:
    schema = crd()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    for run in yaml.safe_load_all(file.read_text()):
        if run["kind"] == "FederatedLearning":
            assert list(check(run, schema)) == []
            assert prune(run["spec"], schema["properties"]["spec"]) == []
            parse_spec(run)  # raises


def test_its_run_and_that_of_the_other_example_ask_for_the_same_data() -> None:
    ours, others = (yaml.safe_load((ROOT / "examples" / name / "hub/run.yaml").read_text())["spec"] for name in ("pytorch", "mnist"))
    assert ours["client"]["placement"] == others["client"]["placement"]
    image = ours["server"]["image"]
    assert image == ours["client"]["image"] == "panal/example-pytorch:0.1.0"
    assert f"-t {image} ." in (EXAMPLE / "Containerfile").read_text()


def test_its_environment_is_what_its_pyproject_says_of_the_local_platform() -> None:
    table = tomllib.loads((EXAMPLE / "pyproject.toml").read_text())["tool"]["panal"]["image"]
    for name, value in table["env"].items():
        assert f"{name}={value}" in (EXAMPLE / "Containerfile").read_text()
