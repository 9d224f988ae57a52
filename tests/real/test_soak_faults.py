"""The controller behind an API server that throttles, is slow, or whose watches receive nothing more (`make soak`)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from benchmarks.control_plane import ROOT
from benchmarks.control_plane.hub import Hub, running

from fault_runs import completes_with_each_work_created_once, join
from faulty_api import SILENT, SLOW, THROTTLED, Fault

pytestmark = [pytest.mark.real, pytest.mark.soak]


@pytest.fixture(scope="module")
def hub() -> Iterator[Hub]:
    with running(audit=True) as found:
        found.install(ROOT)
        join(found)
        yield found


@pytest.mark.parametrize("fault", [THROTTLED, SLOW, SILENT], ids=lambda fault: fault.name)
def test_a_run_completes_and_each_work_is_created_once(hub: Hub, fault: Fault) -> None:
    completes_with_each_work_created_once(hub, fault)
