"""The functions that Open Cluster Management and Kubernetes add to CEL, as declarations: name, types, and what runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from cel_expr_python import cel

from panal.placement import cel_functions as f

Type = cel.Type
QUANTITY, SEMVER, IP, CIDR, URL = KUBERNETES_TYPES = tuple(map(Type.AbstractType, (f.QUANTITY, f.SEMVER, f.IP, f.CIDR, f.URL)))
TEXT, INT, BOOL, DYN = Type.STRING, Type.INT, Type.BOOL, Type.DYN
SUMMABLE = (Type.INT, Type.UINT, Type.DOUBLE, Type.DURATION)
COMPARABLE = (*SUMMABLE, Type.BOOL, Type.TIMESTAMP, Type.STRING, Type.BYTES)


class Overload(NamedTuple):
    """`types` are those of the arguments and, last, of the result."""

    name: str
    member: bool
    types: tuple[Any, ...]
    run: Callable[..., Any]


def member(name: str, *types: Any, run: Callable[..., Any]) -> Overload:
    return Overload(name, True, types, run)


def function(name: str, *types: Any, run: Callable[..., Any]) -> Overload:
    return Overload(name, False, types, run)


def overloads(scores: Callable[..., Any]) -> list[Overload]:
    """`scores` is what managedCluster.scores(name) runs."""
    own = member("scores", DYN, TEXT, Type.List(DYN), run=scores)
    return [own, *_texts(), *_quantities(), *_versions(), *_addresses(), *_urls(), *_lists()]


def _texts() -> list[Overload]:
    return [
        member("parseJSON", TEXT, DYN, run=f.parse_json),
        member("find", TEXT, TEXT, TEXT, run=f.find),
        member("findAll", TEXT, TEXT, Type.List(TEXT), run=f.find_all),
        member("findAll", TEXT, TEXT, INT, Type.List(TEXT), run=f.find_all),
    ]


def _quantities() -> list[Overload]:
    return [
        function("quantity", TEXT, QUANTITY, run=f.to_quantity),
        function("isQuantity", TEXT, BOOL, run=f.is_valid(f.to_quantity)),
        function("sign", QUANTITY, INT, run=f.sign),
        member("asApproximateFloat", QUANTITY, Type.DOUBLE, run=f.as_float),
        member("asInteger", QUANTITY, INT, run=f.as_integer),
        member("isInteger", QUANTITY, BOOL, run=f.is_integer),
        member("add", QUANTITY, QUANTITY, QUANTITY, run=f.add),
        member("add", QUANTITY, INT, QUANTITY, run=f.add),
        member("sub", QUANTITY, QUANTITY, QUANTITY, run=f.subtract),
        member("sub", QUANTITY, INT, QUANTITY, run=f.subtract),
        *_comparisons(QUANTITY),
    ]


def _comparisons(kind: Any) -> list[Overload]:
    return [
        member("isGreaterThan", kind, kind, BOOL, run=lambda a, b: f.compare(a, b) > 0),
        member("isLessThan", kind, kind, BOOL, run=lambda a, b: f.compare(a, b) < 0),
        member("compareTo", kind, kind, INT, run=f.compare),
    ]


def _versions() -> list[Overload]:
    return [
        function("semver", TEXT, SEMVER, run=f.to_semver),
        function("isSemver", TEXT, BOOL, run=f.is_valid(f.to_semver)),
        member("major", SEMVER, INT, run=lambda v: f.numbers(v)[0]),
        member("minor", SEMVER, INT, run=lambda v: f.numbers(v)[1]),
        member("patch", SEMVER, INT, run=lambda v: f.numbers(v)[2]),
        *_comparisons(SEMVER),
    ]


def _addresses() -> list[Overload]:
    return [
        function("ip", TEXT, IP, run=f.to_ip),
        function("isIP", TEXT, BOOL, run=f.is_valid(f.to_ip)),
        function("ip.isCanonical", TEXT, BOOL, run=lambda text: str(f.address(text)) == text),
        member("family", IP, INT, run=f.of_ip(lambda ip: ip.version)),
        member("isUnspecified", IP, BOOL, run=f.of_ip(lambda ip: ip.is_unspecified)),
        member("isLoopback", IP, BOOL, run=f.of_ip(lambda ip: ip.is_loopback)),
        member("isLinkLocalMulticast", IP, BOOL, run=f.of_ip(f.is_link_local_multicast)),
        member("isLinkLocalUnicast", IP, BOOL, run=f.of_ip(lambda ip: ip.is_link_local)),
        member("isGlobalUnicast", IP, BOOL, run=f.of_ip(f.is_global_unicast)),
        function("cidr", TEXT, CIDR, run=f.to_cidr),
        function("isCIDR", TEXT, BOOL, run=f.is_valid(f.to_cidr)),
        member("containsIP", CIDR, TEXT, BOOL, run=f.contains_ip),
        member("containsIP", CIDR, IP, BOOL, run=f.contains_ip),
        member("containsCIDR", CIDR, TEXT, BOOL, run=f.contains_cidr),
        member("containsCIDR", CIDR, CIDR, BOOL, run=f.contains_cidr),
        member("ip", CIDR, IP, run=f.ip_of),
        member("prefixLength", CIDR, INT, run=f.prefix_length),
        member("masked", CIDR, CIDR, run=f.masked),
    ]


def _urls() -> list[Overload]:
    return [
        function("url", TEXT, URL, run=f.to_url),
        function("isURL", TEXT, BOOL, run=f.is_valid(f.to_url)),
        member("getScheme", URL, TEXT, run=f.scheme),
        member("getHost", URL, TEXT, run=f.host),
        member("getHostname", URL, TEXT, run=f.hostname),
        member("getPort", URL, TEXT, run=f.port),
        member("getEscapedPath", URL, TEXT, run=f.escaped_path),
        member("getQuery", URL, Type.Map(TEXT, Type.List(TEXT)), run=f.query),
    ]


def _lists() -> list[Overload]:
    return [
        *(member("isSorted", Type.List(kind), BOOL, run=f.is_sorted) for kind in COMPARABLE),
        *(member("sum", Type.List(kind), kind, run=f.total) for kind in SUMMABLE),
        *(member("min", Type.List(kind), kind, run=f.extreme(min)) for kind in COMPARABLE),
        *(member("max", Type.List(kind), kind, run=f.extreme(max)) for kind in COMPARABLE),
    ]
