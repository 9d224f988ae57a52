"""The local platform, which the distribution panal-local adds: how it is found, and what the command line and the Python API need of it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.metadata import entry_points, version
from pathlib import Path
from typing import Any, Protocol

from panal.client.access import Access
from panal.client.apps import App
from panal.client.problem import Code, Problem
from panal.client.telling import Tell
from panal.kube.objects import Object

GROUP, NAME = "panal.commands", "local"  # of the entry point: a class that is made without arguments, a Platform


@dataclass(frozen=True, slots=True)
class Target:
    """What a run of an app gets on the platform: its image, the number of clusters, and the claim by which they announce the app's data;
    empty if the app contains or generates its data."""

    image: str
    clusters: int
    data_claim: str


class Platform(Protocol):
    """`home` is the platform's folder; None is the default folder."""

    def add_commands(self, app: Any) -> None:
        """Adds the commands `up`, `down`, `status` and `image` to an application of typer."""

    def access(self, home: Path | None) -> Access | None:
        """Access to the platform's hub, with a context for each cluster; None while the platform is not up."""

    def kept_log(self, access: Access, namespace: str, pod: str, container: str) -> Path | None:
        """The log of a container whose Pod is removed, on the cluster of `access`; None if there is none."""

    def cel(self, expression: str, cluster: Object) -> bool | None:
        """Whether a cluster matches a CEL expression over `managedCluster`; None if the platform cannot evaluate it."""

    def target(self, home: Path | None, app: App) -> Target:
        """What `start` gives a run of the app. Changes nothing. Raises Problem if the folder of its data has none of the clusters."""

    def start(self, home: Path | None, app: App, run: Object, tell: Tell) -> tuple[Access, Object]:
        """Starts the platform if it is not up, builds the app's image, makes its data known, and applies the run, which gets a name if it
        has none. Returns the run with the access to its hub. Blocks, and must not be called where an event loop runs. Raises Problem."""


@cache
def installed() -> Platform | None:
    for point in entry_points(group=GROUP, name=NAME):
        platform: Platform = point.load()()
        return platform
    return None


def required(what: str) -> Platform:
    """Raises Problem if the local platform is not installed. `what` needs it."""
    if platform := installed():
        return platform
    message = f"{what} needs the local platform, which is not installed"
    raise Problem(Code.PLATFORM, message, f"Install panal-local {version('panal')}: `pip install ./local` in a clone of panal.")
