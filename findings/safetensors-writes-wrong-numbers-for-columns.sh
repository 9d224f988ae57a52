#!/usr/bin/env bash
# Library: safetensors 0.8.0 with numpy 2.4.6. Found with: Python 3.11 on Linux.
#
# What one expects: `safetensors.numpy.save_file` writes the numbers of an array, whatever the order of its elements in memory, or refuses it.
# What happens: an array that is not in C order, such as `array.T`, is written as its memory is, under the shape that it has. The file is
# valid, and its numbers are wrong: rows and columns are mixed, without a warning. Version 0.7.0 wrote them rightly. Two-dimensional weights
# are often transposed on the way from one library to another. `numpy.ascontiguousarray` before `save_file` helps with both versions.
#
# Output when this was written:
#   safetensors 0.7.0: wrote [[0.0, 2.0, 4.0], [1.0, 3.0, 5.0]], read [[0.0, 2.0, 4.0], [1.0, 3.0, 5.0]], contiguous first: [[0.0, 2.0, 4.0], [1.0, 3.0, 5.0]]
#   safetensors 0.8.0: wrote [[0.0, 2.0, 4.0], [1.0, 3.0, 5.0]], read [[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]], contiguous first: [[0.0, 2.0, 4.0], [1.0, 3.0, 5.0]]
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
for version in 0.7.0 0.8.0; do
  "$folder/venv/bin/pip" -q --disable-pip-version-check install "safetensors==$version" numpy==2.4.6
  (cd "$folder" && venv/bin/python - "$version") <<'PYTHON'
import sys
from importlib.metadata import version

import numpy as np
from safetensors.numpy import load_file, save_file

weights = np.arange(6, dtype=np.float32).reshape(3, 2).T


def stored(array: np.ndarray) -> np.ndarray:
    save_file({"weights": array}, "model.safetensors")
    return load_file("model.safetensors")["weights"]


plain, contiguous = stored(weights), stored(np.ascontiguousarray(weights))
print(f"safetensors {version('safetensors')}: wrote {weights.tolist()}, read {plain.tolist()}, contiguous first: {contiguous.tolist()}")
assert (contiguous == weights).all() and (plain == weights).all() == (sys.argv[1] == "0.7.0"), "this has changed"
PYTHON
done
