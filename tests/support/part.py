"""Runs one part of a local cluster as a program of its own, at any API server: `python part.py NAME '{"argument": "value"}'`.

apiserver    folder, listen, token_file, node_token                      hub    kubeconfig
controllers  kubeconfig, volumes                                         agent  hub_kubeconfig, kubeconfig, cluster, lease_seconds
node         kubeconfig, name, address, pod_range, folder, images
"""

from __future__ import annotations

import asyncio
import base64
import json
import signal
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import uvloop
import yaml

from panal.kube.client import Client
from panal_local.apiserver.run import Config, serving
from panal_local.apiserver.store import Busy
from panal_local.controllers.run import run as run_controllers
from panal_local.logs import log_to_stdout
from panal_local.node.agent import Config as NodeConfig
from panal_local.node.agent import serve as serve_node
from panal_local.ocm import agent, hub


def command(name: str, /, **arguments: object) -> list[str]:
    """The command line that runs the part."""
    return [sys.executable, __file__, name, json.dumps({key: str(value) for key, value in arguments.items()})]


def main() -> None:
    name, arguments = sys.argv[1:]
    log_to_stdout()
    try:
        with suppress(asyncio.CancelledError):
            uvloop.run(until_terminated(name, json.loads(arguments)))
    except Busy as error:
        sys.exit(str(error))


async def until_terminated(name: str, given: Mapping[str, str]) -> None:
    task = asyncio.current_task()
    assert task
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    await PARTS[name](**given)


async def run_apiserver(folder: str, listen: str, token_file: str = "", node_token: str = "") -> None:
    host, _, port = listen.rpartition(":")
    tokens, own = (Path(file) if file else None for file in (token_file, node_token))
    async with serving(Config(Path(folder), host, int(port), tokens, own)):
        await asyncio.Event().wait()


async def run_loops(kubeconfig: str, volumes: str) -> None:
    cluster = yaml.safe_load(Path(kubeconfig).read_text())["clusters"][0]["cluster"]
    async with Client.from_kubeconfig(kubeconfig) as client:
        await run_controllers(client, Path(volumes), base64.b64decode(cluster["certificate-authority-data"]).decode())


async def run_node(kubeconfig: str, name: str, address: str, pod_range: str, folder: str, images: str) -> None:
    config = NodeConfig(Path(kubeconfig), name, address, pod_range, Path(folder).resolve(), Path(images).resolve())
    async with Client.from_kubeconfig(kubeconfig) as client:
        await serve_node(config, client)


async def run_hub(kubeconfig: str) -> None:
    async with Client.from_kubeconfig(kubeconfig) as client:
        await hub.run(client)


async def run_agent(hub_kubeconfig: str, kubeconfig: str, cluster: str, lease_seconds: str) -> None:
    url = yaml.safe_load(Path(hub_kubeconfig).read_text())["clusters"][0]["cluster"]["server"]
    async with Client.from_kubeconfig(hub_kubeconfig) as at_hub, Client.from_kubeconfig(kubeconfig) as own:
        await agent.run(at_hub, own, cluster, url, lease_seconds=int(lease_seconds))


PARTS: dict[str, Any] = {"apiserver": run_apiserver, "controllers": run_loops, "node": run_node, "hub": run_hub, "agent": run_agent}

if __name__ == "__main__":
    main()
