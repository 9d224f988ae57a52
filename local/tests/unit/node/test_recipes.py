"""Images built from folders. Nothing is downloaded."""

import subprocess

import pytest

from panal_local.node import images, recipes
from panal_local.node.environment import NotReadyError
from panal_local.node.recipes import BuildError, Recipe, build
from wheels import wheel


@pytest.fixture
def app(tmp_path):
    folder = tmp_path / "app"
    folder.mkdir()
    (folder / "main.py").write_text("print('one')\n")
    (folder / "__pycache__").mkdir()
    (folder / "__pycache__/main.pyc").write_text("")
    return folder


def test_an_image_has_its_own_copy_and_environment(app, tmp_path):
    prepare = ["python3", "-c", "open('made', 'w').write('x')"]
    recipe = Recipe(app, env={"WHERE": "{root}/made"}, prepare=prepare, cmd=["python3", "main.py"])
    image = build(recipe, "example/app:1", tmp_path / "images")
    (app / "main.py").write_text("gone")
    done = subprocess.run(image.cmd, env=dict(image.env), cwd=image.working_dir, capture_output=True, text=True, check=True)
    assert done.stdout == "one\n"
    where = subprocess.run(
        ["python3", "-c", "import os, sys; print(open(os.environ['WHERE']).read(), sys.prefix)"],
        env=dict(image.env), capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert where.stdout.startswith(f"x {tmp_path}/images/")
    assert not (app / "made").exists()


def test_a_change_creates_a_new_digest_and_keeps_running_containers(app, tmp_path):
    first = build(Recipe(app), "app:1", tmp_path / "images")
    assert build(Recipe(app), "app:1", tmp_path / "images") == first
    (app / "main.py").write_text("print('two')\n")
    second = build(Recipe(app), "app:1", tmp_path / "images")
    assert second.digest != first.digest
    assert (tmp_path / "images/app/1" / first.working_dir.rstrip("/.").split("/")[-1] / "main.py").read_text() == "print('one')\n"
    assert images.find(tmp_path / "images", "app:1") == second
    assert len(list((tmp_path / "images/.venvs").glob("*/bin"))) == 1, "the environment is shared"
    assert images.find(tmp_path / "images", f"app:1@{second.digest}").digest == second.digest
    with pytest.raises(NotReadyError, match="is not present"):
        images.find(tmp_path / "images", f"app:1@{first.digest}")


def test_an_incomplete_environment_is_created_again(app, tmp_path):
    image = build(Recipe(app), "app:1", tmp_path / "images")
    (venv,) = (p.parent for p in (tmp_path / "images/.venvs").glob("*/.ready"))
    for folder, gone in ((venv, ".ready"), (venv / "bin", "python3")):
        folder.chmod(0o755)
        (folder / gone).unlink()
    assert build(Recipe(app), "app:1", tmp_path / "images") == image
    assert (venv / "bin/python3").exists()


@pytest.mark.parametrize(
    ("name", "fields", "says"),
    [
        ("App:1", {}, "not a valid image name"),
        ("../app", {}, "not a valid image name"),
        ("app:1", {"packages": ["no_such"]}, "no package no_such"),
        ("app:1", {"prepare": ["sh", "-c", "echo broken; exit 1"]}, "(?s)prepare of .* failed.*broken"),
        ("app:1", {"install": ["no such requirement"]}, "installing what .* asks for failed"),
    ],
)
def test_a_failed_build_has_a_reason(app, tmp_path, name, fields, says):
    with pytest.raises(BuildError, match=says):
        build(Recipe(app, **fields), name, tmp_path)


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("a", ("a", "latest")),
        ("a/b:1", ("a/b", "1")),
        ("host:5000/a", ("host:5000/a", "latest")),
        ("host:5000/a:2", ("host:5000/a", "2")),
        ("a:1@sha256:ab", ("a", "1")),
    ],
)
def test_names(name, parts):
    assert images.split(name) == parts


def test_an_installation_reports_its_steps(app, tmp_path, monkeypatch):
    (tmp_path / "wheels").mkdir()
    wheel(tmp_path / "wheels", "one", "1.0")
    recipe = Recipe(app, install=["one"], identity="one")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "wheels"))
    monkeypatch.setattr(recipes.shutil, "which", lambda _: None)
    steps: list[str] = []
    build(recipe, "app:1", tmp_path / "images", step=steps.append)
    assert steps == ["collecting one (package 1)", "installing 1 packages"]
    build(recipe, "app:1", tmp_path / "images", step=lambda step: pytest.fail(step))
