"""Whether a host is an IP address or a name: collaborators' Pods do not resolve names, so several modules need to know."""

from __future__ import annotations

from ipaddress import ip_address


def is_ip(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
