"""The startup kits of a run: what `nvflare provision` writes for a federation, without certificates.

FLARE's own TLS and its identities by certificates are off: FLARE listens and connects on loopback of its Pod, and the gateways authenticate
and encrypt. `gate` binds each connection to the cluster that the gateway names.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..files import Json, write_json

PROJECT = "panal"  # FLARE's name for the federation, equal on both sides
HEARTBEAT, LOST = 3.0, 30.0  # seconds between a client's signs of life, and until it counts as lost
CLIENTS = 10_000  # clients that FLARE's server registers
THREADS = 4 * CLIENTS  # of FLARE's gRPC server, one for each open connection, created when needed. With FLARE's 100, the next would wait
LARGEST_MESSAGE = 64 << 20  # bytes of one gRPC message: FLARE sends large objects in pieces of 1 MiB
_PATHS = {
    "jobs": "nvflare.apis.impl.job_def_manager.SimpleJobDefManager",
    "scheduler": "nvflare.app_common.job_schedulers.job_scheduler.DefaultJobScheduler",
    "storage": "nvflare.app_common.storages.filesystem_storage.FilesystemStorage",
    "snapshots": "nvflare.app_common.state_persistors.storage_state_persistor.StorageStatePersistor",
    "server": "panal_tools.flare.launchers.ServerLauncher",
    "client": "panal_tools.flare.launchers.ClientLauncher",
    "resources": "nvflare.app_common.resource_managers.passthrough_resource_manager.PassthroughResourceManager",
    "consumer": "nvflare.app_common.resource_consumers.list_resource_consumer.ListResourceConsumer",
}


def write_server(folder: Path, address: str, port: int) -> list[str]:
    """Writes the settings of FLARE's server to `folder`. Returns its arguments."""
    server = {
        "name": PROJECT,
        "service": _service(address, port),
        "admin_server": address,
        "admin_port": port,
    }
    _write(folder, "fed_server.json", {"format_version": 2, "servers": [server]}, _server(folder))
    return ["-m", str(folder), "-s", "fed_server.json", "--set", "secure_train=false", "org=panal", "config_folder=config"]


def write_client(folder: Path, address: str, port: int, site: str) -> list[str]:
    """Writes the settings of FLARE's client to `folder`. Returns its arguments."""
    startup = {
        "format_version": 2,
        "servers": [{"name": PROJECT, "service": _service(address, port), "identity": "server"}],
        "client": {"fqsn": site, "is_leaf": True},
    }
    _write(folder, "fed_client.json", startup, _client())
    settings = ["secure_train=false", f"uid={site}", "org=panal", "config_folder=config", f"heart_beat_interval={HEARTBEAT}"]
    return ["-m", str(folder), "-s", "fed_client.json", "--set", *settings]


def _service(address: str, port: int) -> Json:
    return {"target": f"{address}:{port}", "scheme": "grpc"}


def _write(folder: Path, name: str, startup: Json, resources: Json) -> None:
    for each in ("startup", "local"):
        (folder / each).mkdir(parents=True, exist_ok=True)
    write_json(folder / "startup" / name, startup)
    write_json(folder / "local/resources.json", {"format_version": 2, "class_allow_list": ["*"], **resources})
    write_json(folder / "local/comm_config.json", _communication())
    write_json(folder / "local/log_config.json", _logging())


def _server(folder: Path) -> Json:
    storage = {"path": _PATHS["storage"], "args": {"root_dir": str(folder / "snapshots"), "uri_root": "/"}}
    return {
        "servers": [{"admin_storage": "transfer", "max_num_clients": CLIENTS, "heart_beat_timeout": LOST, "admin_timeout": 30.0}],
        "snapshot_persistor": {"path": _PATHS["snapshots"], "args": {"uri_root": "/", "storage": storage}},
        "components": [
            _component(
                "job_scheduler", "scheduler", max_jobs=1, max_schedule_count=1_000_000, min_schedule_interval=1.0, max_schedule_interval=5.0
            ),
            _component("job_manager", "jobs", uri_root=str(folder / "jobs"), job_store_id="job_store"),
            _component("job_store", "storage"),
            _component("process_launcher", "server"),
            {"id": "panal", "path": "panal_tools.flare.operator.Operator", "args": {}},
        ],
    }


def _client() -> Json:
    return {
        "client": {"retry_timeout": 30},
        "components": [
            _component("resource_manager", "resources"),
            _component("resource_consumer", "consumer"),
            _component("process_launcher", "client"),
        ],
    }


def _component(name: str, path: str, **arguments: Any) -> Json:
    return {"id": name, "path": _PATHS[path], "args": arguments}


def _communication() -> Json:
    """gRPC without TLS also between the processes of a Pod, which then need the Pod's secret; no connections between sites."""
    return {
        "allow_adhoc_conns": False,
        "use_aio_grpc": False,
        "internal": {"scheme": "grpc", "resources": {"host": "localhost", "connection_security": "clear"}},
        "grpc": {"max_workers": THREADS, "options": [["grpc.max_receive_message_length", LARGEST_MESSAGE], ["grpc.so_reuseport", 0]]},
    }


def _logging() -> Json:
    """What concerns the run on standard output: without a line for each request and connection."""
    quiet = (
        "nvflare.fuel", "nvflare.private.aux_runner", "nvflare.private.fed.server.cred_keeper", "nvflare.apis.utils.reliable_message",
        "nvflare.private.fed.client.communicator", "nvflare.private.fed.server.server_commands", "nvflare.app_common.np.np_downloader",
    )  # fmt: skip
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"plain": {"format": "%(levelname)s %(name)s: %(message)s"}},
        "handlers": {"out": {"class": "logging.StreamHandler", "formatter": "plain", "stream": "ext://sys.stdout"}},
        "loggers": {name: {"level": "CRITICAL" if name.endswith("cred_keeper") else "WARNING"} for name in quiet},
        "root": {"level": "INFO", "handlers": ["out"]},
    }
