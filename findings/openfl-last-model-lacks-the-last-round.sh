#!/usr/bin/env bash
# Library: openfl 1.9 (its Aggregator). Found with: numpy 2.3.5, Python 3.11 on Linux.
#
# What one expects: after the last round, the file that the plan names as last_state_path has the model that the federation has trained.
# What happens: it has the model with which the last round began. The last aggregation exists in the aggregator's memory only, and is lost
# when it ends: a federation of one round writes its initial weights, one of ten rounds the result of nine.
#
# Output when this was written:
#   initial weight 0.0; one site trains it to 1.0 in one round of 1
#   last.pbuf:              0.0
#   the aggregator's memory: 1.0
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" -q install openfl==1.9 numpy==2.3.5
cd "$folder"
"$folder/venv/bin/python" - 2>"$folder/log" <<'PYTHON' || { cat "$folder/log"; exit 1; }
from importlib.metadata import version

import numpy as np
from openfl.component import Aggregator
from openfl.component.aggregator.straggler_handling import WaitForAllPolicy
from openfl.component.assigner import RandomGroupedAssigner
from openfl.interface.aggregation_functions import WeightedAverage
from openfl.pipelines import NoCompressionPipeline, TensorCodec
from openfl.protocols import utils
from openfl.utilities import TensorKey

groups = [{"name": "learning", "percentage": 1.0, "tasks": ["train"]}]
tasks = {"train": {"function": "train", "kwargs": {}, "aggregation_type": WeightedAverage()}}
aggregator = Aggregator(
    "aggregator", "federation", ["site"], "init.pbuf", "best.pbuf", "last.pbuf", persist_checkpoint=False, rounds_to_train=1,
    assigner=RandomGroupedAssigner(groups, tasks=tasks, authorized_cols=["site"], rounds_to_train=1),
    straggler_handling_policy=WaitForAllPolicy, initial_tensor_dict={"weight": np.zeros(1, np.float32)},
)  # fmt: skip
aggregator.get_tasks("site")
key, data, metadata = TensorCodec(NoCompressionPipeline()).compress(
    TensorKey("weight", "site", 0, False, ("trained",)), np.ones(1, np.float32), require_lossless=True
)
aggregator.send_local_task_results("site", 0, "train", 10, [utils.construct_named_tensor(key, data, metadata, lossless=True)])
saved, _ = utils.deconstruct_model_proto(utils.load_proto("last.pbuf"), NoCompressionPipeline())
memory = aggregator.tensor_db.get_tensors_by_round_and_tags(1, ("model",))
print(f"openfl {version('openfl')}, numpy {version('numpy')}")
print("initial weight 0.0; one site trains it to 1.0 in one round of 1")
print("last.pbuf:             ", float(saved["weight"][0]))
print("the aggregator's memory:", float(next(iter(memory.values()))[0]))
assert aggregator._time_to_quit()
assert float(next(iter(memory.values()))[0]) == 1.0
assert float(saved["weight"][0]) == 0.0, "this has changed"
PYTHON
