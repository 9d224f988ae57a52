"""The local platform, which the distribution panal-local adds: how it is found, and what commands of panal need of it."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib.metadata import entry_points, version
from pathlib import Path
from typing import Protocol

import typer

from panal.cli.access import Access
from panal.cli.apps import App
from panal.cli.problem import Code, Problem
from panal.cli.run import Following
from panal.kube.objects import Object

GROUP, NAME = "panal.commands", "local"  # of the entry point: a class that is made without arguments, a Platform
COMMANDS = {
    "up": "Start the local platform",
    "down": "Stop the local platform",
    "status": "Show which parts of the local platform run",
    "image": "Images of the local platform",
}
ANYTHING = {"allow_extra_args": True, "ignore_unknown_options": True}


class Platform(Protocol):
    """`home` is the platform's folder; None is the default folder."""

    def add_commands(self, app: typer.Typer) -> None:
        """Adds the commands that COMMANDS names."""

    def access(self, home: Path | None) -> Access | None:
        """Access to the platform's hub, with a context for each cluster; None while the platform is not up."""

    def kept_log(self, access: Access, namespace: str, pod: str, container: str) -> Path | None:
        """The log of a container whose Pod is removed, on the cluster of `access`; None if there is none."""

    def cel(self, expression: str, cluster: Object) -> bool | None:
        """Whether a cluster matches a CEL expression over `managedCluster`; None if the platform cannot evaluate it."""

    def run_folder(self, home: Path | None, app: App, following: Following) -> Code:
        """Starts the platform if it is not up, builds the app's image and runs it."""


@cache
def installed() -> Platform | None:
    for point in entry_points(group=GROUP, name=NAME):
        platform: Platform = point.load()()
        return platform
    return None


def required(command: str) -> Platform:
    """Raises Problem if the local platform is not installed."""
    if platform := installed():
        return platform
    message = f"{command} needs the local platform, which is not installed"
    raise Problem(Code.PLATFORM, message, f"Install panal-local {version('panal')}: `pip install ./local` in a clone of panal.")


def add_commands(app: typer.Typer) -> None:
    """Adds the platform's commands. Where it is not installed, they say how to install it."""
    if platform := installed():
        platform.add_commands(app)
        return
    for name, summary in COMMANDS.items():
        app.command(name, help=f"{summary} (needs panal-local).", context_settings=ANYTHING)(_missing(name))


def _missing(name: str) -> Callable[[], None]:
    def command() -> None:
        required(f"`panal {name}`")

    return command
