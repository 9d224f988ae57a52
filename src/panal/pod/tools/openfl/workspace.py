"""Finds the OpenFL workspace in the image, and reads its plan.

A plan names an address, certificates and a number of rounds of its own. They are replaced in memory: OpenFL's two sides meet on loopback of
their Pods, without TLS, because the gateways authenticate and encrypt. The plan's straggler policy and assigner are replaced as well
(`assignment`).
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..codes import Ending
from ..files import RunError, loopback, number, shown

PLAN, DATA = Path("plan/plan.yaml"), Path("plan/data.yaml")
# OpenFL's name for the run, equal on both sides. Constant: the gateways connect only collaborators of the same run.
FEDERATION = "panal"
LOSSLESS = "openfl.pipelines.NoCompressionPipeline"
RECONNECT = 2  # seconds between two attempts of a collaborator to reach the aggregator
NOISY = ("openfl.transport.grpc", "openfl.federated.plan", "openfl.component")


def find() -> Path | None:
    """The workspace's folder in the image: PANAL_APP_DIR, else the working directory; None if it has no plan."""
    folder = Path(os.environ.get("PANAL_APP_DIR") or Path.cwd())
    return folder if (folder / PLAN).is_file() else None


def configure_logging() -> None:
    """Logs to standard output, as `fx` does, line by line, without a line for each request."""
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s", stream=sys.stdout)
    for name in NOISY:
        logging.getLogger(name).setLevel(logging.ERROR)


def read_plan() -> Any:
    """The plan of the working directory as OpenFL's Plan, adapted. Raises RunError."""
    if not PLAN.is_file():
        where = os.environ.get("PANAL_APP_DIR") or "its working directory"
        raise RunError(Ending.APP_INVALID, f"The image holds no OpenFL workspace: there is no {PLAN} in {where}")
    sys.path.insert(0, str(Path.cwd()))  # for templates such as src.taskrunner.Runner
    from openfl.federated import Plan

    try:
        plan = Plan.parse(PLAN, data_config_path=DATA if DATA.is_file() else None)
    except Exception as error:
        raise RunError(Ending.APP_INVALID, f"{PLAN} is not a plan that OpenFL can read: {described(error)}") from error
    refuse_unsupported(plan.config)
    adapt(plan.config)
    plan.federation_uuid, plan.aggregator_uuid = FEDERATION, f"aggregator_{FEDERATION}"
    return plan


def described(error: BaseException) -> str:
    """The class and text of an exception, as one line."""
    return shown(f"{type(error).__name__}: {error}", 300)


def refuse_unsupported(config: Mapping[str, Any]) -> None:
    """Raises RunError for a plan with a feature that needs all collaborators in every round, or a server of its own."""
    if config["aggregator"]["settings"].get("secure_aggregation"):
        message = "sets aggregator.settings.secure_aggregation, which panal does not support: it fails if a collaborator is absent"
        raise RunError(Ending.APP_INVALID, f"{PLAN} {message}")
    if config.get("connector"):
        raise RunError(Ending.APP_INVALID, f'{PLAN} has a section "connector": run a Flower app with spec.framework flower instead')


def adapt(config: dict[str, Any]) -> None:
    """Replaces the settings that the run decides.

    With deltas, a site sends the difference to its own model of the last round, and OpenFL adds it to the global one. That is another model
    if other sites took part in the last round, and it depends on what the site has in memory. Without compression deltas save nothing.
    """
    config["network"]["settings"].update(
        agg_addr=loopback(),
        use_tls=False,
        require_client_auth=False,
        transport_protocol="grpc",
        enable_atomic_connections=False,
        client_reconnect_interval=RECONNECT,
    )
    # A failed aggregator is not restarted in its Pod, so no state is persisted. `rounds` has the number of rounds.
    config["aggregator"]["settings"].update(rounds_to_train=1, write_logs=False, persist_checkpoint=False)
    config.setdefault("collaborator", {"template": "openfl.component.Collaborator", "settings": {}})["settings"].update(write_logs=False)
    if (config.get("compression_pipeline") or {}).get("template", LOSSLESS) == LOSSLESS:
        for side in ("aggregator", "collaborator"):
            config[side]["settings"].update(use_delta_updates=False)
    loader = config.get("data_loader", {}).get("settings", {})
    if "collaborator_count" in loader:  # of OpenFL's examples, which divide a data set
        loader["collaborator_count"] = number("PANAL_NUM_PARTITIONS", int(loader["collaborator_count"]))


def data_path(named: Mapping[str, str], cluster: str) -> str:
    """What the data loader of a site gets: the folder of its data, else what plan/data.yaml says for the cluster, else the number of its
    partition, which OpenFL's examples take as the number of a shard."""
    return os.environ.get("PANAL_DATA_PATH") or named.get(cluster) or os.environ.get("PANAL_PARTITION_ID", "0")
