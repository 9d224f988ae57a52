"""The embedded server answers as the real one: see tests/support/contract.py."""

from __future__ import annotations

import pytest

import contract
from embedded import Embedded


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    server = Embedded(tmp_path_factory.mktemp("contract")).start()
    try:
        return contract.run(server.kubeconfig)
    finally:
        assert server.stop() == 0, server.log()


@pytest.fixture(scope="module")
def real():
    return contract.recorded()


def test_every_case_is_recorded_once(real):
    assert sorted(real) == sorted(case.name for case in contract.CASES)


@pytest.mark.parametrize("name", [case.name for case in contract.CASES])
def test_the_answer_is_the_real_server_s(name, real, found):
    but, _ = contract.DIFFERENCES.get(name, ((), ""))
    assert contract.differences(real[name], found[name], but) == []


@pytest.mark.parametrize("name", contract.DIFFERENCES)
def test_what_is_said_to_differ_does(name, real, found):
    assert contract.differences(real[name], found[name])
