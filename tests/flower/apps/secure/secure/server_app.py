"""A strategy that prints each reply as it gets it, and the model at the end."""

import json
import time
from pathlib import Path

import numpy as np
from flwr.app import Array, ArrayRecord, Context, Message, RecordDict
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp import strategy as strategies

app = ServerApp()

INITIAL = {
    "weights": np.zeros((20, 3), np.float32),
    "half": np.zeros(400, np.float16),
    "scale": np.array(2.0),
    "count": np.array(7),
}


def shown(arrays):
    return {name: [str(a.dtype), list(a.shape), a.numpy().astype(float).ravel().tolist()[:3]] for name, a in arrays.items()}


@app.main()
def main(grid: Grid, context: Context) -> None:
    mode = context.run_config["mode"]
    if mode == "queries":
        replies = grid.send_and_receive([Message(RecordDict(), node, "query") for node in grid.get_node_ids()])
        print("queried", [reply.has_content() for reply in replies], flush=True)
        return
    kind = getattr(strategies, str(context.run_config["strategy"]))

    class Printing(kind):
        def configure_train(self, server_round, arrays, config, grid):
            messages = list(super().configure_train(server_round, arrays, config, grid))
            if mode == "personal":
                messages = [
                    Message(RecordDict({**m.content, "arrays": ArrayRecord(dict(arrays))}), m.metadata.dst_node_id, "train")
                    for m in messages
                ]
            return messages

        def aggregate_train(self, server_round, replies):
            replies = list(replies)
            for reply in (each for each in replies if each.has_content()):
                content = reply.content
                said = {"round": server_round, "records": sorted(content), "metrics": dict(content["metrics"])}
                print("reply", json.dumps(said | {"arrays": shown(content["arrays"])}), flush=True)
            return super().aggregate_train(server_round, replies)

    while mode.startswith("holds") and not Path(f"{context.run_config['go']}.begin").exists():
        time.sleep(0.05)
    arrays = ArrayRecord({name: Array(array) for name, array in INITIAL.items()})
    rounds = int(context.run_config["num-server-rounds"])
    result = Printing(fraction_evaluate=1.0).start(grid=grid, initial_arrays=arrays, num_rounds=rounds)
    print("result", json.dumps(shown(result.arrays)), flush=True)
