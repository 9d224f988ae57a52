"""A hub's API server, as a process, for the tests of a module: with panal's and OCM's kinds, and no controller."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from embedded import Embedded
from panal.api.crd import crd
from panal.kube.client import Client
from panal_local.ocm import crds
from panal_local.ocm.writing import serve


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Embedded]:
    started = Embedded(tmp_path_factory.mktemp("hub")).start()
    try:
        asyncio.run(_define(started.kubeconfig))
        yield started
    finally:
        started.stop()


async def _define(kubeconfig: Path) -> None:
    async with Client.from_kubeconfig(kubeconfig) as client:
        await serve(client, [crd(), *crds.hub()])
