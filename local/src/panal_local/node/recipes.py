"""Makes images: `build(FOLDER, NAME, IMAGES)` copies an application folder and gives it a Python environment of its own.

FOLDER/pyproject.toml is the recipe. What is installed is `project.dependencies` and what requirements.txt beside it adds, or that alone
if it has hashes (`requirements`). Everything else has a default, and is in the table [tool.panal.image]:

    env       variables of every container of the image; {root} is the image's folder
    prepare   a command that runs once in the image's folder when the image is made, such as ["python3", "split.py", "."]
    cmd       what a container runs whose spec gives no command
    packages  packages of panal's own environment, each named as its distribution, to copy in: what panal's own images need

Programs in the folder `bin` come before those of the environment. Environments are shared by all images that ask for the same, so
an image whose code alone has changed is made anew in a moment, and one that has not changed is left alone. Root is not needed.
What is made is read-only (see `readonly`).
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
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from panal_local.files import write
from panal_local.node.environment import NotReadyError
from panal_local.node.images import SYSTEM_PATH, Image, find, folder_of
from panal_local.node.installing import Steps
from panal_local.node.readonly import protect, protected, remove
from panal_local.node.requirements import Requirements
from panal_local.node.walk import Tell, WalkError, files

OWN = Path(__file__).with_name("own")
SAID = 2000  # characters of a program's last words
FORMAT = 2  # of what is in the store: what was made in another is made again
KEPT = 3  # versions of an image's files: Pods may still run from older ones


def _silent(_: str) -> None:
    pass


class BuildError(Exception):
    """Why there is no image, and what to do."""


@dataclass(frozen=True, slots=True)
class Recipe:
    folder: Path
    requirements: Requirements
    env: Mapping[str, str]
    prepare: Sequence[str]
    cmd: Sequence[str]
    packages: Sequence[Path]

    @property
    def environment(self) -> str:
        """Names the Python environment: the same for all that is installed alike."""
        return hashlib.sha256(f"{sys.version}\0{self.requirements.identity}".encode()).hexdigest()[:16]


def build_own(images: Path) -> list[Image]:
    """panal's own images, which the Pods of a run need beside the user's: panal/pod-tools and panal/gateway, of panal's version."""
    return [build(folder, f"panal/{folder.name}:{version('panal')}", images) for folder in sorted(OWN.iterdir())]


def build(folder: Path, name: str, images: Path, pins: Sequence[str] = (), *, tell: Tell = _silent, step: Tell = _silent) -> Image:
    """The image as it is in the store now. `pins` are requirements to install as well; `tell` is told of what of the folder is left
    out, `step` of each step of an installation. BuildError if it cannot be made."""
    recipe = read(folder, pins)
    try:
        place = folder_of(images, name)
    except NotReadyError as error:
        raise BuildError(f"{name!r} is no image name; one looks like example/digits:1.0") from error
    try:
        digest = _digest(recipe, tell)
    except WalkError as error:
        raise BuildError(str(error)) from error
    with _locked(place / "lock"):
        venv = _environment(recipe, (images / ".venvs").resolve(), step)
        if not _is_there(images, name, digest):
            _make(recipe, place, venv, digest)
    return find(images, name)


def read(folder: Path, pins: Sequence[str] = ()) -> Recipe:
    folder = folder.resolve()
    file = folder / "pyproject.toml"
    try:
        content = tomllib.loads(file.read_text())
    except FileNotFoundError as error:
        raise BuildError(f"{file} is missing: an image is made of a folder with a pyproject.toml, as every Flower app has one") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BuildError(f"{file} cannot be read: {error}") from error
    table = content.get("tool", {}).get("panal", {}).get("image", {})
    unknown = table.keys() - {"env", "prepare", "cmd", "packages"}
    if unknown:
        raise BuildError(f"{file}: [tool.panal.image] has {', '.join(sorted(unknown))}; it knows env, prepare, cmd and packages")
    dependencies = content.get("project", {}).get("dependencies", [])
    if not isinstance(dependencies, list) or not all(isinstance(each, str) for each in dependencies):
        raise BuildError(f'{file}: project.dependencies is no list of texts, such as ["flwr>=1.41", "numpy"]')
    listed = folder / "requirements.txt"
    return Recipe(
        folder=folder,
        requirements=Requirements(dependencies, listed if listed.exists() else None, pins),
        env=table.get("env", {}),
        prepare=table.get("prepare", []),
        cmd=table.get("cmd", []),
        packages=[_package(name) for name in table.get("packages", [])],
    )


