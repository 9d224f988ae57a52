"""What a NetworkPolicy may not be, in the real server's words. Nothing here or on the local node enforces one."""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Iterator
from typing import Any

from panal_local.apiserver.errors import FORBIDDEN, INVALID, REQUIRED, UNSUPPORTED, Cause

Object = dict[str, Any]
Causes = Iterator[Cause]
TYPES, PROTOCOLS = ("Ingress", "Egress"), ("TCP", "UDP", "SCTP")
PORT_NAME = re.compile(r"[-a-z0-9]*")
ONE_CIDR = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"


def check(policy: Object, old: Object | None) -> Causes:
    spec = policy.get("spec") or {}
    for direction, peers in (("ingress", "from"), ("egress", "to")):
        for i, rule in enumerate(spec.get(direction) or ()):
            here = f"spec.{direction}[{i}]"
            for n, port in enumerate(rule.get("ports") or ()):
                yield from _port(port, f"{here}.ports[{n}]")
            for n, peer in enumerate(rule.get(peers) or ()):
                yield from _peer(peer, f"{here}.{peers}[{n}]")
    types = spec.get("policyTypes") or []
    if len(types) > len(TYPES):
        yield Cause(INVALID, f"Invalid value: {json.dumps(types)}: may not specify more than two policyTypes", "spec.policyTypes")
        return
    for i, type_ in enumerate(types):
        yield from _one_of(type_, TYPES, f"spec.policyTypes[{i}]")


def fill(policy: Object) -> None:
    """As the real server writes it: with the types that follow from the rules, and without lists that are empty."""
    spec = policy.setdefault("spec", {})
    spec.setdefault("policyTypes", ["Ingress", "Egress"] if spec.get("egress") else ["Ingress"])
    for direction, peers in (("ingress", "from"), ("egress", "to")):
        for rule in spec.get(direction) or ():
            for empty in [name for name in ("ports", peers) if isinstance(rule, dict) and rule.get(name) == []]:
                del rule[empty]
        if spec.get(direction) == []:
            del spec[direction]


def selected(policy: Object) -> str:
    """The column of `kubectl get`."""
    labels = ((policy.get("spec") or {}).get("podSelector") or {}).get("matchLabels") or {}
    return ",".join(f"{key}={value}" for key, value in sorted(labels.items())) or "<none>"


def _port(port: Object, path: str) -> Causes:
    if "protocol" in port:
        yield from _one_of(port["protocol"], PROTOCOLS, f"{path}.protocol")
    number, last = port.get("port"), port.get("endPort")
    if isinstance(number, int) and not 1 <= number <= 65535:
        yield Cause(INVALID, f"Invalid value: {number}: must be between 1 and 65535, inclusive", f"{path}.port")
    if isinstance(number, str) and (problem := _name_problem(number)):
        yield Cause(INVALID, f"Invalid value: {json.dumps(number)}: {problem}", f"{path}.port")
    if last is None:
        return
    if number is None:
        yield Cause(INVALID, f"Invalid value: {last}: must specify a port when endPort is specified", f"{path}.endPort")
    elif isinstance(number, int) and last < number:
        yield Cause(INVALID, f"Invalid value: {number}: must be greater than or equal to `port`", f"{path}.endPort")


def _name_problem(name: str) -> str:
    if len(name) > 15:
        return "must be no more than 15 characters"
    if not PORT_NAME.fullmatch(name):
        return "must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)"
    return "" if re.search("[a-z]", name) else "must contain at least one letter (a-z)"


def _peer(peer: Object, path: str) -> Causes:
    block = peer.get("ipBlock")
    others = [name for name in ("podSelector", "namespaceSelector") if peer.get(name) is not None]
    if block is not None:
        yield from _block(block, f"{path}.ipBlock")
    if block is not None and others:
        yield Cause(FORBIDDEN, "Forbidden: may not specify both ipBlock and another peer", path)
    if block is None and not others:
        yield Cause(REQUIRED, "Required value: must specify a peer", path)


def _block(block: Object, path: str) -> Causes:
    cidr = block.get("cidr") or ""
    whole = _network(cidr)
    if not cidr:
        yield Cause(REQUIRED, "Required value", f"{path}.cidr")
    elif whole is None:
        yield Cause(INVALID, f"Invalid value: {json.dumps(cidr)}: {ONE_CIDR}", f"{path}.cidr")
    for i, text in enumerate(block.get("except") or ()):
        part = _network(text)
        if part is None:
            yield Cause(INVALID, f"Invalid value: {json.dumps(text)}: {ONE_CIDR}", f"{path}.except[{i}]")
        elif whole is not None and (part.version != whole.version or part == whole or part.network_address not in whole):
            yield Cause(INVALID, f"Invalid value: {json.dumps(text)}: must be a strict subset of `cidr`", f"{path}.except[{i}]")


def _network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    try:
        return ipaddress.ip_network(text, strict=False) if "/" in text else None
    except ValueError:
        return None


def _one_of(value: Any, known: tuple[str, ...], path: str) -> Causes:
    if value not in known:
        words = ", ".join(json.dumps(k) for k in known)
        yield Cause(UNSUPPORTED, f"Unsupported value: {json.dumps(value)}: supported values: {words}", path)
