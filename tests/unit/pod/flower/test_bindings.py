"""One certificate is one collaborator: which node may join, and when another may replace it."""

from __future__ import annotations

import pytest

from panal.pod.tools.flower.bindings import JOINS, PERIOD, SILENT, Bindings, Caller, RefusedError, read_caller


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


ONE, OTHER_POD, NAMELESS = Caller("c1", "pod-a"), Caller("c1", "pod-b"), Caller("c1", "")
TWO = Caller("c2", "pod-c")


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def bindings(clock: Clock) -> Bindings:
    """Node 1 belongs to c1 and runs in pod-a."""
    found = Bindings(clock)
    found.may_join(ONE)
    assert found.join(ONE, 1) is None
    return found


def refused(reason: str) -> pytest.RaisesExc[RefusedError]:
    return pytest.RaisesExc(RefusedError, check=lambda error: error.reason == reason)


@pytest.mark.parametrize("second", [OTHER_POD, NAMELESS])
def test_a_second_node_is_refused_while_the_first_is_alive(bindings: Bindings, clock: Clock, second: Caller) -> None:
    for _ in range(10):
        clock.now += SILENT - 1
        bindings.check(ONE, 1)  # a heartbeat
        with refused("SecondCollaborator"):
            bindings.may_join(second)
        with refused("SecondCollaborator"):
            bindings.join(second, 2)  # registered before the first one
    bindings.check(ONE, 1)


def test_a_node_without_an_instance_is_not_a_restart() -> None:
    bindings = Bindings(Clock())
    bindings.join(NAMELESS, 1)
    with refused("SecondCollaborator"):
        bindings.may_join(NAMELESS)


def test_a_node_restarted_in_its_pod_replaces_the_previous_one_at_once(bindings: Bindings) -> None:
    bindings.may_join(ONE)
    bindings.check(ONE, 1)  # registration does not replace a node
    assert bindings.join(ONE, 2) == 1
    bindings.check(ONE, 2)
    with refused("ForeignNode"):
        bindings.check(ONE, 1)
    assert bindings.join(ONE, 2) is None  # repeated request


def test_a_node_of_another_pod_replaces_a_silent_or_deactivated_one(bindings: Bindings, clock: Clock) -> None:
    clock.now += SILENT
    assert bindings.join(OTHER_POD, 2) == 1
    bindings.leave(ONE, 1)  # too late, without effect
    with refused("SecondCollaborator"):
        bindings.may_join(ONE)
    bindings.leave(OTHER_POD, 2)
    assert bindings.join(ONE, 3) == 2


def test_a_cluster_uses_only_its_own_node(bindings: Bindings) -> None:
    bindings.join(TWO, 2)
    for who, node, what in (
        (TWO, 1, "another cluster"),
        (ONE, 2, "another cluster"),
        (ONE, 99, "that is unknown"),
        (Caller("c3", ""), 1, "another"),
    ):
        with pytest.raises(RefusedError, match=f"{who.cluster} names a node .*{what}") as caught:
            bindings.check(who, node)
        assert caught.value.reason == "ForeignNode"
    with refused("ForeignNode"):
        bindings.join(Caller("c3", "x"), 1)  # with the key of another node
    bindings.leave(TWO, 1)
    with refused("SecondCollaborator"):
        bindings.may_join(OTHER_POD)  # no other node can deactivate it


@pytest.mark.parametrize(
    ("clusters", "known"),
    [
        (["c1"], True),
        (["a.b-c"], True),
        ([], False),
        ([""], False),
        (["c1", "c2"], False),
        (["c1,c2"], False),
        (["C1"], False),
        (["-c1"], False),
        (["c1\n"], False),
    ],
)
def test_a_request_has_exactly_one_cluster(clusters: list[str], known: bool) -> None:
    if known:
        assert read_caller(clusters, ["pod"]) == Caller(clusters[0], "pod")
        assert read_caller(clusters, []).instance == read_caller(clusters, ["a", "b"]).instance == ""
        return
    with refused("NoCluster"):
        read_caller(clusters, ["pod"])


def test_registrations_of_a_cluster_are_limited() -> None:
    clock = Clock()
    bindings = Bindings(clock)
    who = Caller("c1", "pod")
    for _ in range(JOINS):
        bindings.may_join(who)
    with pytest.raises(RefusedError) as refusal:
        bindings.may_join(who)
    assert refusal.value.reason == "TooOften"
    bindings.may_join(Caller("c2", "pod"))
    clock.now += PERIOD
    bindings.may_join(who)


def test_bytes_that_arrive_prove_that_a_node_is_alive(bindings: Bindings, clock: Clock) -> None:
    clock.now += SILENT - 1
    assert bindings.heard_within(5) == []
    assert bindings.hear(ONE.cluster) == 1
    clock.now += 4
    assert bindings.heard_within(5) == [1]
    with refused("SecondCollaborator"):
        bindings.may_join(OTHER_POD)
    assert bindings.hear(TWO.cluster) is None


def test_bytes_that_are_late_do_not_keep_a_node_that_has_left(bindings: Bindings) -> None:
    bindings.leave(ONE, 1)
    assert bindings.hear(ONE.cluster) == 1
    assert bindings.heard_within(5) == []
    bindings.may_join(OTHER_POD)
