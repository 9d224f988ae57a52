"""Each site moves the model by its own numbers, with the momentum that it keeps in `context.state` if clients are stateful."""

import time
from pathlib import Path

import numpy as np
from flwr.app import Array, ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

app = ClientApp()


def round_of(message: Message) -> int:
    return int(message.content["config"]["server-round"])


@app.train()
def train(message: Message, context: Context) -> Message:
    go = str(context.run_config["go"])
    while go and round_of(message) >= 4 and not Path(go).exists():
        time.sleep(0.05)
    site = int(str(context.node_config["cluster-name"])[-1])
    start = message.content["arrays"]["w"].numpy()
    step = np.sin(start * site + site).astype(np.float32) / 3
    if context.run_config["clients"] == "stateful":
        known = context.state.array_records.get("momentum")
        step = step + 0.7 * (known["step"].numpy() if known else np.zeros_like(step))
        context.state["momentum"] = ArrayRecord({"step": Array(step)})
        before = context.state.metric_records.get("count")
        context.state["count"] = MetricRecord({"trained": (before["trained"] if before else 0) + 1})
    count = context.state.metric_records.get("count")
    metrics = {"loss": float(np.abs(start).mean()), "num-examples": 7 * site, "trained": float(count["trained"] if count else 0)}
    content = RecordDict({"arrays": ArrayRecord({"w": Array(np.asarray(start - step, np.float32))}), "metrics": MetricRecord(metrics)})
    return Message(content=content, reply_to=message)


@app.evaluate()
def evaluate(message: Message, context: Context) -> Message:
    if context.run_config["clients"] == "stateful":
        context.state["evaluated"] = MetricRecord({"in": round_of(message)})
    metrics = MetricRecord({"accuracy": 0.5, "num-examples": 10})
    return Message(content=RecordDict({"metrics": metrics}), reply_to=message)
