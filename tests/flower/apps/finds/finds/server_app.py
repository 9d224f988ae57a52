"""Saves the model and a report in the working directory, as apps for one machine do."""

from pathlib import Path

import numpy as np
from flwr.app import Array, ArrayRecord, Context
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    config = context.run_config
    weights = Array(np.zeros(int(config["model.size"]), np.float64))
    result = FedAvg(fraction_evaluate=0.0).start(grid, ArrayRecord({"w": weights}), num_rounds=int(config["num-server-rounds"]))
    np.savez("final_model.npz", *result.arrays.to_numpy_ndarrays())
    Path("reports").mkdir()
    Path("reports/lines.txt").write_text(Path("data/x.csv").read_text())
    if config["mode"] == "fails-after":
        config["no-such-key"]
