"""Images of the local platform: of an app's folder, and panal's own, in `own/`."""

from __future__ import annotations

import time
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from panal.cli import flower, output, recipe
from panal_local.commands.errors import explained
from panal_local.node import recipes
from panal_local.node.images import Image
from panal_local.node.walk import Tell
from panal_local.supervisor.folder import Folder

OWN = Path(__file__).with_name("own")
PACKAGES = {"pod-tools": ("panal",)}  # of this environment: what an own image contains besides its folder


def image_build(folder: Folder, source: Path, name: str) -> None:
    """`panal image build`."""
    began = time.monotonic()
    with explained():
        pins = flower.pins(source)
        folder.make()
        with output.steps(f"{name}: installing the dependencies of {source}; later builds use the cache") as step:
            image = build(source, name, folder.images, pins, tell=output.note, step=step)
    output.line(f"{image.name} {image.digest} ({time.monotonic() - began:.1f} s)")


def build(
    folder: Path, name: str, images: Path, pins: Sequence[str] = (), *, tell: Tell = recipes.silent, step: Tell = recipes.silent
) -> Image:
    """The image of an app's folder, built if the folder has changed. `pins` are requirements to install in addition. Raises Problem if
    the folder's pyproject.toml is invalid, else BuildError."""
    return recipes.build(_recipe(folder, pins), name, images, tell=tell, step=step)


def build_own(images: Path) -> list[Image]:
    """The images that the Pods of a run need in addition to the user's: panal/pod-tools and panal/gateway, of panal's version."""
    made = [(folder, f"panal/{folder.name}:{version('panal')}") for folder in sorted(OWN.iterdir())]
    return [recipes.build(_recipe(folder, packages=PACKAGES.get(folder.name, ())), name, images) for folder, name in made]


def _recipe(folder: Path, pins: Sequence[str] = (), packages: Sequence[str] = ()) -> recipes.Recipe:
    found = recipe.read(folder, pins)
    wanted = found.requirements
    return recipes.Recipe(found.folder, wanted.arguments, wanted.identity, found.env, found.prepare, found.cmd, packages)
