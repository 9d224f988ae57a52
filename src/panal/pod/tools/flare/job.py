"""The job folder in the image: found, checked, and copied with what the run decides.

Replaced are, in meta.json: min_clients, and the names of sites in deploy_map and mandatory_clients, which are clusters; resource_spec and
launcher_spec are left out, because Kubernetes has granted the resources. In config_fed_server of each app that the server gets:
num_rounds, and the number of clients of a workflow, and start_round if the run goes on after a round. FLARE reads JSON, HOCON and YAML; the
copy has JSON.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from ..codes import Ending
from ..files import Json, RunError, shown, write_json
from .codes import site_name
from .resumable import first_round, obstacle

META, SERVER_CONFIG, CLIENT_CONFIG = "meta", "config_fed_server", "config_fed_client"
SUFFIXES = (".json", ".conf", ".yml", ".yaml")
ALL, SERVER = "@ALL", "server"
MISSING = "The image holds no FLARE job: there is no meta.json in its working directory, or in the folder PANAL_APP_DIR"
NAME = "job"  # of the copy's folder
PIECE = 4 << 20  # bytes
RECORDER: Json = {"id": "panal_recorder", "path": "panal_tools.flare.recorder.Recorder", "args": {}}
# The parameters of FLARE's workflows that the run decides. Those of the classes below are set also where a job leaves them out.
ROUNDS, START, CLIENTS = "num_rounds", "start_round", ("min_clients", "num_clients")
WORKFLOWS = {
    "nvflare.app_common.workflows.fedavg.FedAvg": "num_clients",
    "nvflare.app_common.workflows.scaffold.Scaffold": "num_clients",
    "nvflare.app_common.workflows.scatter_and_gather.ScatterAndGather": "min_clients",
}

Load = Callable[[Path], Json | None]


def required() -> Path:
    """The job's folder in the image: PANAL_APP_DIR, else the working directory. Raises RunError if it holds no job."""
    folder = Path(os.environ.get("PANAL_APP_DIR") or Path.cwd())
    _required(folder, META, MISSING)
    return folder


def load(file: Path) -> Json | None:
    """A configuration in any of FLARE's formats, as FLARE reads it."""
    from nvflare.fuel.utils.config_factory import ConfigFactory

    found = ConfigFactory.load_config(str(file))
    return None if found is None else dict(found.to_dict())


def prepare(source: Path, target: Path, rounds: int, min_clients: int, read: Load = load, *, digest: str = "", done: int = 0) -> str:
    """Copies the job in `source` to `target`, adapted. Returns why it cannot go on exactly after a loss of the server; if it can, the copy
    begins after `done` rounds. `digest` is its fingerprint. Raises RunError if FLARE could not run it."""
    shutil.rmtree(target, ignore_errors=True)
    meta_file = _required(source, META, MISSING)
    meta = _read(meta_file, read)
    deployed = _deploy_map(meta)
    why = ""
    shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
    for folder in (target, *(each for each in target.rglob("*") if each.is_dir())):
        folder.chmod(folder.stat().st_mode | 0o700)  # those of the image may be read-only
    for app, sites in deployed.items():
        config = source / app / "config"
        if SERVER in sites or ALL in sites:
            file = _required(config, SERVER_CONFIG, f"The job's app {app} has no config/{SERVER_CONFIG}.json")
            found = _read(file, read)
            _replace(target / app / "config" / file.name, adapted_config(found, rounds, min_clients, digest, done))
            why = why or obstacle(found)
        if set(sites) - {SERVER}:
            _read(_required(config, CLIENT_CONFIG, f"The job's app {app} has no config/{CLIENT_CONFIG}.json"), read)
    _replace(target / meta_file.name, adapted_meta(meta, min_clients))
    return why


def fingerprint(source: Path) -> str:
    """Identifies the job in `source`: the SHA-256 of its files."""
    files = sorted(each for each in source.rglob("*") if each.is_file() and "__pycache__" not in each.parts)
    return hashlib.sha256(json.dumps([[str(each.relative_to(source)), _digest(each)] for each in files]).encode()).hexdigest()


