"""At a site: trains the model on the site's own digits, evaluates one on those that it holds out, and sends back a few numbers."""

from pathlib import Path

from flwr.app import Array, ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

from mnist_app import model as net
from mnist_app.data import load

app = ClientApp()


def own_digits(context: Context, name: str = "train.npz") -> Path:
    """The site says where its data is; without one (`flwr run` on one machine) the partition's number does."""
    node = context.node_config
    if "data-path" in node:
        return Path(str(node["data-path"])) / name
    if not context.run_config["data"]:
        raise FileNotFoundError("no data: give the site's data-path, or run split.py and set the run-config's `data` to its folder")
    return Path(str(context.run_config["data"])) / f"cluster{int(node['partition-id']) % 3 + 1}" / name


@app.train()
def train(message: Message, context: Context) -> Message:
    config = context.run_config
    images, labels = load(own_digits(context))
    model = {name: array.numpy() for name, array in message.content["arrays"].items()}
    seed = 1000 * int(message.content["config"]["server-round"]) + len(labels)
    model = net.train(model, images, labels, int(config["local-epochs"]), float(config["learning-rate"]), seed)
    loss, accuracy = net.evaluate(model, images, labels)
    metrics = MetricRecord({"train-loss": loss, "train-accuracy": accuracy, "num-examples": len(labels)})
    arrays = ArrayRecord({name: Array(array) for name, array in model.items()})
    return Message(content=RecordDict({"arrays": arrays, "metrics": metrics}), reply_to=message)


@app.evaluate()
def evaluate(message: Message, context: Context) -> Message:
    images, labels = load(own_digits(context, "held-out.npz"))
    loss, accuracy = net.evaluate({name: array.numpy() for name, array in message.content["arrays"].items()}, images, labels)
    metrics = MetricRecord({"accuracy": accuracy, "loss": loss, "num-examples": len(labels)})
    return Message(content=RecordDict({"metrics": metrics}), reply_to=message)
