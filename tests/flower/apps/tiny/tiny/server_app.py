"""A plain Flower server app that does not import panal."""

import json
import os
import signal
import sys

import numpy as np
from flwr.app import Array, ArrayRecord, Context, MetricRecord
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp import strategy as strategies

app = ServerApp()


def judge(server_round: int, arrays: ArrayRecord) -> MetricRecord:
    return MetricRecord({"judged": float(arrays["w"].numpy()[0]), "at": server_round})


@app.main()
def main(grid: Grid, context: Context) -> None:
    config = context.run_config
    if config["mode"] == "server-raises":
        raise RuntimeError("the server app's own words")
    if config["mode"] == "server-dies":
        os.kill(os.getpid(), signal.SIGKILL)
    if config["mode"] == "server-exits":
        sys.exit()
    if config["mode"] == "no-strategy":
        grid.get_node_ids()
        return
    nodes, rounds = int(config["own-nodes"]), int(config["own-rounds"])
    kind = getattr(strategies, str(config["strategy"]))
    strategy = kind(fraction_evaluate=1.0 if config["evaluate"] else 0.0, min_train_nodes=nodes, min_available_nodes=nodes)
    if config["mode"] == "no-training":
        strategy.fraction_train = 0.0
    arrays = ArrayRecord({"w": Array(np.zeros(int(config["numbers"]), np.float32)), "b": Array(np.array(0, np.int64))})
    result = strategy.start(grid=grid, initial_arrays=arrays, num_rounds=rounds, evaluate_fn=judge)
    print(
        "result",
        json.dumps({"train": sorted(result.train_metrics_clientapp), "judged": sorted(result.evaluate_metrics_serverapp)}),
        flush=True,
    )