def _digest(path: Path) -> str:
    found = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(PIECE):
            found.update(piece)
    return found.hexdigest()


def adapted_meta(meta: Json, min_clients: int) -> Json:
    kept = {name: value for name, value in meta.items() if name not in ("resource_spec", "launcher_spec")}
    kept["min_clients"] = min_clients
    kept["deploy_map"] = {app: [_site(each) for each in sites] for app, sites in _deploy_map(meta).items()}
    if required := meta.get("mandatory_clients"):
        kept["mandatory_clients"] = [_site(each) for each in required]
    return kept


def adapted_config(config: Json, rounds: int, min_clients: int, digest: str = "", done: int = 0) -> Json:
    workflows = config.get("workflows")
    if not isinstance(workflows, list) or not all(isinstance(each, dict) for each in workflows) or not workflows:
        raise RunError(Ending.APP_INVALID, f"The job's {SERVER_CONFIG} has no workflows")
    for each in workflows:
        arguments = each.setdefault("args", {})
        if (own := WORKFLOWS.get(each.get("path") or "")) is not None:
            arguments.update({ROUNDS: rounds, own: min_clients})
        wanted: dict[str, Any] = {ROUNDS: rounds, **dict.fromkeys(CLIENTS, min_clients)}
        arguments.update({name: value for name, value in wanted.items() if name in arguments})
    components = [each for each in config.get("components") or [] if each.get("id") != RECORDER["id"]]
    return {**config, "components": [*components, {**RECORDER, "args": _begun({**config, "components": components}, rounds, digest, done)}]}


def _begun(config: Json, rounds: int, digest: str, done: int) -> Json:
    """The arguments of the recorder. A job that can go on begins after `done` rounds."""
    if obstacle(config):
        return {}
    first = first_round(config)
    if done:
        config["workflows"][0]["args"].update({START: first + done, ROUNDS: max(0, rounds - done)})
    return {"first": first, "done": done, "digest": digest}


def _site(name: str) -> str:
    return name if name in (ALL, SERVER) else site_name(name)


def _deploy_map(meta: Json) -> dict[str, list[str]]:
    """The sites of each app."""
    found = meta.get("deploy_map")
    if not isinstance(found, dict) or not found:
        raise RunError(Ending.APP_INVALID, "The job's meta.json has no deploy_map")
    deployed = {}
    for app, sites in found.items():
        names = sites.get("sites") if isinstance(sites, dict) else sites
        if not isinstance(names, list) or not all(isinstance(each, str) for each in names) or "/" in app or app.startswith("."):
            raise RunError(Ending.APP_INVALID, f"deploy_map of the job's meta.json is not a list of sites for the app {shown(app, 100)}")
        deployed[app] = [ALL] if ALL in map(str.upper, names) or not names else names
    _refuse_without_server(deployed.values())
    return deployed


def _refuse_without_server(deployed: Iterable[list[str]]) -> None:
    if not any(SERVER in sites or ALL in sites for sites in deployed):
        raise RunError(Ending.APP_INVALID, "deploy_map of the job's meta.json names no app for the server")


def _config(folder: Path, name: str) -> Path | None:
    return next((file for suffix in SUFFIXES if (file := folder / f"{name}{suffix}").is_file()), None)


def _required(folder: Path, name: str, missing: str) -> Path:
    if (found := _config(folder, name)) is None:
        raise RunError(Ending.APP_INVALID, missing)
    return found


def _read(file: Path, read: Load) -> Json:
    try:
        found = read(file)
    except Exception as error:
        raise RunError(Ending.APP_INVALID, f"FLARE cannot read {file.name}: {shown(f'{type(error).__name__}: {error}', 300)}") from error
    if not isinstance(found, dict):
        raise RunError(Ending.APP_INVALID, f"FLARE cannot read {file.name}: it has no object")
    return found


def _replace(file: Path, content: Json) -> None:
    file.unlink()
    write_json(file.with_suffix(".json"), content)
