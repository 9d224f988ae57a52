"""One local platform for all tests of this folder, which run in one process."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from platform_engine import Platform
from runs import label_clusters


@pytest.fixture(scope="session")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    with Platform.at(tmp_path_factory.mktemp("platform")) as started:
        label_clusters(started)
        yield started
