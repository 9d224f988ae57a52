"""Starts the API server: its folder, the store, the initial objects, and the sockets."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from panal_local.apiserver import tls
from panal_local.apiserver.errors import AlreadyExists
from panal_local.apiserver.identity import ADMIN, Identity, User, static_tokens
from panal_local.apiserver.kinds import Registry
from panal_local.apiserver.logs import Logs
from panal_local.apiserver.requests import Call
from panal_local.apiserver.server import Api, http
from panal_local.apiserver.store import Store
from panal_local.apiserver.writes import Writer

log = logging.getLogger(__name__)
NAMESPACES = ("default", "kube-system", "kube-node-lease")


@dataclass(frozen=True, slots=True)
class Config:
    folder: Path
    host: str
    port: int
    token_file: Path | None = None
    node_token: Path | None = None


@asynccontextmanager
async def serving(config: Config) -> AsyncIterator[Path]:
    """Runs the API server while the context is entered. Yields a Unix socket for clients in this process, which need no TLS there. Raises
    Busy if another process uses the folder."""
    folder = config.folder
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    tls.prepare(folder, config.host)
    store, registry = Store(folder / "db.sqlite"), Registry()
    identity = Identity(store, (folder / "admin.token").read_text().strip(), (folder / "sa.key").read_bytes(), _tokens(config.token_file))
    api = Api(store, registry, identity, Logs(store, config.node_token))
    _first_objects(Writer(store, registry), registry)
    loop, handler = asyncio.get_running_loop(), http(api)
    server = await loop.create_server(handler, config.host, config.port, ssl=tls.context(folder), backlog=512)
    handle = os.open(folder, os.O_PATH)
    socket = Path(f"/proc/self/fd/{handle}/socket")  # the path of the folder may be too long for a socket address
    own = await loop.create_unix_server(handler, socket, backlog=512)
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
    """Returns a function that reads the file again after each change."""

    @lru_cache(maxsize=1)
    def at(path: Path, moment: int) -> dict[str, User]:
        return static_tokens(path)

    def found() -> dict[str, User]:
        return at(path, path.stat().st_mtime_ns) if path and path.exists() else {}

    found()  # raises BadTokenFile at the start
    return found


def _first_objects(writer: Writer, registry: Registry) -> None:
    resource = registry.get("", "v1", "namespaces")
    assert resource
    for name in NAMESPACES:
        with suppress(AlreadyExists):
            obj = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
            writer.create(Call(resource, "", "", "", {}, ADMIN, "kube-apiserver"), obj)
