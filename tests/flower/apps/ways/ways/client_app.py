"""Every site adds one to the model; the mode says what else it does. Messages of the kind `query` ask for statistics."""

from pathlib import Path

import numpy as np
from flwr.app import Array, ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

app = ClientApp()


def reply(message: Message, arrays: ArrayRecord | None, **metrics: float) -> Message:
    content = RecordDict({"metrics": MetricRecord({"num-examples": 10, **metrics})})
    if arrays is not None:
        content["arrays"] = arrays
    return Message(content=content, reply_to=message)


@app.train()
def train(message: Message, context: Context) -> Message:
    mode, name = context.run_config["mode"], context.node_config["cluster-name"]
    config = message.content.config_records.get("config", {})
    round_ = int(config.get("server-round", 0))
    if mode == "schedule" and name == "site2" and round_ == 2 and once():
        raise ValueError("this site fails once")
    arrays = message.content["arrays"]
    add = float(config.get("lr", 1.0))
    step = float("nan") if mode == "diverges" and round_ > 1 else add
    grown = ArrayRecord({key: Array(np.asarray(arrays[key].numpy() + step, arrays[key].numpy().dtype)) for key in arrays})
    return reply(message, grown, loss=float("nan") if mode == "diverges" and round_ > 1 else 0.5)


def once() -> bool:
    """Whether this is the first call at this site, across its processes."""
    mark = Path("/proc/self/cwd").resolve() / "failed-once"
    first = not mark.exists()
    mark.touch()
    return first


@app.evaluate()
def evaluate(message: Message, context: Context) -> Message:
    return reply(message, None, accuracy=0.75)


@app.query()
def query(message: Message, context: Context) -> Message:
    return reply(message, None, count=7, mean=2.5)
