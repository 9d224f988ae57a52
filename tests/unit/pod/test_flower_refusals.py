from panal.pod.tools.flower_refusals import LINES, PERIOD, Refusals


def test_a_flood_of_one_cluster_is_cut_and_counted_and_hides_nobody():
    now = [0.0]
    refusals = Refusals(lambda: now[0])
    told = [line for number in range(10 * LINES) for line in refusals.lines("c1", f"line {number}")]
    assert told == [f"line {number}" for number in range(LINES)]
    assert refusals.lines("c2", "another's") == ["another's"]
    now[0] += PERIOD
    assert refusals.lines("c1", "later") == [f"refused: cluster=c1 {9 * LINES} more times, not logged one by one", "later"]
