"""Runs the app in this process, to try it: `python simulate.py DATA [ROUNDS]` with the folder that split.py makes.

The server app gets a `Grid` that calls the client app with each message and returns its reply: no network, no ray, no other process, so an
error is a traceback of the app, and breakpoints work. Flower's own simulation, `flwr run`, gives the same numbers; it needs
`flwr[simulation]`.
"""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any
from unittest.mock import patch

from flwr.app import Context, Message, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid
from flwr.serverapp.strategy import FedAvg

SITES = 3
HERE = Path(__file__).parent


class Inline(Grid):
    """`sites` clients, numbered from 1, each with a state of its own, as between the rounds of a federation."""

    def __init__(self, app: ClientApp, config: Mapping[str, Any], sites: int) -> None:
        self._app = app
        self._contexts = {
            node: Context(1, node, {"partition-id": node - 1, "num-partitions": sites}, RecordDict(), dict(config))
            for node in range(1, sites + 1)
        }

    def set_run(self, run: Any) -> None:
        pass

    @property
    def run(self) -> Any:
        raise NotImplementedError("there is no run")

    def create_message(self, content: RecordDict, message_type: str, dst_node_id: int, group_id: str, ttl: float | None = None) -> Message:
        return Message(content=content, message_type=message_type, dst_node_id=dst_node_id, group_id=group_id, ttl=ttl)

    def get_node_ids(self) -> Iterable[int]:
        return list(self._contexts)

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        raise NotImplementedError("strategies use send_and_receive")

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        raise NotImplementedError("strategies use send_and_receive")

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> Iterable[Message]:
        return [self._app(message, self._contexts[message.metadata.dst_node_id]) for message in messages]


def simulate(data: Path, rounds: int, **values: Any) -> dict[int, dict[str, float]]:
    """What the server app finds on the test digits after each round; round 0 is before the first. `values` are for the run config."""
    from mnist_app import server_app
    from mnist_app.client_app import app as client_app

    _as_a_task()
    config = tomllib.loads((HERE / "pyproject.toml").read_text())["tool"]["flwr"]["app"]["config"]
    config |= {"data": str(data), "num-server-rounds": rounds, **values}
    results = []

    class Kept(FedAvg):
        def start(self, *args: Any, **more: Any) -> Any:
            results.append(super().start(*args, **more))
            return results[-1]

    with patch.object(server_app, "FedAvg", Kept):  # the app itself does not need what the strategy returns
        server_app.app(Inline(client_app, config, SITES), Context(1, 0, {}, RecordDict(), config))
    return {number: dict(metrics) for number, metrics in results[0].evaluate_metrics_serverapp.items()}


def _as_a_task() -> None:
    """Flower 1.42 and later make messages only in a task of a run."""
    try:
        from flwr.supercore.task_identity import TaskIdentity
    except ImportError:
        return
    TaskIdentity.run_id = TaskIdentity.task_id = TaskIdentity.node_id = 1


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    for number, found in simulate(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) == 3 else 5).items():
        print(f"round {number}: " + ", ".join(f"{name} {value:.4f}" for name, value in found.items()))
