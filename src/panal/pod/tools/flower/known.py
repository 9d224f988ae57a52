"""The Flower that our hooks and guards are written for. With another one nothing is started: no guard may fall away in silence.

Known is the source of the modules that we patch or replace, or whose inner workings a guard relies on: its SHA-256 in each release that was
tested (`digests`, made by `make flower-known`). So a release that leaves them alone works on the day it appears, and one that
changes a line of them is refused. What is used by its public interface is not among them. Numbers of versions serve messages,
and tell whether hub and site have the same.

The files are found and read without importing anything of Flower. The command line asks the same of one that it has fetched.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

from .digests import DIGESTS

MODULES = (
    # the SuperLink: identity, secret, fork_hook
    "flwr.superlink.cli.flower_superlink",
    "flwr.superlink.main",
    "flwr.superlink.routers.fleet.node_auth",
    "flwr.superlink.routers.fleet.router",
    "flwr.superlink.servicer.fleet.fleet_handlers",
    "flwr.superlink.servicer.runtime.runtime_handlers",
    # replies before they are complete: messages
    "flwr.supercore.inflatable.inflatable_object",
    "flwr.supercore.inflatable.inflatable_utils",
    # the ServerApp: watch, server_hook, serverapp_hook, legacy_hook, output_hook
    "flwr.server.history",
    "flwr.server.run_serverapp",
    "flwr.server.server",
    "flwr.server.workflow.default_workflows",
    "flwr.serverapp.strategy.strategy",
    "flwr.superlink.runtime.run_serverapp",
    "flwr.supercore.superexec.plugin.base_exec_plugin",
    # the SuperNode: site, poll_hook, fork_hook
    "flwr.supernode.cli.flower_supernode",
    "flwr.supernode.fleet_http_connection",
    "flwr.supernode.main",
    "flwr.supernode.start_client_internal",
    # the ClientApp: client_hook
    "flwr.supernode.runtime.run_clientapp",
    # both sides: secret, fork_server
    "flwr.supercore.protobuf.client",
    "flwr.supercore.superexec.executor.subprocess_executor",
)

VERSIONS = tuple(DIGESTS)  # oldest first
NEWEST = VERSIONS[-1]
PIN = f"flwr=={NEWEST}"
WORKING = " and ".join(", ".join(dict.fromkeys(v.rpartition(".")[0] for v in VERSIONS)).rsplit(", ", 1))  # 1.40, 1.41 and 1.42

Read = Callable[[str], bytes]  # the content of a file by its path, such as flwr/app/error.py; OSError or KeyError if there is none


def unknown() -> str:
    """Why this environment's Flower cannot be guarded; empty if it can. The end may be cut off on its way to a status."""
    from importlib.util import find_spec

    spec = find_spec("flwr")
    places = spec.submodule_search_locations if spec is not None else None
    if not places:
        return f"The image holds no Flower for its `python3`: install {PIN} in it ({WORKING} work)"
    unlike = difference(lambda path: (Path(places[0]).parent / path).read_bytes())
    what = f"Flower {installed()}".rstrip()
    return f"The image holds {what}, and panal knows {WORKING}: install {PIN} in it. {unlike}" if unlike else ""


def installed() -> str:
    """This environment's version of Flower; empty if there is none."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("flwr")
    except PackageNotFoundError:
        return ""


def minor(version: str) -> str:
    """1.42 of 1.42.0."""
    return ".".join(version.split(".")[:2])


def differs(hub: str) -> str:
    """Why this environment's Flower does not go with the hub's, which is empty if the hub did not tell; empty if it does."""
    here = installed()
    if not hub or minor(hub) == minor(here):
        return ""
    return f"The hub runs Flower {hub}, and this image holds {here or 'none'}"


def difference(read: Read) -> str:
    """How a Flower differs from all that are known, told of the one that it is most like; empty if it is as one of them."""
    found = digests(read)
    apart = {version: [m for m in MODULES if found[m] != known.get(m)] for version, known in DIGESTS.items()}
    nearest = min(reversed(VERSIONS), key=lambda version: len(apart[version]))
    modules = apart[nearest]
    if not modules:
        return ""
    which = f"{modules[0]} and {len(modules) - 1} more modules are" if modules[1:] else f"{modules[0]} is"
    return f"Its {which} not as in {nearest}"


def digests(read: Read) -> dict[str, str]:
    """SHA-256 of each module's source; empty for one that is not there."""
    return {module: _digest(read, module.replace(".", "/")) for module in MODULES}


def _digest(read: Read, place: str) -> str:
    content = _content(read, f"{place}.py") or _content(read, f"{place}/__init__.py")
    return hashlib.sha256(content).hexdigest() if content else ""


def _content(read: Read, path: str) -> bytes:
    try:
        return read(path)
    except (OSError, KeyError):
        return b""
