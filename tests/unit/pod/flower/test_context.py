"""A missing key of node config or run config is named, in the only exception text that leaves a site by default."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from panal.pod.tools.flower import client_hook, watch
from panal.pod.tools.flower.context import MissingRunConfig, NodeConfig, RunConfig, naming_missing_keys, with_key
from panal.pod.tools.flower.errors import incoming_error, outgoing_error


def context() -> Any:
    return SimpleNamespace(node_config={"partition-id": 0}, run_config={"lr": 0.1})


def reason_of(raised: Exception) -> str:
    """An exception as Flower writes it into a reply."""
    return str(type(raised)) + ":<'" + str(raised) + "'>"


@pytest.mark.parametrize(
    ("config", "key", "name", "sentence"),
    [
        ("node_config", "partition-idx", "MissingNodeConfig", "the node config has no key 'partition-idx'"),
        ("run_config", "local-epochs", "MissingRunConfig", "the run config has no key 'local-epochs'"),
    ],
)
def test_a_missing_key_is_named_on_the_hub(config: str, key: str, name: str, sentence: str) -> None:
    with pytest.raises(KeyError) as caught:
        getattr(naming_missing_keys(context()), config)[key]
    said = outgoing_error(2, reason_of(caught.value), share=False)
    assert said == f"exception={name} message={sentence}"
    assert outgoing_error(2, said, share=False) == said
    assert incoming_error(2, said) == (name, sentence)
    assert with_key(*incoming_error(2, said)) == f"{name}: {sentence}"


@pytest.mark.parametrize("key", ["patient 4711", "", "a" * 65, "a'b", "a\nb", 4711])
def test_other_keys_stay_at_the_site(key: Any) -> None:
    with pytest.raises(KeyError) as caught:
        NodeConfig()[key]
    assert outgoing_error(2, reason_of(caught.value), share=False) == "exception=MissingNodeConfig"


@pytest.mark.parametrize(
    "reason",
    [
        "<class 'KeyError'>:<'the node config has no key 'x''>",
        "<class 'a.MissingNodeConfig'>:<'the node config has no key 'x' of patient 4711'>",
        "<class 'a.MissingRunConfig'>:<'patient 4711'>",
    ],
)
def test_other_texts_stay_at_the_site(reason: str) -> None:
    assert " message=" not in outgoing_error(2, reason, share=False)
    assert with_key(*incoming_error(2, outgoing_error(2, reason, share=True))) in ("KeyError", "MissingNodeConfig", "MissingRunConfig")


def test_the_configs_are_dictionaries() -> None:
    config = RunConfig({"a": 1})
    assert (config["a"], config.get("b"), "b" in config, {**config}) == (1, None, False, {"a": 1})
    for again in (copy.deepcopy(config), pickle.loads(pickle.dumps(config))):
        assert again == config
        with pytest.raises(MissingRunConfig):
            again["b"]


def test_server_app_and_client_app_get_the_configs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    client = ModuleType("run_clientapp")
    message = SimpleNamespace(has_content=lambda: False, metadata=SimpleNamespace(message_type="train"))
    found = context()
    client.__dict__.update(
        pull_task_input=lambda _client: (message, found, "run", "fab"), push_message=None, run_clientapp=None, flwr_exit=None
    )
    client_hook.patch(client)
    handed, given, run, fab = client.pull_task_input(None)
    assert (handed, run, fab, type(given.node_config)) == (message, "run", "fab", NodeConfig)

    server, seen = ModuleType("run_serverapp"), []
    server.__dict__.update(run=lambda grid, context, server_app_dir: seen.append((server_app_dir, type(context.run_config))))
    monkeypatch.setattr(watch, "_watch", None)
    watch.patch(server)
    grid = SimpleNamespace(push_messages=None, pull_messages=None, get_node_ids=None)
    server.run(grid=grid, server_app_dir=str(tmp_path), context=context())
    assert seen == [(str(tmp_path), RunConfig)]
