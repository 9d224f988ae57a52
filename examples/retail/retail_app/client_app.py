"""At a store: grows the next tree on the store's own sales, and evaluates each round's model on the days that it held out."""

from pathlib import Path

import numpy as np
from flwr.app import ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

from retail_app import model as trees
from retail_app.data import load

app = ClientApp()


def folder(context: Context) -> Path:
    """The site says where its data is; without that (`flwr run` on one machine) the partition's number does."""
    node = context.node_config
    if "data-path" in node:
        return Path(str(node["data-path"]))
    if not context.run_config["data"]:
        raise ValueError("no data: give the site's data-path, or run split.py and set the run config's `data` to its folder")
    return Path(str(context.run_config["data"])) / f"cluster{int(node['partition-id']) + 1}"


def received(message: Message) -> bytes:
    return message.content["arrays"]["0"].numpy().tobytes()


@app.train()
def train(message: Message, context: Context) -> Message:
    """The trees of all stores are added up: each takes its share of the step."""
    config = context.run_config
    days, _ = load(folder(context))
    rate = float(config["learning-rate"]) / int(config["min-available-nodes"])
    tree = trees.grown(received(message), days, rate)
    arrays = ArrayRecord([np.frombuffer(tree, np.uint8)])
    metrics = MetricRecord({"num-examples": len(days)})
    return Message(content=RecordDict({"arrays": arrays, "metrics": metrics}), reply_to=message)


@app.evaluate()
def evaluate(message: Message, context: Context) -> Message:
    _, days = load(folder(context))
    metrics = MetricRecord({"error": trees.error([(trees.forecast(received(message), days), days)]), "num-examples": len(days)})
    return Message(content=RecordDict({"metrics": metrics}), reply_to=message)
