#!/usr/bin/env bash
# Library: flwr 1.42.0 (FedXgbBagging), xgboost 3.2.0. Found with: Python 3.11 on Linux.
#
# What one expects: the model of a round holds the trees of all replies.
# What happens: of each reply but the round's very first, FedXgbBagging takes `num_parallel_tree` trees, which is 1 by default.
# With three classes, a site's boosting round has three trees, one a class: two of the three are left out, and the one that stays is
# filed under class 0 (`tree_info`). With two boosting rounds a reply, the second is left out. Nothing is logged; the model loads.
#
# Output when this was written:
#   3 classes, 1 boosting round a reply: 2 replies of 3 trees -> 4 trees, tree_info [0, 1, 2, 0]
#   2 classes, 2 boosting rounds a reply: 2 replies of 2 trees -> 3 trees, tree_info [0, 0, 0]
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" -q install flwr==1.42.0 xgboost-cpu==3.2.0 numpy==2.4.6
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import json
import time
from importlib.metadata import version

import numpy as np
import xgboost as xgb
from flwr.app import ArrayRecord, Message, Metadata, MetricRecord, RecordDict
from flwr.serverapp.strategy import FedXgbBagging


def site(seed: int, classes: int, rounds: int) -> Message:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(200, 3))
    objective = {"objective": "multi:softprob", "num_class": classes} if classes > 2 else {"objective": "binary:logistic"}
    model = xgb.train(objective, xgb.DMatrix(x, label=np.argmax(x[:, :classes], axis=1)), rounds)
    arrays = ArrayRecord([np.frombuffer(model.save_raw("json"), dtype=np.uint8)])
    content = RecordDict({"arrays": arrays, "metrics": MetricRecord({"num-examples": 200})})
    now = time.time()  # the metadata that a SuperNode gives to a reply, outside of a run
    about = Metadata(run_id=1, message_id="", src_node_id=seed, dst_node_id=9, reply_to_message_id="1", group_id="", created_at=now, ttl=60.0,
                     message_type="train", src_task_id=1, dst_task_id=1)  # fmt: skip
    return Message(content, metadata=about)


def after_one_round(classes: int, rounds: int) -> tuple[int, list[int]]:
    strategy = FedXgbBagging()
    strategy.current_bst = b""  # no model yet, as at the start of a run
    arrays, _ = strategy.aggregate_train(1, [site(1, classes, rounds), site(2, classes, rounds)])
    model = json.loads(arrays["0"].numpy().tobytes())["learner"]["gradient_booster"]["model"]
    return len(model["trees"]), model["tree_info"]


print(f"flwr {version('flwr')}, xgboost {xgb.__version__}")
multi, two = after_one_round(3, 1), after_one_round(2, 2)
print(f"3 classes, 1 boosting round a reply: 2 replies of 3 trees -> {multi[0]} trees, tree_info {multi[1]}")
print(f"2 classes, 2 boosting rounds a reply: 2 replies of 2 trees -> {two[0]} trees, tree_info {two[1]}")
assert multi == (4, [0, 1, 2, 0]) and two == (3, [0, 0, 0]), "this has changed"
PYTHON
