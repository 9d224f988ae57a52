"""The command line: `hub` runs a hub's controllers, `agent` the agents of one managed cluster."""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import logging
import signal
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

import yaml

from panal.api.ocm import crds
from panal.kube.backoff import Backoff
from panal.kube.client import Client
from panal.kube.errors import ConfigError, KubeError
from panal.kube.logs import log_to_stdout
from panal.local.ocm import agent, hub
from panal.local.ocm.clusters import GRACE
from panal.local.ocm.writing import serve

log = logging.getLogger("panal.local.ocm")

STARTING = Backoff(first=0.2, cap=5)


def main() -> None:
    given = _arguments()
    log_to_stdout()
    try:
        with suppress(asyncio.CancelledError):
            asyncio.run(_until_told(lambda: _hub(given) if given.part == "hub" else _agent(given)))
    except ConfigError as error:
        sys.exit(f"panal.local.ocm: {error}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="panal.local.ocm", description="Open Cluster Management for the local platform.")
    parts = parser.add_subparsers(dest="part", required=True)
    hub_part = parts.add_parser("hub", help="the controllers of the hub")
    hub_part.add_argument("--kubeconfig", type=Path, required=True)
    hub_part.add_argument("--lease-grace", type=float, default=GRACE, help="a cluster is lost after this many times its lease's seconds")
    agent_part = parts.add_parser("agent", help="the agents of one managed cluster")
    agent_part.add_argument("--hub-kubeconfig", type=Path, required=True, help="with the cluster's own identity")
    agent_part.add_argument("--kubeconfig", type=Path, required=True, help="of the managed cluster")
    agent_part.add_argument("--cluster", required=True, help="its name on the hub")
    agent_part.add_argument("--lease-seconds", type=int, default=60, help="how often the lease is renewed, of a cluster that is new")
    agent_part.add_argument(
        "--health-check-seconds", type=float, default=agent.HEALTH_CHECK, help="how often the cluster's own API server is looked at"
    )
    return parser.parse_args()


async def _until_told(work: Callable[[], Awaitable[None]]) -> None:
    task = asyncio.current_task()
    assert task
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    await work()


async def _hub(given: argparse.Namespace) -> None:
    async with Client.from_kubeconfig(given.kubeconfig) as client:
        await _started(lambda: serve(client, crds.hub()))
        await _started(lambda: hub.prepare(client))
        await hub.run(client, given.lease_grace)


async def _agent(given: argparse.Namespace) -> None:
    async with Client.from_kubeconfig(given.hub_kubeconfig) as hub_client, Client.from_kubeconfig(given.kubeconfig) as spoke:
        await _started(lambda: serve(spoke, crds.spoke()))
        await _started(lambda: agent.prepare(hub_client, spoke, given.cluster, given.lease_seconds))
        await agent.run(hub_client, spoke, given.cluster, hub_hash(given.hub_kubeconfig), given.health_check_seconds)


async def _started(step: Callable[[], Awaitable[None]]) -> None:
    """An API server that is not there yet, or not all of it, is waited for."""
    failures = 0
    while True:
        try:
            return await step()
        except KubeError as error:
            failures += 1
            log.warning("starting: %s", error)
            await asyncio.sleep(STARTING.delay(failures))


def hub_hash(kubeconfig: Path) -> str:
    """Tells hubs apart: the SHA-256 of the hub's URL."""
    server = yaml.safe_load(kubeconfig.read_text())["clusters"][0]["cluster"]["server"]
    return hashlib.sha256(str(server).encode()).hexdigest()


main()
