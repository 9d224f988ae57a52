"""What the reporter gets to track a run in MLflow and to send its trace to an OTLP endpoint.

Credentials and authorities are optional for the Pod: the reporter says what is missing, and the run goes on without tracking.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from panal.api import names
from panal.api.types import CaBundle, MLflow, OpenTelemetry
from panal.lifecycle.storage.bucket import CA_FILE, authorities
from panal.lifecycle.storage.kind import NOTHING, ReporterNeeds, environment
from panal.lifecycle.world import Run

FOLDERS = "/panal/tracking", "/panal/telemetry"  # the authorities, mounted only in the reporter


def reporter(run: Run) -> ReporterNeeds:
    if run.spec.tracking is None:
        return NOTHING
    mlflow, telemetry = run.spec.tracking.mlflow, run.spec.tracking.open_telemetry
    found = [_mlflow(run, mlflow) if mlflow else NOTHING, _telemetry(run, telemetry) if telemetry else NOTHING]
    return ReporterNeeds(tuple(env for each in found for env in each.env), {n: v for each in found for n, v in each.volumes.items()})


def _telemetry(run: Run, wanted: OpenTelemetry) -> ReporterNeeds:
    content = {"endpoint": wanted.endpoint, "created": run.created.timestamp(), "bundle": _named(wanted.ca_bundle)}
    return _needs("TELEMETRY", content, wanted.secret_name, (names.OTLP_HEADERS,), wanted.ca_bundle, FOLDERS[1])


def _mlflow(run: Run, wanted: MLflow) -> ReporterNeeds:
    content = {
        "uri": wanted.uri,
        "experiment": wanted.experiment,
        "bundle": _named(wanted.ca_bundle),
        "secret": wanted.secret_name,
        "parameters": _parameters(run),
    }
    return _needs("TRACKING", content, wanted.secret_name, names.MLFLOW_CREDENTIALS, wanted.ca_bundle, FOLDERS[0])


def _named(bundle: CaBundle | None) -> str:
    return f"key {bundle.key} of {bundle.kind} {bundle.name}" if bundle else ""


def _needs(
    name: str, content: Mapping[str, object], secret: str, keys: Sequence[str], bundle: CaBundle | None, folder: str
) -> ReporterNeeds:
    """The variable PANAL_<name> with `content`, that with the file of the authorities, and the credentials."""
    env = environment(**{f"PANAL_{name}": json.dumps(content), f"PANAL_{name}_AUTHORITIES": f"{folder}/{CA_FILE}" if bundle else ""})
    wanted = ({"name": secret, "key": key, "optional": True} for key in keys) if secret else ()
    secrets = tuple({"name": each["key"], "valueFrom": {"secretKeyRef": each}} for each in wanted)
    return ReporterNeeds((*env, *secrets), {name.lower(): (authorities(bundle), folder)} if bundle else {})


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
