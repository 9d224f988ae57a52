"""On the hub: federated averaging over the vehicles that are connected. Each round waits for as many as the run's quorum, and takes all
that there are. The hub has no drives: the vehicles evaluate each round's model on those that they held out."""

from flwr.app import Array, ArrayRecord, Context
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg

from vehicles_app import model as net

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    config = context.run_config
    quorum = int(config["min-available-nodes"])
    strategy = FedAvg(min_train_nodes=quorum, min_evaluate_nodes=quorum, min_available_nodes=quorum)
    strategy.start(
        grid=grid,
        initial_arrays=ArrayRecord({name: Array(array) for name, array in net.initial().items()}),
        num_rounds=int(config["num-server-rounds"]),
    )
