"""Whether a host is an IP address or a name: collaborators' Pods do not resolve names, so several modules need to know."""

from __future__ import annotations

from ipaddress import ip_address

PORTS = {"http": 80, "https": 443}  # by scheme, where a URL names none


def is_ip(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def is_of_a_host(address: str) -> bool:
    """Whether it is an IP address of one host, and none that leads to the Pod or its node: loopback, link-local (where clouds serve
    credentials of nodes), unspecified, multicast."""
    found = ip_address(address)
    return "%" not in address and not (found.is_loopback or found.is_link_local or found.is_unspecified or found.is_multicast)
