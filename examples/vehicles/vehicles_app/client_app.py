"""In a vehicle: trains the network on its own drives, and evaluates each round's model on the drives that it held out."""

from pathlib import Path

from flwr.app import Array, ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

from vehicles_app import model as net
from vehicles_app.data import load

app = ClientApp()


def folder(context: Context) -> Path:
    """The site says where its data is; without that (`flwr run` on one machine) the partition's number does."""
    node = context.node_config
    if "data-path" in node:
        return Path(str(node["data-path"]))
    if not context.run_config["data"]:
        raise ValueError("no data: give the site's data-path, or run split.py and set the run config's `data` to its folder")
    return Path(str(context.run_config["data"])) / f"cluster{int(node['partition-id']) + 1}"


def received(message: Message) -> net.Model:
    return {name: array.numpy() for name, array in message.content["arrays"].items()}


@app.train()
def train(message: Message, context: Context) -> Message:
    config = context.run_config
    x, y = load(folder(context) / "drives.npz")
    seed = 1000 * int(message.content["config"]["server-round"]) + len(y)
    model = net.train(received(message), x, y, int(config["local-epochs"]), float(config["learning-rate"]), seed)
    metrics = MetricRecord({"train-loss": net.loss(model, x, y), "num-examples": len(y)})
    arrays = ArrayRecord({name: Array(array) for name, array in model.items()})
    return Message(content=RecordDict({"arrays": arrays, "metrics": metrics}), reply_to=message)


@app.evaluate()
def evaluate(message: Message, context: Context) -> Message:
    model = received(message)
    x, y = load(folder(context) / "held-out.npz")
    accuracy, recognized, alarms = net.rates(net.forward(model, x).scores, y)
    found = {"loss": net.loss(model, x, y), "accuracy": accuracy, "recognized": recognized, "false-alarms": alarms}
    metrics = MetricRecord({**found, "num-examples": len(y)})
    return Message(content=RecordDict({"metrics": metrics}), reply_to=message)
