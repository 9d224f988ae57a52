"""Access to an API server: a kubeconfig and a context."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import yaml

from panal.kube.client import Client


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


def contexts(path: Path) -> tuple[str, list[str]]:
    """The current context and all of a kubeconfig; empty for a file that cannot be read."""
    try:
        content = yaml.safe_load(path.read_text()) or {}
        return str(content.get("current-context") or ""), [str(c["name"]) for c in content.get("contexts") or []]
    except (OSError, yaml.YAMLError, AttributeError, KeyError, TypeError):
        return "", []
