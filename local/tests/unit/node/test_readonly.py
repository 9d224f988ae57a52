"""Containers cannot write into images, also if root runs the node."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from panal_local.node import readonly, shim
from panal_local.node.recipes import Recipe, build

NOBODY = 65534
# Every way in which an app might; what succeeds is printed.
TRIES = {
    "change a file": "echo x >> main.py",
    "make a file": "echo x > final_model.npz",
    "remove a file": "rm -f main.py",
    "rename a file": "mv main.py other.py",
    "make a folder": "mkdir out",
    "make a file below": "echo x > data/x",
    "make a module in the environment": "echo x > venv/x.py",
}
SCRIPT = "".join(f"( {command} ) 2>/dev/null && echo {what}\n" for what, command in TRIES.items()) + "exit 0\n"


def run(folder: Path, cwd: str, path: str) -> str:
    """Runs a container as the node does, and returns its output."""
    folder.mkdir()
    env = {"PATH": path}
    (folder / "spec.json").write_text(json.dumps({"command": ["/bin/sh", "-c", SCRIPT], "env": env, "cwd": cwd}))
    subprocess.run([sys.executable, "-I", "-S", shim.__file__, str(folder)], check=True, timeout=30)
    assert json.loads((folder / "ended.json").read_text())["code"] == 0
    return (folder / "log").read_text()


@pytest.fixture
def app(tmp_path: Path) -> Path:
    folder = tmp_path / "app"
    (folder / "data").mkdir(parents=True)
    (folder / "pyproject.toml").write_text('[project]\nname = "app"\nversion = "1"\n')
    (folder / "main.py").write_text("one")
    (folder / "data/y").write_text("y")
    return folder


def test_a_container_cannot_write_into_its_image(app: Path, tmp_path: Path) -> None:
    image = build(Recipe(app), "app:1", tmp_path / "images")
    assert run(tmp_path / "container", image.working_dir, image.env["PATH"]) == ""
    assert Path(image.working_dir, "main.py").read_text() == "one"


def test_a_container_can_write_into_its_own_folders(app: Path, tmp_path: Path) -> None:
    (app / "venv").mkdir()
    assert run(tmp_path / "container", str(app), "/usr/bin:/bin").splitlines() == [w for w in TRIES if w != "rename a file"]


def test_images_are_rebuilt_and_old_ones_removed(app: Path, tmp_path: Path) -> None:
    for number in range(5):
        (app / "main.py").write_text(f"{number}")
        image = build(Recipe(app), "app:1", tmp_path / "images")
    assert Path(image.working_dir, "main.py").read_text() == "4"
    assert sum(path.is_dir() for path in (tmp_path / "images/app/1").iterdir()) == 3


def test_an_incomplete_image_is_removed(app: Path, tmp_path: Path) -> None:
    image = build(Recipe(app), "app:1", tmp_path / "images")
    (tmp_path / "images/app/1/image.json").unlink()
    assert build(Recipe(app), "app:1", tmp_path / "images") == image


def test_links_and_hard_links_are_not_changed(tmp_path: Path) -> None:
    cache, image = tmp_path / "cache", tmp_path / "image"
    cache.mkdir()
    image.mkdir()
    (cache / "shared").write_text("of an installer")
    (image / "shared").hardlink_to(cache / "shared")
    (image / "link").symlink_to(cache)
    readonly.protect(image)
    assert readonly.protected(image)
    assert not readonly.protected(cache)
    assert not readonly.protected(cache / "shared")


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that all users can access, unlike pytest's."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.mark.skipif(os.geteuid() != 0, reason="the tests above are run as a user then")
def test_modes_restrict_a_user(open_folder: Path) -> None:
    image = open_folder / "image"
    (image / "data").mkdir(parents=True)
    (image / "venv").mkdir()
    (image / "main.py").write_text("one")
    for path in (image, *image.rglob("*")):
        os.chown(path, NOBODY, NOBODY)
    readonly.protect(image)
    done = subprocess.run(["/bin/sh", "-c", SCRIPT], cwd=image, user=NOBODY, capture_output=True, text=True, check=True)
    assert done.stdout == ""
    assert (image / "main.py").read_text() == "one"
