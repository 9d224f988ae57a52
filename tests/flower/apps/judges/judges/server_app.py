"""A plain Flower server app. It prints what `start` returns."""

import numpy as np
from flwr.app import Array, ArrayRecord, Context
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg

app = ServerApp()


class Settings(FedAvg):
    """Sends a setting of its own, without which the client cannot train."""

    def configure_train(self, server_round, arrays, config, grid):
        config["rate"] = 0.5
        return super().configure_train(server_round, arrays, config, grid)


@app.main()
def main(grid: Grid, context: Context) -> None:
    arrays = ArrayRecord({"mean": Array(np.zeros(1, np.float64))})
    result = Settings(fraction_train=0.5, fraction_evaluate=0.0).start(grid=grid, initial_arrays=arrays, num_rounds=3)
    print("result", result.arrays["mean"].numpy().tolist(), dict(result.evaluate_metrics_clientapp), flush=True)
