import logging

from panal.pod.tools.flower.hooks import RateLimit
from panal.pod.tools.refusals import LINES, PERIOD, Refusals


def test_refusals_of_a_cluster_are_limited_and_counted():
    now = [0.0]
    refusals = Refusals(lambda: now[0])
    found = [line for number in range(10 * LINES) for line in refusals.lines("c1", f"line {number}")]
    assert found == [f"line {number}" for number in range(LINES)]
    assert refusals.lines("c2", "another's") == ["another's"]
    now[0] += PERIOD
    assert refusals.lines("c1", "later") == [f"refused: cluster=c1 {9 * LINES} more times, not logged one by one", "later"]


def test_only_lines_about_requests_are_limited():
    def record(name: str, text: str, at: float) -> logging.LogRecord:
        made = logging.LogRecord(name, logging.INFO, "", 0, text, (), None)
        made.created = at
        return made

    limit = RateLimit()
    flood = [limit(record("flwr", "[Fleet.GetRun] Requesting", 1000.0)) for _ in range(2 * RateLimit.LINES)]
    assert flood.count(True) == RateLimit.LINES
    assert not limit(record("uvicorn.access", "x", 1001.0))
    assert limit(record("flwr", "aggregate_train: Received 2 results", 1001.0))
    assert limit(record("flwr", "[Fleet.GetRun] Requesting", 1000.0 + RateLimit.PERIOD))
