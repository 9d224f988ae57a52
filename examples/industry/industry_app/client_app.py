"""At a plant: trains the autoencoder on windows of healthy machines, and tells how well each round's finds the faults that it held out."""

from pathlib import Path

from flwr.app import Array, ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

from industry_app import model as net
from industry_app.data import load

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
    x, _ = load(folder(context) / "healthy.npz")
    seed = 1000 * int(message.content["config"]["server-round"]) + len(x)
    model = net.train(received(message), x, int(config["local-epochs"]), float(config["learning-rate"]), seed)
    metrics = MetricRecord({"train-loss": float(net.errors(model, x).mean()), "num-examples": len(x)})
    arrays = ArrayRecord({name: Array(array) for name, array in model.items()})
    return Message(content=RecordDict({"arrays": arrays, "metrics": metrics}), reply_to=message)


@app.evaluate()
def evaluate(message: Message, context: Context) -> Message:
    x, fault = load(folder(context) / "held-out.npz")
    metrics = MetricRecord({"auc": net.auc(net.errors(received(message), x), fault != ""), "num-examples": len(x)})
    return Message(content=RecordDict({"metrics": metrics}), reply_to=message)
