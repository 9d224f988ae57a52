"""Every site adds one to the model; the mode selects further behavior. Messages of type `query` request statistics."""

import json
from pathlib import Path

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.clientapp.typing import ClientAppCallable

app = ClientApp()


def reply(message: Message, arrays: ArrayRecord | None, **metrics: float) -> Message:
    content = RecordDict({"metrics": MetricRecord({"num-examples": 10, **metrics})})
    if arrays is not None:
        content["arrays"] = arrays
    return Message(content=content, reply_to=message)


def counted(message: Message, context: Context, call_next: ClientAppCallable) -> Message:
    """A mod that counts the messages of this site in its state, and adds the count to the metrics."""
    if context.run_config["mode"] != "mods":
        return call_next(message, context)
    before = context.state.metric_records.get("mod", {})
    context.state["mod"] = MetricRecord({"calls": int(before.get("calls", 0)) + 1})
    out = call_next(message, context)
    if out.has_content() and "metrics" in out.content:
        out.content["metrics"]["calls"] = context.state["mod"]["calls"]
    return out


def trees() -> ArrayRecord:
    """One round of boosting with three classes, in XGBoost's JSON."""
    model = {
        "gbtree_model_param": {"num_trees": "3", "num_parallel_tree": "1"},
        "iteration_indptr": [0, 3],
        "tree_info": [0, 1, 2],
        "trees": [{"id": number} for number in range(3)],
    }
    content = json.dumps({"learner": {"gradient_booster": {"model": model}}}).encode()
    return ArrayRecord([np.frombuffer(content, np.uint8)])


@app.train(mods=[counted])
def train(message: Message, context: Context) -> Message:
    mode, name = context.run_config["mode"], context.node_config["cluster-name"]
    config = message.content.config_records.get("config", {})
    round_ = int(config.get("server-round", 0))
    if mode == "schedule" and name == "site2" and round_ == 2 and once():
        raise ValueError("this site fails once")
    if mode == "trees":
        return reply(message, trees())
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


@app.query("embed")
def embed(message: Message, context: Context) -> Message:
    """This site's embedding. Its weight is kept between messages, and never leaves the site."""
    kept = context.state.array_records.get("kept")
    weight = kept["weight"].numpy() if kept else np.zeros(1)
    content = RecordDict({"arrays": ArrayRecord({"embedding": Array(weight * np.ones(4))})})
    content["config"] = ConfigRecord({"pos": int(context.node_config["cluster-name"][-1])})
    return Message(content, reply_to=message)


@app.train("step")
def step(message: Message, context: Context) -> Message:
    kept = context.state.array_records.get("kept")
    weight = (kept["weight"].numpy() if kept else np.zeros(1)) - message.content["gradients"]["gradient"].numpy()
    context.state["kept"] = ArrayRecord({"weight": Array(weight)})
    return Message(RecordDict(), reply_to=message)
