"""The stored state of a platform, in state.json: the loopback range, the port, tokens, claims and programs.

Cluster number 0 is the hub, 1 is cluster1, and so on. Cluster N has these addresses in the range 127.R: 127.R.N.1 for its API server,
127.R.N.2 for its node (with the NodePorts), and 127.R.(128+N).0/24 for its Pods.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from importlib.metadata import version

from panal_local.supervisor.folder import HUB, Folder, PlatformError, write

MAX_CLUSTERS = 32  # managed clusters on one machine
CLAIM_NAME = re.compile(r"(?=.{1,253}$)[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
CLAIM_VALUE = 1024  # characters


@dataclass(frozen=True, slots=True)
class Program:
    """A program to run on the hub. `entry` is `module:function`."""

    name: str
    entry: str
    env: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class State:
    """`tokens` has for each cluster `agent`, its token for the hub, and `node`, the API server's token for the node. `claims` are
    ClusterClaims by cluster."""

    version: str
    network: int  # R of the range 127.R
    port: int  # of every API server, each at its own address
    tokens: Mapping[str, Mapping[str, str]]
    claims: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    programs: Sequence[Program] = ()

    @property
    def spokes(self) -> list[str]:
        return [name for name in self.tokens if name != HUB]

    def api_address(self, cluster: str) -> str:
        return f"127.{self.network}.{number(cluster)}.1"

    def node_address(self, cluster: str) -> str:
        return f"127.{self.network}.{number(cluster)}.2"

    def pod_range(self, cluster: str) -> str:
        return f"127.{self.network}.{128 + number(cluster)}.0/24"

    def server(self, cluster: str) -> str:
        return f"https://{self.api_address(cluster)}:{self.port}"


def number(cluster: str) -> int:
    return 0 if cluster == HUB else int(cluster.removeprefix("cluster"))


def names(count: int) -> list[str]:
    return [HUB, *(f"cluster{n}" for n in range(1, count + 1))]


def own_version() -> str:
    return version("panal-local")


def extended(state: State, clusters: int, claims: Mapping[str, Mapping[str, str]], programs: Sequence[Program]) -> State:
    """The state with at least `clusters` managed clusters, and with these claims and programs. Raises PlatformError."""
    if clusters > MAX_CLUSTERS:
        raise PlatformError(f"{clusters} clusters are too many for one machine", f"Give --clusters a number up to {MAX_CLUSTERS}.")
    wanted = [name for name in names(clusters) if name not in state.tokens]
    tokens = {**state.tokens, **{name: {"agent": secrets.token_hex(16), "node": secrets.token_hex(16)} for name in wanted}}
    unknown = sorted(claims.keys() - (tokens.keys() - {HUB}))
    if unknown:
        there = ", ".join(sorted(tokens.keys() - {HUB}))
        raise PlatformError(f"--claim names {unknown[0]}, which is not among the managed clusters ({there})", "Raise --clusters.")
    for cluster, given in claims.items():
        for name, value in given.items():
            _check_claim(cluster, name, value)
    merged = {name: {**state.claims.get(name, {}), **claims.get(name, {})} for name in sorted({*state.claims, *claims})}
    return replace(state, tokens=tokens, claims=merged, programs=tuple(programs))


def _check_claim(cluster: str, name: str, value: str) -> None:
    """Claims are created at each `up`, so an invalid one would prevent every later start. Raises PlatformError."""
    if not CLAIM_NAME.fullmatch(name):
        raise PlatformError(f"the claim {name!r} of {cluster}: its name is invalid", "Use lowercase letters, digits, - and dots.")
    if not 1 <= len(value) <= CLAIM_VALUE:
        raise PlatformError(
            f"the claim {name} of {cluster}: its value has {len(value)} characters", f"Give it 1 to {CLAIM_VALUE} characters."
        )


def load(folder: Folder) -> State | None:
    """The stored state; None if there is none. Raises PlatformError if it is unreadable or of another version."""
    try:
        content = json.loads(folder.state.read_text())
        _check_version(folder, content["version"])
        state = State(**content | {"programs": tuple(Program(**p) for p in content["programs"])})
        for cluster, tokens in state.tokens.items():
            _ = number(cluster), tokens["agent"], tokens["node"], f"{state.network:d} {state.port:d}"
    except FileNotFoundError:
        return None
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise PlatformError(
            f"{folder.state} cannot be read: {error!r}",
            f"Restore it, or choose another folder with --folder: {folder.root} holds the models of its runs.",
        ) from error
    return state


def _check_version(folder: Folder, found: str) -> None:
    if found != own_version():
        raise PlatformError(
            f"the folder {folder.root} is in use by version {found} of the local platform, and this is version {own_version()}",
            f"Use that version, or `panal down` and remove the folder, or choose another with --folder: {folder.root} holds its models.",
        )


def save(folder: Folder, state: State) -> None:
    """Writes the state and the files derived from it."""
    write(folder.state, json.dumps(asdict(state), indent=1) + "\n")
    for cluster, tokens in state.tokens.items():
        write(folder.node_token(cluster), tokens["node"])
        if cluster != HUB:
            write(folder.hub_access(cluster), _hub_access(folder, state, cluster))
    write(folder.agent_tokens, "".join(_agent(cluster, state.tokens[cluster]["agent"]) for cluster in state.spokes))


def _agent(cluster: str, token: str) -> str:
    """A line of the hub's token file."""
    group = "system:open-cluster-management"
    return f'{token},{group}:{cluster}:local,{cluster},"{group}:{cluster},{group}:managed-clusters"\n'


def _hub_access(folder: Folder, state: State, cluster: str) -> str:
    where = {"server": state.server(HUB), "certificate-authority": str(folder.authority(HUB))}
    return kubeconfig({HUB: (where, state.tokens[cluster]["agent"])})


def kubeconfig(clusters: Mapping[str, tuple[Mapping[str, str], str]]) -> str:
    """A kubeconfig, as JSON, with a context for each cluster. The values are the cluster's entry and a token."""
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": next(iter(clusters)),
        "clusters": [{"name": name, "cluster": dict(cluster)} for name, (cluster, _) in clusters.items()],
        "users": [{"name": name, "user": {"token": token}} for name, (_, token) in clusters.items()],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name}} for name in clusters],
    }
    return json.dumps(content, indent=1) + "\n"
