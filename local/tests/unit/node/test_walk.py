"""Folders of users: files that an image cannot contain are left out and named, and nothing hangs."""

import os
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from panal_local.node import walk
from panal_local.node.recipes import BuildError, Recipe, build
from panal_local.node.walk import WalkError, files


@pytest.fixture
def app(tmp_path):
    folder = tmp_path / "app"
    (folder / "package").mkdir(parents=True)
    for name in ("pyproject.toml", "package/__init__.py", "package/data.csv"):
        (folder / name).write_text("[project]\n" if name == "pyproject.toml" else "x = 1\n")
    return folder


PLAIN = ["package/__init__.py", "package/data.csv", "pyproject.toml"]


def walked(folder: Path) -> tuple[list[str], list[str]]:
    left_out: list[str] = []
    return [path.relative_to(folder).as_posix() for path in files(folder, left_out.append)], left_out


def bind(path: Path) -> None:
    """The address of a socket is short, while its path may be long."""
    before = Path.cwd()
    os.chdir(path.parent)
    try:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(path.name)
    finally:
        os.chdir(before)


LEFT_OUT = {
    "broken": (lambda path: path.symlink_to("nowhere"), "is a link that leads nowhere"),
    "of-itself": (lambda path: path.symlink_to("of-itself"), "is a link that leads nowhere"),
    "parent": (lambda path: path.symlink_to(".."), "is a link to a folder that it is in"),
    "here": (lambda path: path.symlink_to("."), "is a link to a folder that it is in"),
    "root": (lambda path: path.symlink_to("/"), "is a link to a folder that it is in"),
    "pipe": (os.mkfifo, "is a named pipe"),
    "socket": (bind, "is a socket"),
    "zeros": (lambda path: path.symlink_to("/dev/zero"), "is a device"),
}


@pytest.mark.parametrize("name", LEFT_OUT)
@pytest.mark.parametrize("where", [".", "package"])
def test_special_files_are_left_out_and_named(app, name, where):
    make, why = LEFT_OUT[name]
    path = app / where / name
    make(path)
    found, left_out = walked(app)
    assert found == PLAIN
    assert len(left_out) == 1
    assert left_out[0].startswith(f"{path} is left out: it {why}")


def test_a_name_that_is_not_utf_8_is_left_out(app):
    (app / os.fsdecode(b"caf\xe9.csv")).write_text("")
    found, left_out = walked(app)
    assert found == PLAIN
    assert "has a name that is not UTF-8" in left_out[0]


def test_valid_links_are_followed(app, tmp_path):
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared/größe a b.csv").write_text("")
    (app / "shared").symlink_to(tmp_path / "shared")
    (app / "twice").symlink_to("package")
    (app / "copy.toml").symlink_to("pyproject.toml")
    found, left_out = walked(app)
    twice = ["twice/__init__.py", "twice/data.csv"]
    assert (found, left_out) == (["copy.toml", *PLAIN, "shared/größe a b.csv", *twice], [])


def test_cyclic_links_do_not_hang(app, tmp_path):
    (tmp_path / "other").mkdir()
    (app / "other").symlink_to(tmp_path / "other")
    (tmp_path / "other/back").symlink_to(app)
    (tmp_path / "other/on").symlink_to(tmp_path / "other")
    found, left_out = walked(app)
    assert found == PLAIN
    assert [line.partition(" is left out")[0] for line in left_out] == [str(app / "other/back"), str(app / "other/on")]


def test_files_of_tools_are_left_out_silently_and_environments_with_a_message(app):
    for name in (
        "__pycache__/a.pyc",
        ".git/config",
        "node_modules/a.js",
        "package/__pycache__/b.pyc",
        "myenv/pyvenv.cfg",
        "myenv/bin/python",
    ):
        (app / name).parent.mkdir(parents=True, exist_ok=True)
        (app / name).write_text("")
    found, left_out = walked(app)
    assert found == PLAIN
    assert left_out == [f"{app / 'myenv'} is left out: it is a virtual environment"]


def test_deeply_nested_folders(app):
    made = os.open(app / "package", os.O_RDONLY)
    for _ in range(1200):
        os.mkdir("d", dir_fd=made)
        below = os.open("d", os.O_RDONLY, dir_fd=made)
        os.close(made)
        made = below
    os.close(made)
    try:
        assert walked(app)[0] == PLAIN
    finally:
        subprocess.run(["rm", "-r", app / "package/d"], check=True)  # shutil.rmtree calls itself


def test_too_many_files_are_refused(app, monkeypatch):
    monkeypatch.setattr(walk, "MOST", 4)
    (app / "many").mkdir()
    (app / "many/one").write_text("")
    with pytest.raises(WalkError, match=r"app has more than 4 files, at .*package: keep data outside of the app's folder"):
        list(files(app))


@contextmanager
def as_somebody_else() -> Iterator[None]:
    before = os.geteuid()
    if before == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(before)


@pytest.mark.parametrize("name", ["secret.bin", "closed"])
def test_an_unreadable_file_is_refused_by_name(name):
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        place.chmod(0o755)
        (place / "secret.bin").write_text("")
        (place / "closed").mkdir()
        (place / name).chmod(0)
        with as_somebody_else(), pytest.raises(WalkError, match=f"{name} cannot be read: Permission denied"):
            list(files(place))


def test_an_image_contains_the_other_files(app, tmp_path):
    os.mkfifo(app / "pipe")
    (app / "up").symlink_to("..")
    left_out: list[str] = []
    image = build(Recipe(app), "app:1", tmp_path / "images", tell=left_out.append)
    root = Path(image.working_dir)
    assert (root / "package/data.csv").exists()
    assert not (root / "pipe").exists()
    assert not (root / "up").exists()
    assert len(left_out) == 2, "once each"


def test_a_build_reports_files_that_are_left_out(app, tmp_path, monkeypatch):
    monkeypatch.setattr(walk, "MOST", 1)
    with pytest.raises(BuildError, match="has more than 1 files"):
        build(Recipe(app), "app:1", tmp_path / "images")
