"""A client of the SuperLink's Control API for the launcher, and the app bundle with its run config."""

from __future__ import annotations

import hashlib
import importlib.util
import io
import os
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..codes import Ending
from ..files import Json, RunError, loopback, number
from . import secret
from .app_folder import refuse_unfit
from .codes import MIN_CLIENTS_KEYS, ROUNDS_KEYS, FlowerEnding
from .environment import superlink_port
from .known import PIN, unknown
from .left_out import App, error_message, left_out
from .run_config import declared, given

PLAIN_SIZE = 9 * 1024 * 1024  # bytes of the files in an uncompressed bundle; Flower's limit for a bundle is 10 MiB


class UnreachableError(Exception):
    """The SuperLink does not answer at the moment."""


@dataclass(frozen=True)
class RunState:
    finished: bool
    outcome: str = ""  # completed, failed or stopped
    details: str = ""


class Control:
    def __init__(self) -> None:
        if why := unknown():
            raise RunError(FlowerEnding.FLOWER_NOT_SUPPORTED, why)
        try:
            import httpx
            from flwr.proto import control_pb2
            from flwr.supercore.control import ControlHttpClient
        except ImportError as error:
            raise RunError(FlowerEnding.FLOWER_NOT_SUPPORTED, f"Flower cannot be imported ({error}). Install {PIN} in the image") from error
        secret.patch(importlib.import_module("flwr.supercore.protobuf.client"))
        self._httpx, self._pb = httpx, control_pb2
        self._client = ControlHttpClient.from_server_address(f"{loopback()}:{superlink_port()}", True, None, [])

    def _call(self, method: str, request: Any) -> Any:
        try:
            return getattr(self._client, method)(request)
        except self._httpx.TransportError as error:
            raise UnreachableError(str(error)) from error
        except self._httpx.HTTPStatusError as error:
            if error.response.status_code >= 500:
                raise UnreachableError(str(error)) from error
            raise

    def online(self) -> int:
        return sum(node.status == "online" for node in self._call("ListNodes", self._pb.ListNodesRequest()).nodes_info)

    def start(self, bundle: bytes, config: dict[str, Any]) -> int:
        from flwr.common.serde import fab_to_proto, user_config_to_proto
        from flwr.supercore.fab import Fab

        fab = Fab(hashlib.sha256(bundle).hexdigest(), bundle, {})
        request = self._pb.StartRunRequest(fab=fab_to_proto(fab), override_config=user_config_to_proto(config), federation="")
        try:
            response = self._call("StartRun", request)
        except self._httpx.HTTPStatusError as error:
            raise RunError(Ending.APP_INVALID, f"Flower refused the app: {error.response.text[:500]}") from error
        if not response.HasField("run_id"):
            raise RunError(Ending.APP_INVALID, f"Flower refused the app: {response.note}")
        return int(response.run_id)

    def state(self, run: int) -> RunState | None:
        """The state of the run; None if the SuperLink does not know it, because it was restarted."""
        try:
            found = self._call("ListRuns", self._pb.ListRunsRequest(run_id=run)).run_dict
        except self._httpx.HTTPStatusError:
            return None
        if run not in found:
            return None
        status = found[run].status
        return RunState(status.status == "finished", status.sub_status, status.details)

    def stop(self, run: int) -> None:
        try:
            self._call("StopRun", self._pb.StopRunRequest(run_id=run))
        except (UnreachableError, self._httpx.HTTPStatusError):
            return  # the Pod ends anyway


def bundle_app(folder: Path) -> bytes:
    from flwr.cli.build import build_fab_from_disk

    refuse_unfit(folder)
    try:
        bundle: bytes = build_fab_from_disk(folder)
    except Exception as error:
        raise RunError(Ending.APP_INVALID, f"The Flower app in {folder} cannot be bundled: {error}") from error
    return uncompressed(bundle)


def refuse_incomplete(folder: Path, project: Json, bundle: bytes) -> None:
    """Raises RunError if the app imports modules of its folder that the bundle lacks."""
    components = project["tool"]["flwr"]["app"].get("components", {})
    modules = [str(components[name]).partition(":")[0] for name in ("serverapp", "clientapp") if name in components]
    files = {str(Path(where, name).relative_to(folder)) for where, _, names in os.walk(folder) for name in names if name.endswith(".py")}
    with zipfile.ZipFile(io.BytesIO(bundle)) as packed:
        app = App(files, lambda path: _text(folder / path), set(packed.namelist()), _installed)
    if found := left_out(modules, app):
        raise RunError(Ending.APP_INVALID, error_message(found))


def _text(path: Path) -> str:
    """The text of a file; empty for a dangling link. Flower bundles no links."""
    try:
        return path.read_text("utf-8", "replace")
    except OSError:
        return ""


def _installed(name: str) -> bool:
    """Whether a top-level module is installed. The app's folder is not on the path of this program."""
    found = importlib.util.find_spec(name)
    return found is not None and found.origin is not None


def uncompressed(bundle: bytes) -> bytes:
    """The bundle without compression, so that its hash is reproducible: compression depends on library and processor. A bundle that would
    exceed Flower's limit stays compressed."""
    plain = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(bundle)) as packed, zipfile.ZipFile(plain, "w", zipfile.ZIP_STORED) as target:
        if sum(info.file_size for info in packed.infolist()) > PLAIN_SIZE:
            return bundle
        for info in packed.infolist():
            same = zipfile.ZipInfo(info.filename, info.date_time)
            same.create_system, same.external_attr = 3, 0o600 << 16
            target.writestr(same, packed.read(info))
    return plain.getvalue()


def overrides(project: Json) -> Json:
    """Values for the app's run config: rounds and quorum for the keys that the app declares, then spec.server.runConfig, which wins."""
    known = declared(project)
    values: Json = {}
    for key, value in known.items():
        if isinstance(value, bool) or not isinstance(value, int):
            continue
        name = key.replace("_", "-")
        if name in ROUNDS_KEYS:
            values[key] = number("PANAL_ROUNDS", value)
        elif name in MIN_CLIENTS_KEYS:
            values[key] = number("PANAL_MIN_CLIENTS", value)
    return values | given(known)
