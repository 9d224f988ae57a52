"""A site's numbers are 10 times its number. `train` moves the mean halfway to them; `evaluate` measures the distance."""

import os
import signal
import time
from pathlib import Path

import numpy as np
from flwr.app import Array, ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

app = ClientApp()


def numbers(context: Context) -> np.ndarray:
    site = int(str(context.node_config["cluster-name"])[-1])
    return np.full(4 * site, 10.0 * site)


@app.train()
def train(message: Message, context: Context) -> Message:
    name, mode = str(context.node_config["cluster-name"]), str(context.run_config["mode"])
    if mode == f"training-fails-at-{name}":
        raise ValueError("patient 4711")
    mean, rate = message.content["arrays"]["mean"].numpy(), float(message.content["config"]["rate"])
    moved = mean + rate * (numbers(context).mean() - mean)
    metrics = MetricRecord({"num-examples": len(numbers(context))})
    return Message(content=RecordDict({"arrays": ArrayRecord({"mean": Array(moved)}), "metrics": metrics}), reply_to=message)


@app.evaluate()
def evaluate(message: Message, context: Context) -> Message:
    name, mode = str(context.node_config["cluster-name"]), str(context.run_config["mode"])
    wait = str(context.run_config["wait"])
    while name == "site1" and wait and not Path(wait).exists():
        time.sleep(0.05)
    if mode == f"dies-at-{name}":
        os.kill(os.getpid(), signal.SIGKILL)
    distance = float(np.abs(numbers(context) - message.content["arrays"]["mean"].numpy()).mean())
    found = {"distance-error": distance, "near": float(distance < 12), "num-examples": len(numbers(context))}
    if mode == f"nan-at-{name}":
        found["distance-error"] = float("nan")
    if mode == f"lies-at-{name}":
        found = {"distance-error": 1e308, "\x1b[31mred": 1.0, "num-examples": float("nan")}
    return Message(content=RecordDict({"metrics": MetricRecord(found)}), reply_to=message)
