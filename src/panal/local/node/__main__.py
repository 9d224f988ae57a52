"""`python -m panal.local.node --kubeconfig F --name N --address A --pod-range R --folder DIR --images DIR`

On SIGTERM the node ends and its Pods stay, to be adopted by the next one. With `--drain --folder DIR` it ends every container of the folder
and itself, without any API server.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from ipaddress import ip_address, ip_network
from pathlib import Path

from panal.kube.logs import log_to_stdout
from panal.local.node.agent import Config, serve
from panal.local.node.drain import drain


def main() -> int:
    given = _arguments().parse_args()
    log_to_stdout()
    if given.drain:
        left = asyncio.run(drain(given.folder, given.grace))
        return 1 if left else 0
    missing = [f"--{o.replace('_', '-')}" for o in ("kubeconfig", "name", "address", "pod_range", "images") if not getattr(given, o)]
    if missing:
        _arguments().error(f"{', '.join(missing)} needed")
    ip_address(given.address), ip_network(given.pod_range)
    config = Config(
        given.kubeconfig, given.name, given.address, given.pod_range, given.folder.resolve(), given.images.resolve(), given.token_file
    )
    asyncio.run(_until_terminated(config))
    return 0


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m panal.local.node", description="A node whose Pods are processes.")
    parser.add_argument("--kubeconfig", type=Path, help="of an administrator of the cluster")
    parser.add_argument("--name", help="of the Node")
    parser.add_argument("--address", help="the node's own loopback address, such as 127.40.1.1")
    parser.add_argument("--pod-range", help="loopback addresses for Pods, such as 127.41.1.0/24")
    parser.add_argument("--folder", type=Path, required=True, help="where the node keeps its state")
    parser.add_argument("--images", type=Path, help="the image store")
    parser.add_argument("--token-file", type=Path, help="bearer token of the log server; default FOLDER/token")
    parser.add_argument("--drain", action="store_true", help="end every container of the folder, then return")
    parser.add_argument("--grace", type=float, default=5.0, help="seconds between SIGTERM and SIGKILL of --drain")
    return parser


async def _until_terminated(config: Config) -> None:
    task = asyncio.create_task(serve(config))
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    try:
        await task
    except asyncio.CancelledError:
        return


if __name__ == "__main__":
    sys.exit(main())
