"""A site's update is `moved` times the number of the site. The mode says what is wrong with the reply of site2."""

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

app = ClientApp()
SECRET = "patient 4711"


def moved(name: str, array: np.ndarray) -> np.ndarray:
    by = {"weights": 1.0, "half": 300.0, "scale": 3.0, "count": 500, "none": 1.0}[name]
    dtype = np.int64 if name == "count" else array.dtype  # as a model has it, whatever an average has made of it
    return np.asarray(array + by, dtype)


@app.train()
def train(message: Message, context: Context) -> Message:
    site, mode = str(context.node_config["cluster-name"]), str(context.run_config["mode"])
    arrays = {name: moved(name, array.numpy()) for name, array in message.content["arrays"].items()}
    if mode == "nan" and site == "site2":
        arrays["scale"] = np.array(np.nan)
    if mode == "shapes" and site == "site2":
        arrays["weights"] = np.ones((2, 2), np.float32)
    if mode == "more" and site == "site2":
        arrays["more"] = np.ones(3, np.float32)
    record = ArrayRecord({name: Array(array) for name, array in arrays.items()})
    if mode == "same-message":  # an app that changes what it got, and sends it back
        content = message.content
        for name, array in record.items():
            content["arrays"][name] = array
    else:
        content = RecordDict({"arrays": record})
    content["metrics"] = MetricRecord({"num-examples": 10 * int(site[-1]), "loss": 0.25, "ages": [40, 71]})
    content["more"] = ConfigRecord({"name": SECRET})
    return Message(content=content, reply_to=message)


@app.evaluate()
def evaluate(message: Message, context: Context) -> Message:
    content = RecordDict({"metrics": MetricRecord({"num-examples": 10, "accuracy": 0.5})})
    if str(context.run_config["mode"]) == "evaluates-arrays":
        content["arrays"] = message.content["arrays"]
    return Message(content=content, reply_to=message)


@app.query()
def query(message: Message, context: Context) -> Message:
    return Message(content=RecordDict({"metrics": MetricRecord({"num-examples": 10})}), reply_to=message)
