#!/usr/bin/env bash
# Library: openfl 1.9 (its Collaborator with use_delta_updates). Found with: numpy 2.4.6, Python 3.11 on Linux.
#
# What one expects: with use_delta_updates a site sends the difference between its trained model and the global model with which it began,
# because the aggregator adds it to that.
# What happens: from the second round on, the site sends the difference to its own trained model of the round before. If the same sites took
# part in both rounds with the same weights, the mean is still right. If not, it is wrong.
#
# Output when this was written:
#   round 1: site A trains 0.0 to 4.0, site B to 16.0; the global model is 10.0
#   round 2: site B is away; site A has data that changes nothing, and trains 10.0 to 10.0
#   the aggregator makes of what site A sends: 16.0
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" -q install openfl==1.9 numpy==2.4.6
cd "$folder"
"$folder/venv/bin/python" - 2>"$folder/log" <<'PYTHON' || { cat "$folder/log"; exit 1; }
from importlib.metadata import version

import numpy as np
from openfl.component import Collaborator
from openfl.federated import TaskRunner
from openfl.utilities import TensorKey

GLOBAL = {0: 0.0, 1: 10.0}  # the model with which a round begins
TRAINED = {0: 4.0, 1: 10.0}  # what site A makes of it


class Runner(TaskRunner):
    """Returns what OpenFL's own runners return: the trained tensors for the aggregator, and as the site's model of the next round."""

    def get_required_tensorkeys_for_function(self, func_name, **kwargs):
        return [TensorKey("weight", "GLOBAL", 0, False, ("model",))]

    def get_train_data_size(self):
        return 10

    def train(self, col_name, round_num, input_tensor_dict, **kwargs):
        trained = np.full(1, TRAINED[round_num], np.float32)
        sent = {TensorKey("weight", col_name, round_num, False, ("trained",)): trained}
        return sent, {TensorKey("weight", col_name, round_num + 1, False, ("model",)): trained}


class Client:
    """The aggregator, as site A sees it."""

    def send_local_task_results(self, round_number, task_name, data_size, named_tensors):
        self.round, self.sent = round_number, named_tensors[0]


class Site(Collaborator):
    def get_aggregated_tensor_from_aggregator(self, tensor_key, require_lossless=False):
        return np.full(1, GLOBAL[tensor_key.round_number], np.float32)


client = Client()
site = Site("A", "aggregator", "federation", client, Runner(data_loader=None), {"train": {"function": "train", "kwargs": {}}},
            use_delta_updates=True)  # fmt: skip
for number in (0, 1):
    site.do_task("train", number)
    site.tensor_db.clean_up(1)
content = np.frombuffer(client.sent.data_bytes, np.float32)
assert "delta" in client.sent.tags
made = float(GLOBAL[1] + content[0])  # as Aggregator._process_named_tensor adds it
print(f"openfl {version('openfl')}, numpy {version('numpy')}")
print("round 1: site A trains 0.0 to 4.0, site B to 16.0; the global model is 10.0")
print("round 2: site B is away; site A has data that changes nothing, and trains 10.0 to 10.0")
print("the aggregator makes of what site A sends:", made)
assert made == 16.0, "this has changed"
PYTHON
