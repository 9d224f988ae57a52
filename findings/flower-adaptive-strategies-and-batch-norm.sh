#!/usr/bin/env bash
# Library: flwr 1.42.0 (FedAdam, FedYogi, FedAdagrad), numpy 2.4.6. Found with: Python 3.11 on Linux.
#
# What one expects: a strategy with a server optimizer moves weights, and leaves what BatchNorm counts and measures to an average.
# What happens: each array is a weight to it. Here three sites agree in all of 40 rounds on the state of a model with BatchNorm:
# weight 0.5, running_var 0.05, num_batches_tracked 800; the start is 0, 1 and 0. With FedAdam the variance passes below zero on its
# way (its square root is NaN), and the count is 4 where 800 batches were seen. FedAdam alone also makes float64 of float32, so that
# messages from round 2 on, and the stored model, are twice as large. Every strategy makes float64 of the integer.
#
# Output when this was written:
#   FedAvg     weight 0.500 float32  lowest running_var  0.050  num_batches_tracked 800.00 float64
#   FedAdam    weight 0.549 float64  lowest running_var -0.229  num_batches_tracked 3.95 float64
#   FedYogi    weight 0.522 float32  lowest running_var  0.356  num_batches_tracked 0.73 float64
#   FedAdagrad weight 0.496 float32  lowest running_var  0.210  num_batches_tracked 1.13 float64
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" -q install flwr==1.42.0 numpy==2.4.6
cd "$folder"
"$folder/venv/bin/python" - 2>/dev/null <<'PYTHON'
import time
from importlib.metadata import version

import numpy as np
from flwr.app import Array, ArrayRecord, Message, Metadata, MetricRecord, RecordDict
from flwr.serverapp import strategy as strategies

ROUNDS = 40


def reply(node: int) -> Message:
    state = {"weight": np.float32([0.5]), "running_var": np.float32([0.05]), "num_batches_tracked": np.array(800)}
    arrays = ArrayRecord({name: Array(value) for name, value in state.items()})
    about = Metadata(run_id=1, message_id="", src_node_id=node, dst_node_id=9, reply_to_message_id="1", group_id="", created_at=time.time(),
                     ttl=60.0, message_type="train", src_task_id=1, dst_task_id=1)  # fmt: skip
    return Message(RecordDict({"arrays": arrays, "metrics": MetricRecord({"num-examples": 10})}), metadata=about)


def after(name: str) -> str:
    strategy = getattr(strategies, name)()
    arrays = {"weight": np.float32([0.0]), "running_var": np.float32([1.0]), "num_batches_tracked": np.array(0)}
    lowest = 1.0
    for number in range(1, ROUNDS + 1):
        strategy.current_arrays = arrays  # as configure_train has it
        record, _ = strategy.aggregate_train(number, [reply(1), reply(2), reply(3)])
        arrays = {name: array.numpy() for name, array in record.items()}
        lowest = min(lowest, float(arrays["running_var"][0]))
    weight, count = arrays["weight"], arrays["num_batches_tracked"]
    lines = f"{name:10} weight {weight[0]:.3f} {weight.dtype}  lowest running_var {lowest:6.3f}"
    return f"{lines}  num_batches_tracked {count:.2f} {count.dtype}"


EXPECTED = """\
FedAvg     weight 0.500 float32  lowest running_var  0.050  num_batches_tracked 800.00 float64
FedAdam    weight 0.549 float64  lowest running_var -0.229  num_batches_tracked 3.95 float64
FedYogi    weight 0.522 float32  lowest running_var  0.356  num_batches_tracked 0.73 float64
FedAdagrad weight 0.496 float32  lowest running_var  0.210  num_batches_tracked 1.13 float64"""
print(f"flwr {version('flwr')}")
found = "\n".join(after(name) for name in ("FedAvg", "FedAdam", "FedYogi", "FedAdagrad"))
print(found)
assert found == EXPECTED, "this has changed"
PYTHON
