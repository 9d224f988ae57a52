"""Refuses a run before round 1 if the aggregation of its model cannot fit the memory limit of the container.

The need is a lower bound. An average adds one array of one reply at a time: it needs the sum of all arrays, one array of a reply, and that
array times its weight. Integers become float64. The replies and the model itself are in files (`arrays`). Some strategies keep more.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ..files import RunError, number
from .aggregation import chain
from .arrays import stored
from .codes import FlowerEnding
from .journal import Journal

MIB = 1 << 20
WIDE = 8  # bytes of a float64
ROOTS = {"": "/sys/fs/cgroup", "memory": "/sys/fs/cgroup/memory"}  # of cgroups in version 2 and in version 1
FILES = {"": ("memory.max", "anon"), "memory": ("memory.limit_in_bytes", "total_rss")}
# Strategies of Flower that keep more, by class: models, models for each reply, and arrays (the largest) for each reply.
MORE = {
    "FedOpt": (4, 0, 0),
    "Krum": (0, 1, 0),
    "MultiKrum": (0, 1, 0),
    "Bulyan": (0, 1, 0),
    "FedMedian": (0, 0, 2),
    "FedTrimmedAvg": (0, 0, 2),
}


def require_memory(journal: Journal, strategy: Any, arrays: Mapping[str, Any] | None) -> None:
    """Raises RunError if the model `arrays` needs more memory than the container may use."""
    found = limit_and_use()
    if not arrays or found is None:
        return
    limit, used = found
    needed = used + aggregation_bytes(strategy, arrays, number("PANAL_MIN_CLIENTS", 1))
    if needed <= limit:
        return
    message = (
        f"The aggregation of this model needs {math.ceil(needed / MIB)} MiB, of which {used // MIB} MiB are in use before it, "
        f"and the container superlink may have {limit // MIB} MiB"
    )
    journal.stopped(FlowerEnding.MODEL_TOO_LARGE, message)
    raise RunError(FlowerEnding.MODEL_TOO_LARGE, message)


def aggregation_bytes(strategy: Any, arrays: Mapping[str, Any], replies: int) -> int:
    sizes = [widened(array) for array in arrays.values()]
    model, largest = sum(sizes), max(sizes, default=0)
    names = {base.__name__ for each in chain(strategy) for base in type(each).__mro__ if base.__module__.startswith("flwr.")}
    more = [MORE[name] for name in names if name in MORE]
    models, for_each, largest_for_each = (max((each[i] for each in more), default=0) for i in range(3))
    return model + 2 * largest + models * model + replies * (for_each * model + largest_for_each * largest)


def widened(array: Any) -> int:
    """The bytes of an array's average."""
    import numpy as np

    try:
        dtype = np.dtype(array.dtype)
    except TypeError:  # a type that numpy lacks
        return len(stored(array))
    size = max(WIDE, dtype.itemsize) if dtype.kind in "iub" else dtype.itemsize
    return int(math.prod(array.shape) * size)


def limit_and_use() -> tuple[int, int] | None:
    """The memory limit of the container, and the bytes of it that are in use and no file's cache; None without a limit."""
    for folder, (limit_file, used_key) in _cgroups():
        limit = _read(folder / limit_file).strip()
        if limit.isdecimal() and int(limit) < 1 << 60:
            lines = (line.split() for line in _read(folder / "memory.stat").splitlines())
            return int(limit), next((int(words[1]) for words in lines if words[:1] == [used_key]), 0)
    return None


def _cgroups() -> Iterator[tuple[Path, tuple[str, str]]]:
    if given := os.environ.get("PANAL_CGROUP"):  # for tests
        yield Path(given), FILES[""]
        return
    for line in _read(Path("/proc/self/cgroup")).splitlines():
        _, controllers, path = line.split(":", 2)
        kind = "memory" if "memory" in controllers.split(",") else controllers
        if kind in ROOTS:
            yield Path(ROOTS[kind] + path), FILES[kind]
            yield Path(ROOTS[kind]), FILES[kind]  # in a container with a cgroup namespace


def _read(file: Path) -> str:
    try:
        return file.read_text()
    except OSError:
        return ""
