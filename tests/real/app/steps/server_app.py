"""FedAvg over one array, small unless STEPS_NUMBERS says its length; trains only. Saves it in the working directory as well, as apps do
that were made for one machine."""

import os

import numpy as np
from flwr.app import Array, ArrayRecord, Context
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg

from steps.kinds import SERVERS

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    if os.environ.get("STEPS_MODE") == "server-raises":
        raise RuntimeError("the server app's own words")
    if kind := context.run_config["kind"]:
        SERVERS[str(kind)](grid, context)
        return
    strategy = FedAvg(fraction_evaluate=0.0)
    rounds = int(context.run_config["num-server-rounds"])
    first = ArrayRecord({"shared-weights": Array(np.zeros(int(os.environ.get("STEPS_NUMBERS", "3")), np.float32))})
    result = strategy.start(grid=grid, initial_arrays=first, num_rounds=rounds)
    np.save("final.npy", result.arrays["shared-weights"].numpy())
