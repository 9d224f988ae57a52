"""What MLflow gets of a run: names, points and parameters. Pure; `mlflow` sends it.

MLflow refuses names with other characters than NAME, and at most BATCH points are in one request. It cuts long parameters without a word,
and an infinite metric is read back as 1.8e308, so both are changed here: a parameter is cut and named in a tag, and a metric that is not
finite is sent as NaN, which breaks the curve, and tagged as DIVERGED, since a search by < or >= does not find NaN.
"""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from panal.pod.history import Row

BATCH = 1000  # points in a request
PARAMETERS = 100  # in a request
LONGEST = 500  # characters of a parameter's value: the least of the supported versions
MAX_NAME = 250
DIVERGED, LOGGED, CUT = "panal.diverged", "panal.logged", "panal.cutParameters"
REFUSED, PARAMETERS_LOGGED = "panal.refused", "panal.parameters"
NAME = re.compile(r"[^\w\-. :/]", re.ASCII)

Point = dict[str, Any]


def points(row: Row) -> list[Point]:
    """A round as points: the app's metrics by their names, panal's below `panal/`, each cluster's below `clusters/NAME/`."""
    content = json.loads(gzip.decompress(row.full))
    own = {f"panal/{name}": content.get(name) for name in ("seconds", "replies", "failures")}
    found = {**(content.get("metrics") or {}), **own}
    for cluster, each in (content.get("clusters") or {}).items():
        below = f"clusters/{cluster}"
        found |= {f"{below}/{name}": value for name, value in (each.get("metrics") or {}).items()}
        found |= {f"{below}/panal/{name}": each.get(name) for name in ("seconds", "received", "sent")}
    time = round(1000 * float(row.time or 0))
    return [
        {"key": name_of(key), "value": _finite(value), "timestamp": time, "step": row.round}
        for key, value in found.items()
        if value is not None
    ]


def diverged(row: Row) -> str:
    """The metrics of the round that are not finite, such as `round 3: loss NaN`; empty if all are."""
    metrics: Mapping[str, Any] = json.loads(gzip.decompress(row.brief)).get("metrics") or {}
    found = ", ".join(f"{name} {value}" for name, value in metrics.items() if isinstance(value, str))
    return f"round {row.round}: {found}" if found else ""


def _finite(value: Any) -> Any:
    return "NaN" if isinstance(value, str) else value


def name_of(key: str) -> str:
    """A name that MLflow accepts. It refuses what is no path of a file as well."""
    parts = NAME.sub("_", key)[:MAX_NAME].split("/")
    return "/".join("_" if part.strip(". ") == "" else part for part in parts)


def parameters(wanted: Mapping[str, str]) -> tuple[list[dict[str, str]], list[str]]:
    """The parameters, and the names of those that were cut."""
    cut = sorted(name for name, value in wanted.items() if len(value) > LONGEST)
    shortened = {name: value if name not in cut else f"{value[: LONGEST - 1]}…" for name, value in wanted.items()}
    found: dict[str, str] = {}
    for name, value in shortened.items():
        key, number = name_of(name), 1
        while key in found:  # names that differ in what MLflow does not accept
            number += 1
            key = f"{name_of(name)[: MAX_NAME - 8]}_{number}"
        found |= {key: value} if value else {}
    return [{"key": key, "value": value} for key, value in found.items()], cut


def batches(found: Sequence[Any], size: int) -> Iterator[list[Any]]:
    for start in range(0, len(found), size):
        yield list(found[start : start + size])


def artifact_path(uri: str) -> str | None:
    """The path of a run's artifacts below the server's endpoint for them; None if the server does not take artifacts itself."""
    scheme, _, rest = uri.partition(":")
    if scheme != "mlflow-artifacts":
        return None
    if rest.startswith("//"):
        rest = rest[2:].partition("/")[2]
    return rest.strip("/")