def _package(name: str) -> Path:
    found = importlib.util.find_spec(name)
    if found is None or not found.submodule_search_locations:
        raise BuildError(f"[tool.panal.image] packages: there is no package {name} in panal's environment")
    return Path(found.submodule_search_locations[0])


# --- what it is made of ------------------------------------------------------------------------------------------
def _digest(recipe: Recipe, tell: Tell) -> str:
    known = hashlib.sha256(f"{FORMAT}\0{recipe.environment}\0{json.dumps([dict(recipe.env), recipe.prepare, recipe.cmd])}".encode())
    for folder in (recipe.folder, *recipe.packages):
        for path in files(folder, tell):
            known.update(f"{path.relative_to(folder.parent)}\0{os.access(path, os.X_OK)}\0".encode())
            known.update(hashlib.sha256(path.read_bytes()).digest())
    return f"sha256:{known.hexdigest()}"


def _is_there(images: Path, name: str, digest: str) -> bool:
    try:
        return find(images, name.partition("@")[0]).digest == digest
    except NotReadyError:
        return False


# --- making it ---------------------------------------------------------------------------------------------------
def _make(recipe: Recipe, place: Path, venv: Path, digest: str) -> None:
    root = place / digest.removeprefix("sha256:")[:16]
    remove(root)
    for folder, target in ((recipe.folder, root), *((p, root / p.name) for p in recipe.packages)):
        for path in files(folder):
            copy = target / path.relative_to(folder)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, copy)
    for package in recipe.packages:
        _add_metadata(package.name, root)
    (root / "venv").symlink_to(venv)
    if recipe.prepare:
        env = {**os.environ, "PATH": f"{root / 'bin'}:{venv / 'bin'}:{SYSTEM_PATH}"}
        _run([*recipe.prepare], "[tool.panal.image] prepare", cwd=root, env=env)
    _run([str(venv / "bin/python3"), "-m", "compileall", "-q", "-x", "/venv/", str(root)], "compiling the folder's Python files")
    protect(root)
    fields = {"digest": digest, "root": root.name, "env": {"PYTHONUNBUFFERED": "1", **recipe.env}}
    words: dict[str, Any] = {"entrypoint": [], "cmd": list(recipe.cmd), "workingDir": "."}
    write(place / "image.json", json.dumps(fields | words, indent=1), mode=0o644)
    old = sorted((p for p in place.iterdir() if p.is_dir() and p != root), key=lambda p: p.stat().st_mtime)
    for each in old[: -(KEPT - 1)]:
        remove(each)


def _add_metadata(package: str, root: Path) -> None:
    """What `importlib.metadata` finds of a copied package: its version."""
    number = version(package)
    folder = root / f"{package}-{number}.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: {number}\n")


def _environment(recipe: Recipe, store: Path, step: Tell) -> Path:
    """The environment's folder, made if it is not complete."""
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
    if what := recipe.requirements.arguments:
        pip = _pip(str(venv / "bin/python3"), "--compile-bytecode")
        of = recipe.requirements.file or recipe.folder / "pyproject.toml"
        _run([*pip, *what], f"installing what {of} asks for", cwd=recipe.folder, step=step)


def fetch_alone(requirement: str, folder: Path) -> None:
    """One package into `folder`, without what it depends on. BuildError if it cannot be had."""
    _run([*_pip(sys.executable), "--no-deps", "--target", str(folder), requirement], f"fetching {requirement}")


def _pip(python: str, *of_uv: str) -> list[str]:
    if uv := shutil.which("uv"):
        return [uv, "pip", "install", *of_uv, "--python", python]
    own = [sys.executable, "-m", "pip", "--python", python] if _without_pip() else [python, "-m", "pip"]
    return [*own, "--disable-pip-version-check", "--no-input", "install"]


def _without_pip() -> list[str]:
    """Where there is a pip at hand the environment needs none: that is half of the time that making it takes."""
    return ["--without-pip"] if shutil.which("uv") or importlib.util.find_spec("pip") else []


def _run(command: list[str], what: str, cwd: Path | None = None, env: Mapping[str, str] | None = None, step: Tell = _silent) -> None:
    env = {**(env or os.environ), "PYTHONUNBUFFERED": "1"}  # or a program's steps come all at its end
    steps, said = Steps(), ""
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
                said = (said + line)[-SAID:]
                if found := steps.step(line):
                    step(found)
    except OSError as error:
        raise BuildError(f"{what}: {error}") from error
    if process.returncode:
        raise BuildError(f"{what} failed ({' '.join(command[:4])} …):\n{said.strip()}")


@contextmanager
def _locked(file: Path) -> Iterator[None]:
    """One at a time, over all processes."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
