"""Which programs a platform consists of, in the order in which they are started. Pure.

None waits for another by time: a part begins when the files that it reads are there and the API servers that it speaks to can be reached.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from panal.local.supervisor.folder import HUB, Folder
from panal.local.supervisor.state import Program, State

Address = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Part:
    """`entry` is a package with a `__main__`, or `module:function`. It begins when `files` are there and `servers` can be reached."""

    name: str
    entry: str
    arguments: Sequence[str] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    files: Sequence[Path] = ()
    servers: Sequence[Address] = ()

    @property
    def package(self) -> str:
        return self.entry.partition(":")[0]

    @property
    def digest(self) -> str:
        """Tells whether a process that is found was started as this part is meant now."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True, default=str).encode()).hexdigest()[:16]


def parts(folder: Folder, state: State) -> list[Part]:
    """API servers first, since all else waits for them."""
    clusters = list(state.tokens)
    found = [_apiserver(folder, state, cluster) for cluster in clusters]
    found += [*(_program(folder, state, program) for program in state.programs), _hub(folder, state)]
    for cluster in clusters:
        found += _of_cluster(folder, state, cluster)
    return found


def _apiserver(folder: Folder, state: State, cluster: str) -> Part:
    words = ["--folder", folder.apiserver(cluster), "--listen", f"{state.api_address(cluster)}:{state.port}"]
    words += ["--node-token-file", folder.node_token(cluster)]
    if cluster == HUB:
        words += ["--token-auth-file", folder.agent_tokens]
    return Part(f"{cluster}-apiserver", "panal.local.apiserver", _words(words), files=(folder.node_token(cluster),))


def _of_cluster(folder: Folder, state: State, cluster: str) -> Iterator[Part]:
    own = [folder.admin(cluster)], [(state.api_address(cluster), state.port)]
    if cluster != HUB:
        words = ["agent", "--hub-kubeconfig", folder.hub_access(cluster), "--kubeconfig", folder.admin(cluster), "--cluster", cluster]
        files = [folder.apiserver(HUB) / "ca.crt", folder.hub_access(cluster), *own[0]]
        servers = [(state.api_address(HUB), state.port), *own[1]]
        yield Part(f"{cluster}-agent", "panal.local.ocm", _words(words), files=files, servers=servers)
    words = ["--kubeconfig", folder.admin(cluster), "--name", cluster, "--address", state.node_address(cluster)]
    words += ["--pod-range", state.pod_range(cluster), "--folder", folder.node(cluster), "--images", folder.images]
    words += ["--token-file", folder.node_token(cluster)]
    yield Part(f"{cluster}-node", "panal.local.node", _words(words), {}, *own)
    words = ["--kubeconfig", folder.admin(cluster), "--volumes", folder.volumes(cluster)]
    yield Part(f"{cluster}-controllers", "panal.local.controllers", _words(words), {}, *own)


def _hub(folder: Folder, state: State) -> Part:
    words = _words(["hub", "--kubeconfig", folder.admin(HUB)])
    return Part("hub-ocm", "panal.local.ocm", words, {}, [folder.admin(HUB)], [(state.api_address(HUB), state.port)])


def _program(folder: Folder, state: State, program: Program) -> Part:
    env = {**program.env, "KUBECONFIG": str(folder.admin(HUB)), "POD_NAME": program.name}
    return Part(f"hub-{program.name}", program.entry, (), env, [folder.admin(HUB)], [(state.api_address(HUB), state.port)])


def _words(words: Sequence[object]) -> tuple[str, ...]:
    return tuple(map(str, words))
