"""Extracts models of XGBoost and CatBoost, which apps carry as bytes in a uint8 array, into files that these libraries load.

XGBoost writes JSON or UBJSON and recognizes a file by its extension. CatBoost writes a binary format or JSON.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from panal.pod.tensors import read_bytes
from panal.pod.tools.files import replace

MAX_ARRAYS = 64  # of a model that are examined
LARGEST = 1 << 30  # bytes


def extract(source: Path, names: Sequence[str], folder: Path) -> list[str]:
    """Writes each booster model in the npz `source` to `folder`. Returns the file names: `model.ubj`, or `model-0.ubj`, `model-1.ubj`, ...
    if the npz has several arrays."""
    found = []
    for index in range(min(len(names), MAX_ARRAYS)):
        content = read_bytes(source, index, LARGEST)
        if content and (ending := kind(content)):
            name = f"model.{ending}" if len(names) == 1 else f"model-{index}.{ending}"
            replace(folder / name, content, durable=True)
            found.append(name)
    return found


def kind(content: bytes) -> str:
    """The file extension of a booster model; empty for other content."""
    if content.startswith(b"CBM1"):
        return "cbm"
    if content.startswith(b"{L"):  # UBJSON: an object whose first name's length is an int64
        return "ubj" if b"learner" in content[:4096] or b"learner" in content[-4096:] else ""
    if content.startswith(b"{") and any(name in content[:65536] for name in (b'"learner"', b'"features_info"', b'"model_info"')):
        try:
            found = json.loads(content)
        except (ValueError, RecursionError):
            return ""
        return "json" if "learner" in found or {"features_info", "model_info"} <= found.keys() else ""
    return ""
