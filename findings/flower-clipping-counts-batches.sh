#!/usr/bin/env bash
# Library: flwr 1.42.0 (fixedclipping_mod), numpy 2.4.6. Found with: Python 3.11 on Linux.
#
# What one expects: clipping scales the update of the weights to the clipping norm, or leaves it alone if it is smaller.
# What happens: the norm is over all arrays, also over what BatchNorm counts, and each array's norm is computed in the array's own type.
# With a clipping norm of 1, an update of weights whose norm is 1
# - keeps its norm if the model has nothing else,
# - has a norm of 0.002 if the model also counts 500 batches (num_batches_tracked),
# - is gone in float16 if its norm is 300: 300² is infinity there,
# and an update of zero, such as that of a site that has not trained, raises an error.
#
# Output when this was written:
#   weights alone               1.0000
#   weights and 500 batches     0.0020
#   float16, norm 200           1.0000
#   float16, norm 300           0.0000
#   an update of zero           ZeroDivisionError: float division by zero
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
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, Metadata, RecordDict
from flwr.clientapp.mod import fixedclipping_mod


def message(arrays: dict, **config: float) -> Message:
    about = Metadata(run_id=1, message_id="1", src_node_id=1, dst_node_id=2, reply_to_message_id="", group_id="", created_at=time.time(),
                     ttl=60.0, message_type="train", src_task_id=1, dst_task_id=1)  # fmt: skip
    record = ArrayRecord({name: Array(np.asarray(value)) for name, value in arrays.items()})
    return Message(RecordDict({"arrays": record, "config": ConfigRecord(config)}), metadata=about)


def clipped(before: dict, after: dict) -> str:
    """The norm of the weights' update after clipping to 1."""
    try:
        reply = fixedclipping_mod(message(before, clipping_norm=1.0), None, lambda *_: message(after))
    except ZeroDivisionError as error:
        return f"{type(error).__name__}: {error}"
    found = reply.content["arrays"]["weights"].numpy().astype(float) - before["weights"].astype(float)
    return f"{np.linalg.norm(found):.4f}"


zero, half, count = np.zeros(4, np.float32), np.zeros(4, np.float16), {"num_batches_tracked": np.array(0)}
cases = {
    "weights alone": clipped({"weights": zero}, {"weights": zero + np.float32(0.5)}),
    "weights and 500 batches": clipped({"weights": zero} | count, {"weights": zero + np.float32(0.5), "num_batches_tracked": np.array(500)}),
    "float16, norm 200": clipped({"weights": half}, {"weights": half + np.float16(100)}),
    "float16, norm 300": clipped({"weights": half}, {"weights": half + np.float16(150)}),
    "an update of zero": clipped({"weights": zero}, {"weights": zero}),
}
EXPECTED = """\
weights alone               1.0000
weights and 500 batches     0.0020
float16, norm 200           1.0000
float16, norm 300           0.0000
an update of zero           ZeroDivisionError: float division by zero"""
print(f"flwr {version('flwr')}")
found = "\n".join(f"{name:27} {value}" for name, value in cases.items())
print(found)
assert found == EXPECTED, "this has changed"
PYTHON
