#!/usr/bin/env bash
# Library: mlflow 3.17.2, with a SQLite database. Found with: Python 3.11 on Linux.
#
# What one expects: a metric that was logged as infinity is infinity when it is read, as NaN is NaN.
# What happens: infinity is read back as 1.7976931348623157e+308, a finite number, without a warning, so that a check for finite values passes
# and a plot has a scale of 1e308. NaN is kept; but of the searches that compare a loss with a limit, none but != finds the run, neither the
# one for what is below the limit nor the one for the rest.
#
# Output when this was written:
#   mlflow 3.17.2
#   logged inf, read 1.7976931348623157e+308, finite: True
#   logged nan, read nan
#   searches that find the run with loss nan: ['metrics.loss != 1']
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" -q install mlflow==3.17.2
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON' 2>/dev/null
import math

import mlflow
from mlflow.tracking import MlflowClient

mlflow.set_tracking_uri("sqlite:///runs.db")
client, experiment = MlflowClient(), mlflow.create_experiment("values")
print("mlflow", mlflow.__version__)


def logged(value: float) -> tuple[str, float]:
    run = client.create_run(experiment).info.run_id
    client.log_metric(run, "loss", value, step=1)
    return run, client.get_metric_history(run, "loss")[0].value


_, infinite = logged(math.inf)
run, undefined = logged(math.nan)
print(f"logged inf, read {infinite!r}, finite: {math.isfinite(infinite)}")
print(f"logged nan, read {undefined!r}")
searches = [f"metrics.loss {sign} 1" for sign in ("=", "<", "<=", ">", ">=", "!=")]
found = [each for each in searches if run in [one.info.run_id for one in client.search_runs([experiment], each)]]
print("searches that find the run with loss nan:", found)
assert math.isfinite(infinite) and math.isnan(undefined) and found == ["metrics.loss != 1"], "this has changed"
PYTHON
