"""The image store. FOLDER/NAME/TAG/image.json describes an image; its files are in the same folder, Python environments in FOLDER/.venvs.

An image is an application folder with its own Python environment. Images are never pulled; `recipes.build` builds them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from panal_local.node.environment import NotReadyError

NAME = re.compile(r"[a-z0-9]+([._/:-]+[a-z0-9]+)*")
SYSTEM_PATH = "/usr/local/bin:/usr/bin:/bin"


@dataclass(frozen=True, slots=True)
class Image:
    """`env` contains PATH, with the image's programs first."""

    name: str
    digest: str
    env: Mapping[str, str]
    entrypoint: Sequence[str]
    cmd: Sequence[str]
    working_dir: str


def split(name: str) -> tuple[str, str]:
    """Repository and tag, without a digest (`@sha256:...`), which `find` compares."""
    repository, _, tag = name.partition("@")[0].rpartition(":")
    return (repository, tag) if repository and "/" not in tag else (name.partition("@")[0], "latest")


def folder_of(images: Path, name: str) -> Path:
    if not NAME.fullmatch(name.partition("@")[0]) or ".." in name:
        raise NotReadyError("InvalidImageName", f'Failed to apply default image tag "{name}": invalid reference format')
    repository, tag = split(name)
    return images / repository / tag


def find(images: Path, name: str) -> Image:
    """The image. Raises NotReadyError if the store does not contain it."""
    folder = folder_of(images, name)
    try:
        content = json.loads((folder / "image.json").read_text())
    except FileNotFoundError:
        content = None
    _, _, digest = name.partition("@")
    if content is None or (digest and content["digest"] != digest):
        message = (
            f'Container image "{name}" is not present on this node, which pulls none: make it with `panal image build FOLDER -t {name}`'
        )
        raise NotReadyError("ErrImageNeverPull", message)
    root = folder / content["root"]
    own = [root / "bin", root / "venv/bin"]
    path = ":".join([*(str(p) for p in own), SYSTEM_PATH])
    words = {key: [w.replace("{root}", str(root)) for w in content[key]] for key in ("entrypoint", "cmd")}
    env = {key: value.replace("{root}", str(root)) for key, value in content["env"].items()}
    return Image(name, content["digest"], {"PATH": path, **env}, words["entrypoint"], words["cmd"], str(root / content["workingDir"]))
