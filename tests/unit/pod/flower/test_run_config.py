"""spec.server.runConfig as the launcher reads it: in the types that the app declares, or refused by name."""

from __future__ import annotations

import json
from typing import Any

import pytest

from panal.api.run_config import as_json
from panal.api.types import Server, Spec
from panal.pod.tools.files import RunError
from panal.pod.tools.flower.control import overrides
from panal.runtimes.flower import Flower
from panal_local.node.environment import expand

DECLARED = {"num-server-rounds": 1, "lr": 0.1, "name": "a", "augment": False, "optimizer": {"momentum": 0.9, "steps": 3}}
PROJECT = {"tool": {"flwr": {"app": {"config": DECLARED}}}}


def launched(monkeypatch: pytest.MonkeyPatch, given: dict[str, Any]) -> dict[str, Any]:
    """What Flower gets, after the spec, the container's environment and the kubelet's expansion of variables."""
    spec = Spec(framework="flower", server=Server.model_validate({"image": "i", "runConfig": given}))
    env = {entry["name"]: entry["value"] for entry in Flower().aggregator(spec).main["env"]}
    monkeypatch.setenv("PANAL_RUN_CONFIG", expand(env.get("PANAL_RUN_CONFIG", ""), env))
    monkeypatch.setenv("PANAL_ROUNDS", "7")
    return overrides(PROJECT)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, {}),
        ({"lr": 0.5, "name": "b", "augment": True}, {"lr": 0.5, "name": "b", "augment": True}),
        ({"lr": 1}, {"lr": 1.0}),  # an API server changes 1.0 to 1
        ({"optimizer.steps": 4.0, "optimizer.momentum": 0}, {"optimizer.steps": 4, "optimizer.momentum": 0.0}),
        ({"name": "$(PANAL_ROUNDS) $$ $HOME \\ \"'\n é"}, {"name": "$(PANAL_ROUNDS) $$ $HOME \\ \"'\n é"}),
        ({"num-server-rounds": 9}, {"num-server-rounds": 9}),  # an explicit value wins
    ],
)
def test_values_have_the_declared_types(monkeypatch: pytest.MonkeyPatch, given: dict[str, Any], expected: dict[str, Any]) -> None:
    found = launched(monkeypatch, given)
    assert found == {"num-server-rounds": 7} | expected
    assert {key: type(value) for key, value in found.items() if key in expected} == {key: type(value) for key, value in expected.items()}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"lrr": 0.5}, "the app declares no key 'lrr'."),
        ({"optimizer": 1}, "the app declares no key 'optimizer'."),
        ({"lr": "fast"}, "'lr' is a text, and the app declares a number."),
        ({"lr": True}, "'lr' is a boolean, and the app declares a number."),
        ({"augment": 1}, "'augment' is a whole number, and the app declares a boolean."),
        ({"name": 1.5}, "'name' is a number, and the app declares a text."),
        ({"optimizer.steps": 4.5}, "'optimizer.steps' is a number, and the app declares a whole number."),
    ],
)
def test_undeclared_keys_and_wrong_types_are_refused_by_name(monkeypatch: pytest.MonkeyPatch, given: dict[str, Any], said: str) -> None:
    with pytest.raises(RunError) as caught:
        launched(monkeypatch, given)
    assert caught.value.reason == "InvalidSpec"
    assert caught.value.message.startswith(f"spec.server.runConfig: {said}")
    assert caught.value.message.endswith("are: augment, lr, name, num-server-rounds, optimizer.momentum, optimizer.steps")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"a": [1]}, "a: a value must be a string, a number or a boolean"),
        ({"a": {"b": 1}}, "write a key of a table with a dot"),
        ({"a": None}, "a: a value must be a string"),
        ({"a": float("nan")}, "a: a number must be finite"),
        ({"a": 2**63}, "a: an integer must fit into 64 bits"),
        ({"": 1}, "a key must have 1 to 128 characters"),
        ({"k" * 129: 1}, "a key must have 1 to 128 characters"),
        ({str(n): 1 for n in range(101)}, "more than 100 keys"),
        ({str(n): "x" * 400 for n in range(100)}, "32768 bytes"),
        ([1], "dictionary"),
    ],
)
def test_an_invalid_run_config_is_refused_by_the_parser(given: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Server.model_validate({"image": "i", "runConfig": given})


def test_the_variable_fits_into_an_environment() -> None:
    largest = Server.model_validate({"runConfig": {str(n): "$" * 300 for n in range(100)}})
    assert len(as_json(largest.run_config).replace("$", "$$")) < 128 * 1024
    assert json.loads(as_json(largest.run_config)) == largest.run_config
