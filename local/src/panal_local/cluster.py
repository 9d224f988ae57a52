"""A cluster as one process with one event loop: its API server, its control loops, its node and its part of Open Cluster Management.

They communicate only through the API server, over HTTP, so each of them also works with other API servers. Long operations run in threads,
so that the API server stays responsive. An unhandled error ends the process, and the supervisor restarts it.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from contextlib import suppress
from importlib import import_module
from pathlib import Path

import uvloop

from panal.kube.client import Client
from panal.kube.loop import together
from panal_local.apiserver.identity import BadTokenFile
from panal_local.apiserver.kinds import builtin_resources
from panal_local.apiserver.run import Config as ServerConfig
from panal_local.apiserver.run import serving
from panal_local.apiserver.store import Busy
from panal_local.controllers.run import run as run_controllers
from panal_local.logs import log_to_stdout
from panal_local.node.agent import Config as NodeConfig
from panal_local.node.agent import serve as serve_node
from panal_local.ocm import agent, crds, hub
from panal_local.supervisor.folder import HUB, Folder
from panal_local.supervisor.state import State, load

# Modules that libraries import when they are first used.
IMPORTED_LATE = ("anyio._backends._asyncio", "cryptography.hazmat.backends.openssl.backend", "encodings.idna", "httpcore2", "truststore")


def warm_up() -> None:
    """Imports modules and creates schemas that every cluster needs, once, before the clusters are forked."""
    for module in IMPORTED_LATE:
        import_module(module)
    for resource in builtin_resources():
        resource.load_schema()
    crds.hub(), crds.spoke()


def main(root: str, cluster: str) -> None:
    """Runs until SIGTERM. Pods keep running, and the next process of the cluster adopts them."""
    log_to_stdout()
    folder = Folder(Path(root))
    state = load(folder)
    assert state
    try:
        with suppress(asyncio.CancelledError):
            uvloop.run(_until_terminated(folder, state, cluster))
    except (Busy, BadTokenFile, OSError) as error:
        sys.exit(f"{cluster}: {error}")


async def _until_terminated(folder: Folder, state: State, cluster: str) -> None:
    task = asyncio.current_task()
    assert task
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    async with (
        serving(_server(folder, state, cluster)) as socket,
        Client.from_kubeconfig(folder.admin(cluster), socket=socket) as client,
    ):
        controllers = run_controllers(client, folder.volumes(cluster), folder.authority(cluster).read_text())
        await together(controllers, serve_node(_node(folder, state, cluster), client), _ocm(folder, state, cluster, client))


def _server(folder: Folder, state: State, cluster: str) -> ServerConfig:
    agents = folder.agent_tokens if cluster == HUB else None
    return ServerConfig(folder.apiserver(cluster), state.api_address(cluster), state.port, agents, folder.node_token(cluster))


def _node(folder: Folder, state: State, cluster: str) -> NodeConfig:
    address, pods = state.node_address(cluster), state.pod_range(cluster)
    return NodeConfig(folder.admin(cluster), cluster, address, pods, folder.node(cluster), folder.images, folder.node_token(cluster))


async def _ocm(folder: Folder, state: State, cluster: str, client: Client) -> None:
    if cluster == HUB:
        await hub.run(client)
        return
    async with Client.from_kubeconfig(folder.hub_access(cluster)) as at_hub:
        await agent.run(at_hub, client, cluster, state.server(HUB))
