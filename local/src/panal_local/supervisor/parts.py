"""The processes of a platform, in the order in which they start. Pure.

A part begins when the files that it reads exist and the API servers that it uses can be reached.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from panal_local.supervisor.folder import HUB, Folder
from panal_local.supervisor.state import Program, State

CLUSTER = "panal_local.cluster:main"
Address = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Part:
    """`entry` is `module:function`, which is called with the arguments when `files` exist and `servers` can be reached."""

    name: str
    entry: str
    arguments: Sequence[str] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    files: Sequence[Path] = ()
    servers: Sequence[Address] = ()

    @property
    def module(self) -> str:
        return self.entry.partition(":")[0]


def parts(folder: Folder, state: State) -> list[Part]:
    """A process for each cluster, the hub first, since all others use it, and one for each program."""
    authority = folder.authority(HUB)  # exists when the hub has started for the first time
    spokes = [Part(name, CLUSTER, (str(folder.root), name), files=[authority]) for name in state.spokes]
    return [Part(HUB, CLUSTER, (str(folder.root), HUB)), *spokes, *(_program(folder, state, program) for program in state.programs)]


def _program(folder: Folder, state: State, program: Program) -> Part:
    env = {"KUBECONFIG": str(folder.admin(HUB)), "POD_NAME": program.name, **program.env}
    return Part(f"{HUB}-{program.name}", program.entry, (), env, [folder.admin(HUB)], [(state.api_address(HUB), state.port)])
