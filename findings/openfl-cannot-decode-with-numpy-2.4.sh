#!/usr/bin/env bash
# Library: openfl 1.9, which does not limit numpy's version. Found with: numpy 2.4.6, Python 3.11 on Linux.
#
# What one expects: a new environment with `pip install openfl==1.9` can run a federation.
# What happens: OpenFL passes `newshape` to numpy.reshape, an argument that numpy 2.4 has removed. Whatever decodes a tensor raises: the
# aggregator when it starts with an initial model, the collaborator when it gets the model. numpy 2.3 works.
#
# Output when this was written:
#   openfl 1.9 accepts this numpy: True
#   TypeError: reshape() got an unexpected keyword argument 'newshape'
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" -q install openfl==1.9 numpy==2.4.6
"$folder/venv/bin/python" - 2>"$folder/log" <<'PYTHON' || { cat "$folder/log"; exit 1; }
from importlib.metadata import requires, version

import numpy as np
from openfl.pipelines import NoCompressionPipeline

limits = [each for each in requires("openfl") or [] if each.split(";")[0].strip().startswith("numpy")]
print(f"openfl {version('openfl')}, numpy {version('numpy')}")
print("openfl 1.9 accepts this numpy:", not any("<" in each for each in limits))
pipeline = NoCompressionPipeline()
data, metadata = pipeline.forward(np.ones((2, 3), np.float32))
try:
    pipeline.backward(data, metadata)
except TypeError as error:
    print(f"TypeError: {error}")
else:
    raise AssertionError("this has changed")
PYTHON
