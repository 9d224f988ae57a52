"""What all tests share: property tests that are repeatable, and no silent skips where CI is set."""

import os
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from stories import stories  # noqa: F401  a fixture

pytest.register_assert_rewrite("runs", "run_suite", "failure_suite", "rights_suite", "kill_suite")

# Derandomized: a run of the tests says the same twice. A busy machine must not make a test fail.
settings.register_profile("panal", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True)
settings.load_profile("panal")


def refuse_skip(report: Any) -> None:
    if report.skipped and os.environ.get("CI") and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = f"nothing may be skipped where CI is set: {reason}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Iterator[Any]:
    report = yield
    refuse_skip(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Iterator[Any]:
    report = yield
    refuse_skip(report)
    return report
