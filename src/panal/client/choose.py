"""Which API server a command uses: --kubeconfig, else KUBECONFIG, else the local platform if it is up, else kubectl's own file."""

from __future__ import annotations

import os
from pathlib import Path

from panal.client.access import Access, contexts
from panal.client.platform import installed
from panal.client.problem import Code, Problem

KUBECTL_FILE = Path("~/.kube/config")


def choose(kubeconfig: Path | None, context: str | None, home: Path | None = None) -> Access:
    """Raises Problem if a given file does not exist."""
    if kubeconfig:
        return Access(_existing(kubeconfig, "--kubeconfig"), context, str(kubeconfig))
    if named := os.environ.get("KUBECONFIG"):
        return Access(_of_several(named, context), context, f"KUBECONFIG, {named}")
    if (platform := installed()) and (running := platform.access(home)):
        return running.at(context) if context else running
    default = KUBECTL_FILE.expanduser()
    return Access(default if default.exists() else None, context, str(KUBECTL_FILE))


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
