"""Site n has the weight 10 n. In round r it adds n r / 8 to the weights and -n to the scale, and counts r batches. The mode says what is
wrong at a site."""

import os
import signal
import time
from pathlib import Path

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

app = ClientApp()


@app.train()
def train(message: Message, context: Context) -> Message:
    site, round_ = int(str(context.node_config["cluster-name"])[-1]), int(message.content["config"]["server-round"])
    mode, _, where = str(context.run_config["mode"]).partition("-at-")
    here = where in ("", f"site{site}")
    first = Path(str(context.run_config["go"]))
    if (mode == "dies" and f"site{site}" in where.split("+")) or (mode == "dies-once" and here and not first.exists()):
        first.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    if (mode == "holds" and here) or (mode == "resumes" and round_ == 4):
        while not Path(str(context.run_config["go"])).exists():
            time.sleep(0.05)
    got = {name: array.numpy() for name, array in message.content["arrays"].items()}
    arrays = {
        "weights": got["weights"] + np.float32(site * round_ / 8),
        "half": got["half"] + np.float16(0.5),
        "scale": np.asarray(got["scale"] - site),
        "count": np.asarray(got["count"] + round_, np.int64),
    }
    if mode == "large" and here:
        arrays["scale"] = np.asarray(1e10)
    if mode == "nan" and here:
        arrays["scale"] = np.asarray(np.nan)
    weight = -1 if mode == "weight" and here else 10 * site
    metrics = {"num-examples": weight, "loss": 1.0 / site, "auc": np.nan if site == 1 else 0.25 * site, "ages": [40, 71]}
    content = RecordDict({"arrays": ArrayRecord({name: Array(array) for name, array in arrays.items()}), "metrics": MetricRecord(metrics)})
    content["more"] = ConfigRecord({"name": "patient 4711"})
    return Message(content=content, reply_to=message)


@app.evaluate()
def evaluate(message: Message, context: Context) -> Message:
    return Message(RecordDict({"metrics": MetricRecord({"num-examples": 10, "accuracy": 0.5})}), reply_to=message)


@app.query()
def query(message: Message, context: Context) -> Message:
    return Message(content=RecordDict({"metrics": MetricRecord({"num-examples": 10})}), reply_to=message)
