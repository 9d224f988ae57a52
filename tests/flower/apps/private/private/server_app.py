"""FedAvg that prints what it gets: the change of each array, the metrics, and the names of all records."""

import json

import numpy as np
from flwr.app import Array, ArrayRecord, Context, Message, RecordDict
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg

app = ServerApp()

INITIAL = {
    "weights": np.zeros((20, 3), np.float32),
    "half": np.zeros(400, np.float16),
    "scale": np.array(2.0),
    "count": np.array(7),
    "none": np.zeros((0, 4), np.float32),
}


class Printing(FedAvg):
    def configure_train(self, server_round, arrays, config, grid):
        self.sent = {name: array.numpy() for name, array in arrays.items()}
        return super().configure_train(server_round, arrays, config, grid)

    def aggregate_train(self, server_round, replies):
        replies = list(replies)
        for reply in (each for each in replies if each.has_content()):
            content = reply.content
            got = {name: array.numpy() for name, array in content["arrays"].items()}
            changes = {name: (got[name].astype(float) - self.sent[name].astype(float)).ravel().tolist() for name in got}
            kinds = {name: [str(array.dtype), list(array.shape)] for name, array in got.items()}
            said = {"records": sorted(content), "metrics": dict(content["metrics"]), "kinds": kinds, "changes": changes}
            print("reply", json.dumps(said), flush=True)
        return super().aggregate_train(server_round, replies)


@app.main()
def main(grid: Grid, context: Context) -> None:
    if context.run_config["mode"] == "queries":
        messages = [Message(RecordDict(), node, "query") for node in grid.get_node_ids()]
        replies = grid.send_and_receive(messages)
        print("queried", [reply.has_content() for reply in replies], flush=True)
        return
    arrays = ArrayRecord({name: Array(array) for name, array in INITIAL.items()})
    rounds = int(context.run_config["num-server-rounds"])
    result = Printing(fraction_evaluate=1.0).start(grid=grid, initial_arrays=arrays, num_rounds=rounds)
    print("evaluated", dict(result.evaluate_metrics_clientapp), flush=True)
