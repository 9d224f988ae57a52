"""The table of benchmarks/control_plane."""

import pytest
from benchmarks.control_plane.table import ROWS, blocked, latency, percentile, table


@pytest.mark.parametrize(("share", "expected"), [(0.0, 1), (0.05, 1), (0.06, 2), (0.5, 10), (0.51, 11), (0.99, 20), (1.0, 20)])
def test_a_percentile_is_one_of_the_values(share: float, expected: float) -> None:
    assert percentile([*range(20, 0, -1)], share) == expected


def test_times_become_milliseconds_of_rows() -> None:
    found = latency("progress_to_status", [0.3, 0.1, 0.2]) | blocked("burst", [0.001, 0.05])
    assert found == pytest.approx(
        {"progress_to_status_p50_ms": 200, "progress_to_status_max_ms": 300, "blocked_burst_p99_ms": 50, "blocked_burst_max_ms": 50}
    )
    assert found.keys() <= ROWS.keys()


def test_the_first_checkout_is_divided_by_each_other_one() -> None:
    columns = {"this": {"works_per_s": 300.0, "rss_one_run_mib": 12.5}, "main": {"works_per_s": 150.0}, "old": {"works_per_s": 0.0}}
    assert table("30 clusters", columns).splitlines() == [
        "| 30 clusters | this | main | old | ÷ main | ÷ old |",
        "| --- | --- | --- | --- | --- | --- |",
        "| RSS with one run, MiB | 12.5 | – | – | – | – |",
        "| works a second in the burst | 300 | 150 | 0.00 | 2.00 | – |",
    ]
