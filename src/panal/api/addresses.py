"""What is an IP address: Pods of collaborators resolve no names, so several parts have to tell the two apart."""

from __future__ import annotations

from ipaddress import ip_address


def is_ip(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
