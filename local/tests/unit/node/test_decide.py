"""Which containers start or stop next, as tables of Pods."""

from pathlib import Path

import pytest

from panal_local.node.decide import Container, decide, finished, initialized
from panal_local.node.records import Attempt, Ended

NOW = 1000.0


def attempt(number=0, code=None, ended=NOW - 1, started=NOW - 2):
    return Attempt(number, Path("x"), started, None if code is None else Ended(code, 0, ended))


def init(name="i", policy="OnFailure", *attempts):
    return Container(name, "init", policy, attempts)


def sidecar(name="s", *attempts, started=True):
    return Container(name, "sidecar", "Always", attempts, started=started, ready=started)


def main(name="m", policy="Never", *attempts):
    return Container(name, "main", policy, attempts, started=True, ready=True)


RUNS, OK, BAD = attempt(), attempt(code=0), attempt(code=1)


@pytest.mark.parametrize(
    ("containers", "start", "stop", "over"),
    [
        pytest.param([init(), init("j"), main()], ["i"], [], False, id="init containers one after the other"),
        pytest.param([init("i", "OnFailure", RUNS), main()], [], [], False, id="an init container is waited for"),
        pytest.param([init("i", "OnFailure", OK), init("j"), main()], ["j"], [], False, id="then the next"),
        pytest.param([init("i", "OnFailure", OK), main(), main("n")], ["m", "n"], [], False, id="then all main containers"),
        pytest.param([init("i", "Never", BAD), main()], [], [], True, id="an init container that fails for good fails the Pod"),
        pytest.param([init("i", "OnFailure", BAD), main()], ["i"], [], False, id="or restarts"),
        pytest.param([sidecar(), main()], ["s"], [], False, id="a sidecar first"),
        pytest.param([sidecar("s", RUNS, started=False), main()], [], [], False, id="a sidecar that has not started is waited for"),
        pytest.param([sidecar("s", RUNS), main()], ["m"], [], False, id="one that has is not"),
        pytest.param([sidecar("s", BAD), main("m", "Never", RUNS)], ["s"], [], False, id="a sidecar restarts beside the main container"),
        pytest.param([sidecar("s", BAD), init("i", "Never", RUNS), main()], ["s"], [], False, id="and beside a later init container"),
        pytest.param([sidecar("s", RUNS), sidecar("t", RUNS), main("m", "Never", OK)], [], ["t"], False, id="the last sidecar ends first"),
        pytest.param([sidecar("s", RUNS), sidecar("t", OK), main("m", "Never", BAD)], [], ["s"], False, id="then the one before"),
        pytest.param([sidecar("s", BAD), main("m", "Never", OK)], [], [], True, id="and the Pod is over; no sidecar starts again"),
        pytest.param([main("m", "OnFailure", BAD), main("n", "OnFailure", OK)], ["m"], [], False, id="OnFailure"),
        pytest.param([main("m", "Always", OK)], ["m"], [], False, id="Always"),
        pytest.param([main("m", "Never", OK), main("n", "Never", RUNS)], [], [], False, id="a Pod lasts as long as one main container"),
    ],
)
def test_the_next_step(containers, start, stop, over):
    plan = decide(containers, NOW, ending=False)
    assert (plan.start, plan.stop, plan.over) == (start, stop, over)


@pytest.mark.parametrize(
    ("containers", "stop", "over"),
    [
        ([sidecar("s", RUNS), main("m", "Always", RUNS), main("n", "Always", BAD)], ["m"], False),
        ([sidecar("s", RUNS), init("i", "Never", RUNS), main()], ["i"], False),
        ([sidecar("s", RUNS), main("m", "Always", OK)], ["s"], False),
        ([sidecar("s", OK), main("m", "Always", OK)], [], True),
        ([main()], [], True),
    ],
)
def test_a_deleted_pod_stops_main_containers_before_sidecars_and_starts_nothing(containers, stop, over):
    plan = decide(containers, NOW, ending=True)
    assert (plan.start, plan.stop, plan.over) == ([], stop, over)


@pytest.mark.parametrize(
    ("number", "waits"),
    [(0, 0), (1, 10), (2, 20), (3, 40), (5, 160), (6, 300), (50, 300)],
)
def test_back_off_doubles_from_the_second_end_up_to_five_minutes(number, waits):
    ended = attempt(number, 1, ended=NOW)
    plan = decide([main("m", "Always", ended)], NOW, ending=False)
    assert plan.waits == ({"m": NOW + waits} if waits else {})
    assert decide([main("m", "Always", ended)], NOW + waits, ending=False).start == ["m"]


def test_a_container_that_ran_long_restarts_at_once():
    ended = attempt(7, 1, started=NOW - 601, ended=NOW)
    assert decide([main("m", "Always", ended)], NOW, ending=False).start == ["m"]


def test_a_pod_stays_initialized_when_a_sidecar_fails():
    assert not initialized([sidecar("s", BAD), main()])
    assert initialized([sidecar("s", BAD), main("m", "Never", RUNS)])
    assert not finished([sidecar("s", BAD), main("m", "Never", RUNS)])
