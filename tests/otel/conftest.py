"""A collector for each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from otel_collector import Collector, collecting


@pytest.fixture
def collector(tmp_path: Path) -> Iterator[Collector]:
    (tmp_path / "collector").mkdir()
    with collecting(tmp_path / "collector") as found:
        yield found
