"""Which API server a command uses: --kubeconfig, else KUBECONFIG, else the local platform if it is up, else kubectl's own file."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path

import yaml

from panal.cli.problem import Code, Problem
from panal.kube.client import Client
from panal_local.supervisor.folder import HUB, SUPERVISOR, Folder
from panal_local.supervisor.process import find

KUBECTL_FILE = Path("~/.kube/config")


@dataclass(frozen=True, slots=True)
class Access:
    """`context` is None for the file's current context, `kubeconfig` is None in a Pod. `why` is the source, `local` is set for the local
    platform."""

    kubeconfig: Path | None
    context: str | None
    why: str
    local: bool = False

    def open(self) -> Client:
        return Client.from_kubeconfig(self.kubeconfig, context=self.context)

    def at(self, context: str) -> Access:
        return replace(self, context=context)

    def __str__(self) -> str:
        return f"{self.why}{f', context {self.context}' if self.context else ''}"


def choose(kubeconfig: Path | None, context: str | None, home: Path | None = None) -> Access:
    """Raises Problem if a given file does not exist."""
    if kubeconfig:
        return Access(_existing(kubeconfig, "--kubeconfig"), context, str(kubeconfig))
    if named := os.environ.get("KUBECONFIG"):
        return Access(_of_several(named, context), context, f"KUBECONFIG, {named}")
    folder = Folder.chosen(home)
    if is_up(folder):
        return Access(folder.kubeconfig, context, f"the local platform in {folder.root}", local=True)
    default = KUBECTL_FILE.expanduser()
    return Access(default if default.exists() else None, context, str(KUBECTL_FILE))


def is_up(folder: Folder) -> bool:
    return folder.kubeconfig.exists() and bool(find(folder, SUPERVISOR) or find(folder, HUB))


def contexts(path: Path) -> tuple[str, list[str]]:
    """The current context and all of a kubeconfig; empty for a file that cannot be read."""
    try:
        content = yaml.safe_load(path.read_text()) or {}
        return str(content.get("current-context") or ""), [str(c["name"]) for c in content.get("contexts") or []]
    except (OSError, yaml.YAMLError, AttributeError, KeyError, TypeError):
        return "", []


def _existing(path: Path, option: str) -> Path:
    path = path.expanduser()
    if not path.is_file():
        raise Problem(Code.USAGE, f"{option}: the file {path} does not exist", "Give the path of a kubeconfig.")
    return path


def _of_several(named: str, context: str | None) -> Path:
    """KUBECONFIG may list files: the first that has `context`, or without `context` the first with a current context."""
    files = [Path(name).expanduser() for name in named.split(os.pathsep) if name]
    for file in files:
        current, found = contexts(file)
        if context in found if context else current:
            return file
    if len(files) == 1 and files[0].is_file():
        return files[0]  # reading it reports its own error
    raise Problem(
        Code.USAGE, f"KUBECONFIG: none of {named} has {f'the context {context}' if context else 'a current context'}", "Correct KUBECONFIG."
    )
