"""On the hub: federated averaging, judged after every round by digits that no site trained on."""

from collections.abc import Callable
from pathlib import Path

from flwr.app import Array, ArrayRecord, Context, MetricRecord
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg

from mnist_app import model as net
from mnist_app.data import load

app = ServerApp()


def judge(context: Context) -> Callable[[int, ArrayRecord], MetricRecord] | None:
    """Loss and accuracy on the test digits, if they are there."""
    config = context.run_config
    places = [Path(str(config["test-data"])), Path(str(config["data"])) / "test.npz"]
    file = next((place for place in places if place.is_file()), None)
    if file is None:
        print("no test digits: the server does not evaluate")
        return None
    images, labels = load(file)

    def evaluate(server_round: int, arrays: ArrayRecord) -> MetricRecord:
        loss, accuracy = net.evaluate({name: array.numpy() for name, array in arrays.items()}, images, labels)
        return MetricRecord({"accuracy": accuracy, "loss": loss})

    return evaluate


@app.main()
def main(grid: Grid, context: Context) -> None:
    config = context.run_config
    nodes = int(config["min-available-nodes"])
    strategy = FedAvg(fraction_evaluate=0.0, min_train_nodes=nodes, min_available_nodes=nodes)
    strategy.start(
        grid=grid,
        initial_arrays=ArrayRecord({name: Array(array) for name, array in net.initial().items()}),
        num_rounds=int(config["num-server-rounds"]),
        evaluate_fn=judge(context),
    )
