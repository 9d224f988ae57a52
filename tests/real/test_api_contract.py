"""The recorded answers of tests/support/contract.py are those of a real API server still."""

import pytest

import contract

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def answers(bare_api):
    return contract.run(bare_api.kubeconfig)


@pytest.mark.parametrize("name", [case.name for case in contract.CASES])
def test_the_real_server_answers_as_recorded(name, answers):
    assert contract.differences(contract.recorded()[name], answers[name]) == []
