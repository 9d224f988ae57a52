"""Checks that the installed Flower is one for which the hooks and guards were tested. Nothing is started with any other.

MODULES are those that we patch, or on whose internals a guard relies. `digests` has the SHA-256 of their sources in each tested release
(`make flower-known` generates it). So a new release that does not change them works without an update, and one that does is refused.
Version numbers are only used for messages, and to compare hub and site.

The sources are read without importing Flower, because the command line also checks a Flower that it has downloaded.
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
    # objects in files and in batches: objects, arrays
    "flwr.app.message.array",
    "flwr.app.message.arraychunk",
    "flwr.app.message.arrayrecord",
    "flwr.supercore.object_store.in_memory_object_store",
    "flwr.supernode.servicer.runtime.runtime_handlers",
    # replies before they are complete: messages
    "flwr.supercore.inflatable.inflatable_object",
    "flwr.supercore.inflatable.inflatable_utils",
    # the ServerApp: watch, server_hook, serverapp_hook, legacy_hook, output_hook
    "flwr.server.history",
    "flwr.server.run_serverapp",
    "flwr.server.server",
    "flwr.server.workflow.default_workflows",
    "flwr.serverapp.strategy.fedavg",
    "flwr.serverapp.strategy.result",
    "flwr.serverapp.strategy.strategy",
    "flwr.superlink.runtime.run_serverapp",
    "flwr.supercore.superexec.plugin.base_exec_plugin",
    # waiting times in both: randomness
    "flwr.supercore.heartbeat",
    "flwr.supercore.retry.retry_invoker",
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

Read = Callable[[str], bytes]  # path, such as flwr/app/error.py -> content; raises OSError or KeyError if it does not exist


def unknown() -> str:
    """Why this environment's Flower is not supported; empty if it is. The status may truncate the message, so details are at its end."""
    from importlib.util import find_spec

    spec = find_spec("flwr")
    places = spec.submodule_search_locations if spec is not None else None
    if not places:
        return f"The image holds no Flower for its `python3`: install {PIN} in it ({WORKING} work)"
    unlike = difference(lambda path: (Path(places[0]).parent / path).read_bytes())
    what = f"Flower {installed()}".rstrip()
    return f"The image holds {what}, and panal knows {WORKING}: install {PIN} in it. {unlike}" if unlike else ""


def installed() -> str:
    """The installed version of Flower; empty if there is none."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("flwr")
    except PackageNotFoundError:
        return ""


def minor(version: str) -> str:
    """The minor version, such as 1.42 for 1.42.0."""
    return ".".join(version.split(".")[:2])


def differs(hub: str) -> str:
    """Why the installed Flower is incompatible with the hub's version; empty if it is compatible, or if `hub` is empty."""
    here = installed()
    if not hub or minor(hub) == minor(here):
        return ""
    return f"The hub runs Flower {hub}, and this image holds {here or 'none'}"


def difference(read: Read) -> str:
    """How a Flower differs from the most similar known release; empty if it equals one."""
    found = digests(read)
    apart = {version: [m for m in MODULES if found[m] != known.get(m)] for version, known in DIGESTS.items()}
    nearest = min(reversed(VERSIONS), key=lambda version: len(apart[version]))
    modules = apart[nearest]
    if not modules:
        return ""
    which = f"{modules[0]} and {len(modules) - 1} more modules are" if modules[1:] else f"{modules[0]} is"
    return f"Its {which} not as in {nearest}"


def digests(read: Read) -> dict[str, str]:
    """The SHA-256 of each module's source; empty for a missing one."""
    return {module: _digest(read, module.replace(".", "/")) for module in MODULES}


def _digest(read: Read, place: str) -> str:
    content = _content(read, f"{place}.py") or _content(read, f"{place}/__init__.py")
    return hashlib.sha256(content).hexdigest() if content else ""


def _content(read: Read, path: str) -> bytes:
    try:
        return read(path)
    except (OSError, KeyError):
        return b""
