"""`python -m panal.local.controllers --kubeconfig FILE --volumes FOLDER`."""

from __future__ import annotations

import argparse
import asyncio
import base64
import signal
from contextlib import suppress
from pathlib import Path

import yaml

from panal.kube.client import Client
from panal.kube.logs import log_to_stdout
from panal.local.controllers.run import run


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="panal.local.controllers", description="The loops of a Kubernetes control plane that panal needs."
    )
    parser.add_argument("--kubeconfig", type=Path, required=True)
    parser.add_argument("--volumes", type=Path, required=True, help="where folders for claims are made")
    given = parser.parse_args()
    log_to_stdout()
    with suppress(asyncio.CancelledError):
        asyncio.run(_until_told(given.kubeconfig, given.volumes))


async def _until_told(kubeconfig: Path, volumes: Path) -> None:
    task = asyncio.current_task()
    assert task
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    async with Client.from_kubeconfig(kubeconfig) as client:
        await run(client, volumes, certificate(kubeconfig))


def certificate(kubeconfig: Path) -> str:
    """The PEM text by which clients of this kubeconfig's cluster check its API server."""
    cluster = yaml.safe_load(kubeconfig.read_text())["clusters"][0]["cluster"]
    if "certificate-authority" in cluster:
        return Path(kubeconfig.parent, cluster["certificate-authority"]).read_text()
    return base64.b64decode(cluster["certificate-authority-data"]).decode()


main()
