"""The controller behind an API server that refuses or fails one write of three. `test_soak_faults` has more."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from benchmarks.control_plane import ROOT
from benchmarks.control_plane.hub import Hub, running

from fault_runs import completes_with_each_work_created_once, join
from faulty_api import CONFLICT, FAILING, Fault

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def hub() -> Iterator[Hub]:
    with running(audit=True) as found:
        found.install(ROOT)
        join(found)
        yield found


@pytest.mark.parametrize("fault", [CONFLICT, FAILING], ids=lambda fault: fault.name)
def test_a_run_completes_and_each_work_is_created_once(hub: Hub, fault: Fault) -> None:
    completes_with_each_work_created_once(hub, fault)
