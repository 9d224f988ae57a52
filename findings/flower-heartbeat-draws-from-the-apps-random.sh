#!/usr/bin/env bash
# Library: flwr 1.42.0. Found with: Python 3.11 on Linux.
#
# What one expects: a server app that calls `random.seed(1)` draws the same numbers in each run. Flower's strategies draw the nodes of a
# round from the module `random`, so a seeded app selects the same nodes.
# What happens: Flower's heartbeat runs in a thread of the app's process, and draws its waiting time from the same generator. Each heartbeat
# shifts the numbers that the app gets, so that they depend on how long the app has run.
#
# Output when this was written:
#   flwr 1.42.0
#   without a heartbeat: 0.134364, after one heartbeat: 0.847434
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" -q install flwr==1.42.0
HOME="$folder" FLWR_TELEMETRY_ENABLED=0 "$folder/venv/bin/python" - <<'PYTHON'
import random
import threading
from importlib.metadata import version

from flwr.supercore.heartbeat import HeartbeatSender

random.seed(1)
expected = random.random()

sent = threading.Event()
sender = HeartbeatSender(lambda: sent.set() or True)
random.seed(1)
sender.start()
sent.wait()
sender.stop()
found = random.random()

print(f"flwr {version('flwr')}")
print(f"without a heartbeat: {expected:.6f}, after one heartbeat: {found:.6f}")
assert found != expected, "this has changed"
PYTHON
