"""One local platform for all tests of this folder, which are one group of xdist and so run in one process."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from platform_engine import Platform
from runs import label_clusters

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.xdist_group("embedded"))


@pytest.fixture(scope="session")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    with Platform.at(tmp_path_factory.mktemp("platform")) as started:
        label_clusters(started)
        yield started
