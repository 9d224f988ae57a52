"""The reference page says what the code says."""

from pathlib import Path

from panal.hub.scrape.reference import renewed
from panal.hub.scrape.runs import KEPT, MAX_CLUSTERS, MAX_LABEL, MAX_METRICS, MAX_OF_A_RUN, MAX_OF_CLUSTERS
from panal.hub.scrape.series import MAX_SERIES

PAGE = Path(__file__).parents[4] / "docs/reference/metrics.md"


def test_the_tables_are_those_of_the_code() -> None:
    page = PAGE.read_text()
    assert page == renewed(page), f"run: python -m panal.hub.scrape.reference {PAGE.name}"


def test_the_limits_are_those_of_the_code() -> None:
    page = PAGE.read_text()
    assert f"| clusters of a run that have series | {MAX_CLUSTERS}, " in page
    assert f"| names of metrics of a run | {MAX_METRICS} of the app, and {MAX_METRICS} of the clusters |" in page
    assert f"| length of a name of a metric, and of a reason | {MAX_LABEL} characters |" in page
    each = MAX_OF_CLUSTERS // MAX_CLUSTERS
    assert f"| {MAX_OF_A_RUN}, and {each} for each cluster: at most {MAX_OF_A_RUN + MAX_OF_CLUSTERS} |" in page
    assert f"| {MAX_SERIES:,}: " in page
    assert page.count(f"At most {MAX_METRICS} ") == 2
    assert KEPT.total_seconds() == 3600
    assert "which stays for an hour" in page
