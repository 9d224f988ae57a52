"""On the hub: bagging. Each round adds the trees of all stores to the model. The hub has no sales: the stores evaluate the model."""

import numpy as np
from flwr.app import ArrayRecord, Context
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedXgbBagging

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    config = context.run_config
    nodes = int(config["min-available-nodes"])
    strategy = FedXgbBagging(min_train_nodes=nodes, min_evaluate_nodes=nodes, min_available_nodes=nodes)
    strategy.start(
        grid=grid,
        initial_arrays=ArrayRecord([np.frombuffer(b"", np.uint8)]),  # no trees
        num_rounds=int(config["num-server-rounds"]),
    )
