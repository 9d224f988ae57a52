"""What the tests of the gateways run on: a runtime and gateways that end with the test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from gateways import LOOPBACK, RUN, Background, Hub, Proxy, Runtime, Spoke
from panal.api import names


@pytest.fixture(scope="module")
def background() -> Iterator[Background]:
    loop = Background()
    yield loop
    loop.stop()


@pytest.fixture(scope="module")
def runtime(background: Background) -> Iterator[Runtime]:
    found = Runtime(background)
    found.start()
    yield found
    found.stop()


@pytest.fixture(scope="module")
def hub(runtime: Runtime, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    """One for a module's tests, with clusters c1 and c2."""
    found = Hub(tmp_path_factory.mktemp("hub"), runtime.port)
    try:
        found.start("c1", "c2")
        yield found
    finally:
        found.envoy.stop()


@pytest.fixture
def own_hub(runtime: Runtime, tmp_path: Path) -> Iterator[Hub]:
    """One that a test may change."""
    found = Hub(tmp_path / "hub", runtime.port)
    try:
        found.start("c1", "c2")
        yield found
    finally:
        found.envoy.stop()


@pytest.fixture
def spoke(tmp_path: Path) -> Iterator[Callable[..., Spoke]]:
    """Makes collaborators' gateways: `spoke(hub, "c1")` has a good certificate and is told the truth, where nothing else is said."""
    made: list[Spoke] = []

    def make(hub: Hub, cluster: str, **other: Any) -> Spoke:
        settings = {
            "address": (LOOPBACK, hub.port),
            "pair": hub.collaborators.collaborator(cluster),
            "servers": (hub.servers,),
            "protocol": names.protocol(RUN, cluster),
        } | other
        made.append(Spoke(tmp_path / f"spoke{len(made)}", **settings))
        made[-1].start()
        return made[-1]

    yield make
    for one in made:
        one.envoy.stop()


@pytest.fixture
def proxy(background: Background) -> Iterator[Proxy]:
    found = Proxy(background)
    found.start()
    yield found
    found.stop()
