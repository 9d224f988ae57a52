"""Kubernetes' CEL functions on quantities, versions, addresses, URLs, lists and regular expressions, as plain functions.

A value of a Kubernetes type (a quantity, a version, an address) is a mapping of one item here, its type's name and its text, for the CEL
library carries nothing else; two are equal if their mappings are. A ValueError is an evaluation error: the cluster does not match.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from fractions import Fraction
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_interface, ip_network
from itertools import pairwise
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

from panal.placement.quantity import Quantity, quantity

Value = Mapping[str, str]
Address = IPv4Address | IPv6Address

QUANTITY, SEMVER, IP, CIDR, URL = "kubernetes.Quantity", "kubernetes.Semver", "net.IP", "net.CIDR", "kubernetes.URL"
MAX_INT = 2**63
SEMVER_FORM = re.compile(
    r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)"
    r"(?:-((?:0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*)(?:\.(?:0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*))*))?"
    r"(?:\+[0-9a-zA-Z-]+(?:\.[0-9a-zA-Z-]+)*)?",
    re.ASCII,
)


def text_of(value: Value, kind: str) -> str:
    if set(value) != {kind}:
        raise ValueError(f"no such overload: {kind} expected")
    return value[kind]


def is_valid(make: Callable[..., object]) -> Callable[..., bool]:
    """Whether a text has the form that `make` needs."""

    def valid(*arguments: object) -> bool:
        try:
            make(*arguments)
        except ValueError:
            return False
        return True

    return valid


def parse_json(text: str) -> Any:
    """Numbers are floating, as in Go."""
    return json.loads(text, parse_int=float, parse_constant=_refuse)


def _refuse(text: str) -> Any:
    raise ValueError(f"{text} is not JSON")


# Quantities: the text is an exact fraction.


def to_quantity(text: str) -> Value:
    return {QUANTITY: str(quantity(text).exact)}


def exact(value: Value | int) -> Fraction:
    return Fraction(value) if isinstance(value, int) else Fraction(text_of(value, QUANTITY))


def sign(value: Value) -> int:
    return (exact(value) > 0) - (exact(value) < 0)


def is_integer(value: Value) -> bool:
    number = exact(value)
    return number.denominator == 1 and -MAX_INT <= number < MAX_INT


def as_integer(value: Value) -> int:
    if not is_integer(value):
        raise ValueError("cannot convert value to integer")
    return int(exact(value))


def as_float(value: Value) -> float:
    number = exact(value)
    scale = -next(power for power in range(10) if 10**power % number.denominator == 0)
    return Quantity(int(number * 10**-scale), scale, "k").approximate()


def add(value: Value, other: Value | int) -> Value:
    return {QUANTITY: str(exact(value) + exact(other))}


def subtract(value: Value, other: Value | int) -> Value:
    return {QUANTITY: str(exact(value) - exact(other))}


# Versions: the text is the version without its build.


def to_semver(text: str, normalize: bool = False) -> Value:
    form = SEMVER_FORM.fullmatch(_normalized(text) if normalize else text)
    if not form or any(int(number) >= 2 * MAX_INT for number in form.groups()[:3]):
        raise ValueError(f"{text!r} is not a version")
    return {SEMVER: form[0].partition("+")[0]}


def _normalized(text: str) -> str:
    parts = text.removeprefix("v").split(".", 2)
    parts = [part if len(part) < 2 else re.sub(r"^0+(?=\d)", "", part) for part in parts]
    if len(parts) < 3 and set(parts[-1]) & {"+", "-"}:
        raise ValueError("a short version cannot have a pre-release or build")
    return ".".join(parts + ["0"] * (3 - len(parts)))


def numbers(value: Value) -> tuple[int, ...]:
    return tuple(int(number) for number in text_of(value, SEMVER).partition("-")[0].split("."))


def _precedence(value: Value) -> tuple[Any, ...]:
    """A pre-release comes before its version; in it numbers before words."""
    _, dash, pre = text_of(value, SEMVER).partition("-")
    parts = tuple((0, int(part), "") if part.isdigit() else (1, 0, part) for part in pre.split("."))
    return (*numbers(value), not dash, parts)


def compare(value: Value, other: Value) -> int:
    """Of two quantities or two versions."""
    rank: Callable[[Value], Any] = exact if QUANTITY in value else _precedence
    return int(rank(value) > rank(other)) - int(rank(value) < rank(other))


# Addresses.


def address(text: str) -> Address:
    found = ip_address(text)
    if isinstance(found, IPv6Address) and (found.scope_id or found.ipv4_mapped):
        raise ValueError(f"{text!r} has a zone or is IPv4 in IPv6")
    return found


def to_ip(text: str) -> Value:
    return {IP: str(address(text))}


def of_ip(read: Callable[[Address], Any]) -> Callable[[Value], Any]:
    return lambda value: read(address(text_of(value, IP)))


def is_global_unicast(ip: Address) -> bool:
    return not (ip.is_unspecified or ip.is_loopback or ip.is_multicast or ip.is_link_local or str(ip) == "255.255.255.255")


def is_link_local_multicast(ip: Address) -> bool:
    return ip in ip_network("224.0.0.0/24" if ip.version == 4 else "ff02::/16")


def to_cidr(text: str) -> Value:
    ip, _, bits = text.partition("/")
    if not re.fullmatch("0|[1-9][0-9]{0,2}", bits):
        raise ValueError(f"{text!r} is not a network address")
    return {CIDR: f"{address(ip)}/{ip_interface(text).network.prefixlen}"}


def contains_ip(cidr: Value, ip: Value | str) -> bool:
    return address(ip if isinstance(ip, str) else text_of(ip, IP)) in ip_interface(text_of(cidr, CIDR)).network


def contains_cidr(cidr: Value, other: Value | str) -> bool:
    inner = ip_interface(text_of(to_cidr(other) if isinstance(other, str) else other, CIDR)).network
    outer = ip_interface(text_of(cidr, CIDR)).network
    return inner.version == outer.version and inner.subnet_of(outer)  # type: ignore[arg-type]


def ip_of(cidr: Value) -> Value:
    return {IP: text_of(cidr, CIDR).partition("/")[0]}


def prefix_length(cidr: Value) -> int:
    return int(text_of(cidr, CIDR).partition("/")[2])


def masked(cidr: Value) -> Value:
    return {CIDR: str(ip_interface(text_of(cidr, CIDR)).network)}


# URLs.


def to_url(text: str) -> Value:
    if any(ord(character) < 0x21 or character == "\x7f" for character in text) or re.search("%(?![0-9A-Fa-f]{2})", text):
        raise ValueError(f"{text!r} is not a URL")
    if not re.match("[A-Za-z][A-Za-z0-9+.-]*:.|/", text):
        raise ValueError(f"{text!r} is neither an absolute URL nor an absolute path")
    if not re.fullmatch(r"(\[[0-9A-Fa-f:.%]*\]|[^:\[\]]*)(:[0-9]*)?", urlsplit(text).netloc.rpartition("@")[2]):
        raise ValueError(f"{text!r} has a wrong host or port")
    return {URL: text}


def host(url: Value) -> str:
    return urlsplit(text_of(url, URL)).netloc.rpartition("@")[2]


def hostname(url: Value) -> str:
    found = host(url)
    return found.partition("]")[0].removeprefix("[") if found.startswith("[") else found.partition(":")[0]


def port(url: Value) -> str:
    return host(url).rpartition("]")[2].rpartition(":")[2] if ":" in host(url).rpartition("]")[2] else ""


def scheme(url: Value) -> str:
    return urlsplit(text_of(url, URL)).scheme


def escaped_path(url: Value) -> str:
    return quote(urlsplit(text_of(url, URL)).path, safe="/%:@!$&'()*+,;=~-._")


def query(url: Value) -> Mapping[str, list[str]]:
    return parse_qs(urlsplit(text_of(url, URL)).query, keep_blank_values=True)


# Lists and regular expressions.


def is_sorted(values: Sequence[Any]) -> bool:
    _one_type(values)
    return all(a <= b for a, b in pairwise(values))


def total(values: Sequence[Any]) -> Any:
    _one_type(values)
    if values and (isinstance(values[0], bool) or not isinstance(values[0], int | float | timedelta)):
        raise ValueError("no such overload: sum")
    return sum(values[1:], values[0]) if values else 0


def extreme(choose: Callable[[Sequence[Any]], Any]) -> Callable[[Sequence[Any]], Any]:
    def chosen(values: Sequence[Any]) -> Any:
        _one_type(values)
        return choose(values)  # of no values: a ValueError

    return chosen


def _one_type(values: Sequence[Any]) -> None:
    if len({type(value) for value in values}) > 1 or any(isinstance(value, list | dict) for value in values):
        raise ValueError("no such overload: a list of values that cannot be compared")


def find(text: str, pattern: str) -> str:
    return next((match[0] for match in re.finditer(pattern, text, re.ASCII)), "")


def find_all(text: str, pattern: str, limit: int = -1) -> list[str]:
    """As in Go, an empty match right behind another match does not count."""
    found: list[str] = []
    end = -1
    for match in re.finditer(pattern, text, re.ASCII):
        if match[0] or match.start() != end:
            found.append(match[0])
        end = match.end()
    return found if limit < 0 else found[:limit]
