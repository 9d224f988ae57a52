"""`python tests/testenv/again.py ARGUMENTS`: pytest, which runs the files of up to three failed tests a second time.

For tests that start many programs and wait for them: another job on the machine can make a wait too long. A test that fails twice has
failed. What passed only the second time is printed, because it can also be a race in panal.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable

import pytest

MOST = 3  # failed tests; more of them are no accident


class Failures:
    """A plugin that records which tests failed, and the paths among the arguments."""

    def __init__(self) -> None:
        self.tests: set[str] = set()
        self.paths: list[str] = []

    def pytest_configure(self, config: pytest.Config) -> None:
        self.paths = list(config.args)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self.tests.add(report.nodeid)


def second(arguments: Iterable[str], failures: Failures) -> list[str]:
    """The arguments of the second attempt: the files in place of the paths; empty if there is none."""
    files = sorted({test.partition("::")[0] for test in failures.tests})
    if not 0 < len(failures.tests) <= MOST:
        return []
    return [*files, *(a for a in arguments if a not in failures.paths)]


def main(arguments: list[str]) -> int:
    failures = Failures()
    code = pytest.main(arguments, plugins=[failures])
    again = second(arguments, failures) if code == pytest.ExitCode.TESTS_FAILED else []
    if not again:
        return int(code)
    sys.stdout.write(f"\nA second attempt, because these failed: {' '.join(sorted(failures.tests))}\n")
    sys.stdout.flush()
    result = subprocess.call([sys.executable, "-m", "pytest", *again])
    if result == 0:
        sys.stdout.write(f"PASSED ONLY THE SECOND TIME: {' '.join(sorted(failures.tests))}\n")
    return result


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
