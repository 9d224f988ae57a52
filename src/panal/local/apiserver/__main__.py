"""`python -m panal.local.apiserver --folder DIR --listen 127.0.0.1:PORT`."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from pathlib import Path

import uvloop

from panal.kube.logs import log_to_stdout
from panal.local.apiserver.identity import BadTokenFile
from panal.local.apiserver.run import Config, serve
from panal.local.apiserver.store import Busy


def main() -> None:
    parser = argparse.ArgumentParser(prog="panal.local.apiserver", description="A Kubernetes API server for the local platform.")
    parser.add_argument("--folder", type=Path, required=True, help="where everything of it is kept")
    parser.add_argument("--listen", required=True, metavar="ADDRESS:PORT", help="a loopback address, and a port")
    parser.add_argument("--token-auth-file", type=Path, help='a CSV of token,user,uid,"group1,group2"')
    parser.add_argument("--node-token-file", type=Path, help="the token by which nodes hand out logs")
    given = parser.parse_args()
    log_to_stdout()
    host, _, port = given.listen.rpartition(":")
    if not host.startswith("127.") or not port.isdigit():
        parser.error(f"--listen {given.listen}: a loopback address and a port are needed, such as 127.0.0.1:6443")
    config = Config(given.folder, host, int(port), given.token_auth_file, given.node_token_file)
    try:
        uvloop.run(_until_told(config))
    except (Busy, BadTokenFile, OSError) as error:
        sys.exit(f"panal.local.apiserver: {error}")


async def _until_told(config: Config) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await serve(config, stop)


main()
