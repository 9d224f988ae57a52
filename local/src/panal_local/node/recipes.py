"""Builds images: `build(RECIPE, NAME, IMAGES)` copies an application folder and creates its Python environment.

Programs in the folder `bin` precede those of the environment. Images with the same requirements share an environment, so an image whose
code has changed is rebuilt in a moment, and an unchanged image is not rebuilt. Root is not needed. Images are read-only (see `readonly`).
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

from panal_local.files import write
from panal_local.node.environment import NotReadyError
from panal_local.node.images import SYSTEM_PATH, Image, find, folder_of
from panal_local.node.installing import Steps
from panal_local.node.readonly import protect, protected, remove
from panal_local.node.walk import Tell, WalkError, files

OUTPUT_TAIL = 2000  # characters of a program's output in errors
FORMAT = 2  # of the store: images in another format are rebuilt
KEPT = 3  # versions of an image's files: Pods may still run from older ones


def silent(_: str) -> None:
    pass


class BuildError(Exception):
    """The image cannot be built. The message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """`install` has the arguments of pip install; `identity` is the same for recipes with the same requirements. `prepare` is a command
    that runs once in the image's folder, and `cmd` the default command of containers. {root} in `env` stands for the image's folder.
    `packages` are packages of this Python environment to copy into the image."""

    folder: Path
    install: Sequence[str] = ()
    identity: str = ""
    env: Mapping[str, str] = field(default_factory=dict)
    prepare: Sequence[str] = ()
    cmd: Sequence[str] = ()
    packages: Sequence[str] = ()

    @property
    def environment(self) -> str:
        """The name of the Python environment, which depends on the requirements and the version of Python."""
        return hashlib.sha256(f"{sys.version}\0{self.identity}".encode()).hexdigest()[:16]


def build(recipe: Recipe, name: str, images: Path, *, tell: Tell = silent, step: Tell = silent) -> Image:
    """Builds the image and returns it. `tell` receives the files that are left out, `step` each step of an installation. Raises
    BuildError."""
    try:
        place = folder_of(images, name)
    except NotReadyError as error:
        raise BuildError(f"{name!r} is not a valid image name; an example is example/digits:1.0") from error
    try:
        digest = _digest(recipe, tell)
    except WalkError as error:
        raise BuildError(str(error)) from error
    with _locked(place / "lock"):
        venv = _environment(recipe, (images / ".venvs").resolve(), step)
        if not _is_there(images, name, digest):
            _make(recipe, place, venv, digest)
    return find(images, name)


def _package(name: str) -> Path:
    found = importlib.util.find_spec(name)
    if found is None or not found.submodule_search_locations:
        raise BuildError(f"there is no package {name} in the environment of {sys.executable}")
    return Path(found.submodule_search_locations[0])


# --- content -----------------------------------------------------------------------------------------------------
def _digest(recipe: Recipe, tell: Tell) -> str:
    known = hashlib.sha256(f"{FORMAT}\0{recipe.environment}\0{json.dumps([dict(recipe.env), recipe.prepare, recipe.cmd])}".encode())
    for folder in (recipe.folder, *map(_package, recipe.packages)):
        for path in files(folder, tell):
            known.update(f"{path.relative_to(folder.parent)}\0{os.access(path, os.X_OK)}\0".encode())
            known.update(hashlib.sha256(path.read_bytes()).digest())
    return f"sha256:{known.hexdigest()}"


def _is_there(images: Path, name: str, digest: str) -> bool:
    try:
        return find(images, name.partition("@")[0]).digest == digest
    except NotReadyError:
        return False


# --- build -------------------------------------------------------------------------------------------------------
def _make(recipe: Recipe, place: Path, venv: Path, digest: str) -> None:
    root = place / digest.removeprefix("sha256:")[:16]
    remove(root)
    for folder, target in ((recipe.folder, root), *((_package(name), root / name) for name in recipe.packages)):
        for path in files(folder):
            copy = target / path.relative_to(folder)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, copy)
    for package in recipe.packages:
        _add_metadata(package, root)
    (root / "venv").symlink_to(venv)
    if recipe.prepare:
        env = {**os.environ, "PATH": f"{root / 'bin'}:{venv / 'bin'}:{SYSTEM_PATH}"}
        _run([*recipe.prepare], f"prepare of {recipe.folder}", cwd=root, env=env)
    _run([str(venv / "bin/python3"), "-m", "compileall", "-q", "-x", "/venv/", str(root)], "compiling the folder's Python files")
    protect(root)
    fields = {"digest": digest, "root": root.name, "env": {"PYTHONUNBUFFERED": "1", **recipe.env}}
    words: dict[str, Any] = {"entrypoint": [], "cmd": list(recipe.cmd), "workingDir": "."}
    write(place / "image.json", json.dumps(fields | words, indent=1), mode=0o644)
    old = sorted((p for p in place.iterdir() if p.is_dir() and p != root), key=lambda p: p.stat().st_mtime)
    for each in old[: -(KEPT - 1)]:
        remove(each)


def _add_metadata(package: str, root: Path) -> None:
    """Adds the version of a copied package for `importlib.metadata`."""
    number = version(package)
    folder = root / f"{package}-{number}.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: {number}\n")


def _environment(recipe: Recipe, store: Path, step: Tell) -> Path:
    """The environment's folder, created if it is not complete."""
    venv = store / recipe.environment
    ready = venv / ".ready"
    with _locked(store / f"{recipe.environment}.lock"):
        if not ready.exists():
            remove(venv)
            _run([sys.executable, "-m", "venv", *_without_pip(), str(venv)], "making the Python environment")
            _install(recipe, venv, step)
            ready.touch()
        if not protected(venv):
            protect(venv)
    return venv


def _install(recipe: Recipe, venv: Path, step: Tell) -> None:
    if recipe.install:
        pip = _pip(str(venv / "bin/python3"), "--compile-bytecode")
        _run([*pip, *recipe.install], f"installing what {recipe.folder} asks for", cwd=recipe.folder, step=step)


def _pip(python: str, *of_uv: str) -> list[str]:
    if uv := shutil.which("uv"):
        return [uv, "pip", "install", *of_uv, "--python", python]
    own = [sys.executable, "-m", "pip", "--python", python] if _without_pip() else [python, "-m", "pip"]
    return [*own, "--disable-pip-version-check", "--no-input", "install"]


def _without_pip() -> list[str]:
    """Skips pip in the environment if uv or pip exists here, which halves the time."""
    return ["--without-pip"] if shutil.which("uv") or importlib.util.find_spec("pip") else []


def _run(command: list[str], what: str, cwd: Path | None = None, env: Mapping[str, str] | None = None, step: Tell = silent) -> None:
    env = {**(env or os.environ), "PYTHONUNBUFFERED": "1"}  # to report steps while they happen
    steps, output = Steps(), ""
    try:
        with subprocess.Popen(
            command,
            cwd=cwd,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        ) as process:
            for line in process.stdout or ():
                output = (output + line)[-OUTPUT_TAIL:]
                if found := steps.step(line):
                    step(found)
    except OSError as error:
        raise BuildError(f"{what}: {error}") from error
    if process.returncode:
        raise BuildError(f"{what} failed ({' '.join(command[:4])} …):\n{output.strip()}")


@contextmanager
def _locked(file: Path) -> Iterator[None]:
    """Holds an exclusive lock, also against other processes."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
