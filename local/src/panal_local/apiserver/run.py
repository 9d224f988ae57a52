"""Putting it together: the folder, the store, what every cluster has from its first moment, and the listening."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from panal_local.apiserver import tls
from panal_local.apiserver.defaults import User
from panal_local.apiserver.errors import StatusError
from panal_local.apiserver.identity import ADMIN, Identity, static_tokens
from panal_local.apiserver.kinds import Registry
from panal_local.apiserver.logs import Logs
from panal_local.apiserver.requests import Call
from panal_local.apiserver.server import Api, http
from panal_local.apiserver.store import Store
from panal_local.apiserver.writes import Writer

log = logging.getLogger("panal.apiserver")
NAMESPACES = ("default", "kube-system", "kube-public", "kube-node-lease")


@dataclass(frozen=True, slots=True)
class Config:
    folder: Path
    host: str
    port: int
    token_file: Path | None = None
    node_token: Path | None = None


@asynccontextmanager
async def serving(config: Config) -> AsyncIterator[Path]:
    """Entered once the server listens; gives a Unix socket for this process's own clients, which need no TLS there. Busy if another process
    has the folder."""
    folder = config.folder
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    tls.prepare(folder, config.host)
    store, registry = Store(folder / "db.sqlite"), Registry()
    identity = Identity(store, (folder / "admin.token").read_text().strip(), (folder / "sa.key").read_bytes(), _tokens(config.token_file))
    api = Api(store, registry, identity, Logs(store, config.node_token), f"{config.host}:{config.port}")
    _first_objects(Writer(store, registry), registry, (folder / "ca.crt").read_text())
    loop, answering = asyncio.get_running_loop(), http(api)
    server = await loop.create_server(answering, config.host, config.port, ssl=tls.context(folder), backlog=512)
    handle = os.open(folder, os.O_PATH)
    socket = Path(f"/proc/self/fd/{handle}/socket")  # the folder's own path may be longer than an address can be
    own = await loop.create_unix_server(answering, socket, backlog=512)
    port = server.sockets[0].getsockname()[1]
    tls.write_kubeconfig(folder, f"https://{config.host}:{port}")
    log.info("serving on https://%s:%d, version %d", config.host, port, store.version)
    try:
        yield socket
    finally:
        api.closing.set()
        server.close()
        own.close()
        os.close(handle)
        store.close()


def _tokens(path: Path | None) -> Callable[[], dict[str, User]]:
    """Read again whenever the file has changed."""
    if path is None:
        return dict
    known: dict[str, Any] = {"at": None, "tokens": static_tokens(path) if path.exists() else {}}

    def found() -> dict[str, User]:
        try:
            at = path.stat().st_mtime_ns
        except OSError:
            return {}
        if at != known["at"]:
            known.update(at=at, tokens=static_tokens(path))
        tokens: dict[str, User] = known["tokens"]
        return tokens

    return found


def _first_objects(writer: Writer, registry: Registry, certificate: str) -> None:
    spaces = [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}} for name in NAMESPACES]
    metadata = {"name": "extension-apiserver-authentication", "namespace": "kube-system"}
    authority = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"client-ca-file": certificate}}
    for obj in (*spaces, authority):
        resource = registry.by_kind(str(obj["apiVersion"]), str(obj["kind"]))
        assert resource
        found: Any = obj["metadata"]
        try:
            writer.create(Call(resource, found.get("namespace", ""), "", "", {}, ADMIN, "kube-apiserver"), obj)
        except StatusError as error:
            if error.code != 409:
                raise
