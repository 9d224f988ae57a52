"""Excludes loopback from the proxies that the user sets: the Pod's programs communicate over loopback.

Libraries differ in whether they read `NO_PROXY` or `no_proxy`, so both get the hosts of either. Child processes inherit them.
"""

from __future__ import annotations

from collections.abc import MutableMapping

NAMES = ("no_proxy", "NO_PROXY")
LOOPBACK = ("localhost", "127.0.0.1", "::1")
EVERYTHING = "*"


def exclude_loopback(env: MutableMapping[str, str]) -> None:
    """Adds the loopback addresses, and PANAL_LOOPBACK if set, to both variables of `env`."""
    hosts = [part.strip() for name in NAMES for part in env.get(name, "").split(",")]
    wanted = dict.fromkeys([*hosts, env.get("PANAL_LOOPBACK", ""), *LOOPBACK])
    listed = EVERYTHING if EVERYTHING in hosts else ",".join(host for host in wanted if host)
    for name in NAMES:
        env[name] = listed
