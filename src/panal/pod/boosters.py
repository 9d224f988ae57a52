"""Models of boosting libraries, which apps carry as bytes in an array: stored as the file that the library loads.

XGBoost writes JSON or UBJSON and loads a file by its ending; CatBoost writes its own binary form, or JSON.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from panal.pod.tensors import bytes_of
from panal.pod.tools.files import replace

MAX_ARRAYS = 64  # of a model that are looked at
LARGEST = 1 << 30  # bytes


def extract(source: Path, names: Sequence[str], folder: Path) -> list[str]:
    """Writes into `folder` what the npz `source` holds of such models, and gives the files' names: `model.ubj`, or `model-0.ubj` and so on
    where there are several arrays."""
    found = []
    for index in range(min(len(names), MAX_ARRAYS)):
        content = bytes_of(source, index, LARGEST)
        if content and (ending := kind(content)):
            name = f"model.{ending}" if len(names) == 1 else f"model-{index}.{ending}"
            replace(folder / name, content, durable=True)
            found.append(name)
    return found


def kind(content: bytes) -> str:
    """The ending by which the library knows its file; empty for bytes of another kind."""
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
