"""What the reporter gets to track a run in MLflow.

Credentials and authorities are optional for the Pod: the reporter says what is missing, and the run goes on without tracking.
"""

from __future__ import annotations

import json

from panal.lifecycle.storage.bucket import CA_FILE, authorities
from panal.lifecycle.storage.kind import NOTHING, ReporterNeeds, environment
from panal.lifecycle.world import Run

FOLDER = "/panal/tracking"  # the authorities, mounted only in the reporter
KEYS = ("MLFLOW_TRACKING_TOKEN", "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD")


def reporter(run: Run) -> ReporterNeeds:
    wanted = run.spec.tracking.mlflow if run.spec.tracking else None
    if wanted is None:
        return NOTHING
    bundle = wanted.ca_bundle
    content = {
        "uri": wanted.uri,
        "experiment": wanted.experiment,
        "bundle": f"key {bundle.key} of {bundle.kind} {bundle.name}" if bundle else "",
        "secret": wanted.secret_name,
        "parameters": _parameters(run),
    }
    env = environment(PANAL_TRACKING=json.dumps(content), PANAL_TRACKING_AUTHORITIES=f"{FOLDER}/{CA_FILE}" if bundle else "")
    keys = ({"name": wanted.secret_name, "key": key, "optional": True} for key in KEYS) if wanted.secret_name else ()
    secrets = tuple({"name": each["key"], "valueFrom": {"secretKeyRef": each}} for each in keys)
    return ReporterNeeds((*env, *secrets), {"tracking": (authorities(bundle), FOLDER)} if bundle else {})


def _parameters(run: Run) -> dict[str, str]:
    """What the run was asked to do. `rounds` is the number at the start of this aggregator."""
    server, client = run.spec.server, run.spec.client
    found = {
        "framework": run.spec.framework,
        "rounds": str(server.rounds),
        "minAvailableClients": str(server.min_available_clients),
        "server.image": server.image,
        "client.image": client.image,
        "dataClaim": client.data_claim,
    }
    return found | {f"config/{name}": str(value) for name, value in server.run_config.items()}
