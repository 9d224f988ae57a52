"""Averages a model of `megabytes` MB (2^20 bytes of float32) in `arrays` arrays. Its numbers are random: Flower sends equal pieces once."""

import numpy as np
from flwr.app import Array, ArrayRecord, Context
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg

app = ServerApp()


def initial_arrays(megabytes: int, arrays: int) -> ArrayRecord:
    draw = np.random.default_rng(0)
    numbers = (megabytes << 18) // arrays
    return ArrayRecord({f"layer{n}": Array(draw.random(numbers, np.float32)) for n in range(arrays)})


@app.main()
def main(grid: Grid, context: Context) -> None:
    config = context.run_config
    nodes = int(config["own-nodes"])
    strategy = FedAvg(fraction_evaluate=0.0, min_train_nodes=nodes, min_available_nodes=nodes)
    model = initial_arrays(int(config["megabytes"]), int(config["arrays"]))
    strategy.start(grid=grid, initial_arrays=model, num_rounds=int(config["own-rounds"]))
