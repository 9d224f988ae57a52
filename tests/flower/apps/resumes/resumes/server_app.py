"""A server app whose strategy keeps state between rounds. It prints the result of `start`."""

import json
import random
import threading

import numpy as np
from flwr.app import Array, ArrayRecord, Context, MetricRecord
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAdam, FedAvg, FedAvgM

app = ServerApp()


class Own(FedAvg):
    """Adds noise of its own generator, and keeps what it has seen in nested attributes."""

    def __init__(self) -> None:
        super().__init__()
        self.generator, self.history = np.random.default_rng(7), {"losses": [], "shapes": {(3, 2): 1}}

    def aggregate_train(self, server_round, replies):
        arrays, metrics = super().aggregate_train(server_round, replies)
        self.history["losses"].append(metrics["loss"])
        noise = self.generator.normal(size=arrays["w"].shape) * len(self.history["losses"])
        return ArrayRecord({"w": Array(np.asarray(arrays["w"].numpy() + noise, np.float32))}), metrics


class Locked(FedAvg):
    def __init__(self) -> None:
        super().__init__()
        self.lock = threading.Lock()


STRATEGIES = {
    "FedAvg": FedAvg,
    "FedAvgM": lambda: FedAvgM(server_learning_rate=0.9, server_momentum=0.8),
    "FedAdam": FedAdam,
    "Own": Own,
    "Locked": Locked,
    "Part": lambda: FedAvg(fraction_train=0.7, fraction_evaluate=0.0),
}


@app.main()
def main(grid: Grid, context: Context) -> None:
    random.seed(11), np.random.seed(12)
    best, calls = [], 0

    def judge(server_round: int, arrays: ArrayRecord) -> MetricRecord:
        nonlocal calls
        calls += 1
        best.append(float(arrays["w"].numpy().sum()) + random.random() + np.random.random())
        return MetricRecord({"best": max(best), "calls": calls})

    arrays = ArrayRecord({"w": Array(np.linspace(-1, 1, 6, dtype=np.float32).reshape(3, 2))})
    rounds = int(context.run_config["num-server-rounds"])
    strategy = STRATEGIES[str(context.run_config["strategy"])]()
    result = strategy.start(grid=grid, initial_arrays=arrays, num_rounds=rounds, evaluate_fn=judge)
    every = (result.train_metrics_clientapp, result.evaluate_metrics_clientapp, result.evaluate_metrics_serverapp)
    shown = [{number: dict(record) for number, record in metrics.items()} for metrics in every]
    print("result", json.dumps(shown), result.arrays["w"].numpy().tobytes().hex(), flush=True)
