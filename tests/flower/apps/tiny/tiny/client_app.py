"""A plain Flower client app: every site adds one to the model, or behaves as the mode requires."""

import os
import signal
import sys
import time
from pathlib import Path

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

app = ClientApp()


@app.train()
def train(message: Message, context: Context) -> Message:
    mode, name = context.run_config["mode"], str(context.node_config["cluster-name"])
    begin(message, context)
    if mode == "clients-raise" or mode == f"raises-at-{name}":
        raise ValueError("patient 4711 has a secret")
    if mode == f"slow-at-{name}":
        time.sleep(600)
    if mode == f"dies-at-{name}":
        os.kill(os.getpid(), signal.SIGKILL)
    if mode == f"exits-at-{name}":
        sys.exit()
    if mode == f"dies-as-it-replies-at-{name}":
        from flwr.supernode.runtime import run_clientapp

        run_clientapp.push_objects = lambda *_, **__: os.kill(os.getpid(), signal.SIGSEGV)
    if mode == "slow-a-little":
        time.sleep(3)
    arrays = message.content["arrays"]
    grown = ArrayRecord({key: Array(trained(arrays[key].numpy(), poisoned=mode == f"poisons-at-{name}")) for key in arrays})
    if mode == "large":
        grown = ArrayRecord({key: Array(np.random.random(arrays[key].shape).astype(arrays[key].dtype)) for key in arrays})
    metrics = {"loss": 1.0 if name == "site1" else 3.0, "num-examples": 10}
    if mode == "draws":
        started_as = Path("/proc/self/cmdline").read_text()
        metrics |= {"drawn": float(np.random.random()), "forked": float("flower-supernode" in started_as)}
    content = RecordDict({"arrays": grown, "metrics": MetricRecord(metrics)})
    if mode == "poses":
        content["panal"] = ConfigRecord({"cluster": "site1", "seconds": 99.0})
    return Message(content=content, reply_to=message)


def trained(numbers: np.ndarray, *, poisoned: bool) -> np.ndarray:
    return np.full_like(numbers, 1e6) if poisoned else np.asarray(numbers + 1, numbers.dtype)


def begin(message: Message, context: Context) -> None:
    print("tiny trains", flush=True)
    if not context.run_config["folder"]:
        return
    step = Path(str(context.run_config["folder"])) / f"{context.node_config['cluster-name']}-{message.content['config']['server-round']}"
    step.with_suffix(".began").touch()
    while step.with_suffix(".held").exists():
        time.sleep(0.05)


@app.evaluate()
def evaluate(message: Message, context: Context) -> Message:
    metrics = MetricRecord({"accuracy": 0.5, "num-examples": 10})
    return Message(content=RecordDict({"metrics": metrics}), reply_to=message)
