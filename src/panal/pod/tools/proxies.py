"""Loopback never goes through a proxy, whatever proxies the user has set: the Pod's own programs speak to each other there.

Our programs change their environment before anything reads it; what they start inherits it. `NO_PROXY` and `no_proxy` count
for the library that reads it: some prefer the one, some the other, so both get what the user has put into either.
"""

from __future__ import annotations

from collections.abc import MutableMapping

NAMES = ("no_proxy", "NO_PROXY")
LOOPBACK = ("localhost", "127.0.0.1", "::1")
EVERYTHING = "*"


def spare_loopback(env: MutableMapping[str, str]) -> None:
    """`env` may have PANAL_LOOPBACK, the address by which the Pod's programs find each other."""
    hosts = [part.strip() for name in NAMES for part in env.get(name, "").split(",")]
    wanted = dict.fromkeys([*hosts, env.get("PANAL_LOOPBACK", ""), *LOOPBACK])
    listed = EVERYTHING if EVERYTHING in hosts else ",".join(host for host in wanted if host)
    for name in NAMES:
        env[name] = listed
