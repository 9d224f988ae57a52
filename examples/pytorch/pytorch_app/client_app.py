"""At a site: trains the model on the site's own digits, evaluates it on those held out, and sends back the model and a few numbers."""

from pathlib import Path

from flwr.app import ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

from pytorch_app import task

app = ClientApp()


def own_digits(context: Context) -> Path:
    """The site says where its data is; without one (`flwr run` on one machine) the partition's number does."""
    node = context.node_config
    if "data-path" in node:
        return Path(str(node["data-path"])) / "train.npz"
    if not context.run_config["data"]:
        raise ValueError("no data: give the site's data-path, or run ../mnist/split.py and set the run-config's `data` to its folder")
    return Path(str(context.run_config["data"])) / f"cluster{int(node['partition-id']) % 3 + 1}" / "train.npz"


def received(message: Message) -> task.Net:
    net = task.Net()
    net.load_state_dict(message.content["arrays"].to_torch_state_dict())
    return net


@app.train()
def train(message: Message, context: Context) -> Message:
    config = context.run_config
    digits, _ = task.divide(task.load(own_digits(context)))
    net = received(message)
    number = len(digits[1])
    seed = 10_000 * int(message.content["config"]["server-round"]) + number
    loss = task.train(net, digits, int(config["local-epochs"]), float(config["learning-rate"]), seed)
    metrics = MetricRecord({"train-loss": loss, "num-examples": number})
    return Message(content=RecordDict({"arrays": ArrayRecord(net.state_dict()), "metrics": metrics}), reply_to=message)


@app.evaluate()
def evaluate(message: Message, context: Context) -> Message:
    _, digits = task.divide(task.load(own_digits(context)))
    loss, accuracy = task.evaluate(received(message), digits)
    metrics = MetricRecord({"loss": loss, "accuracy": accuracy, "num-examples": len(digits[1])})
    return Message(content=RecordDict({"metrics": metrics}), reply_to=message)
