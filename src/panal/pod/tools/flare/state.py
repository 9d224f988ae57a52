"""Encodes what a workflow keeps from round to round as JSON and numpy arrays, exactly: the types and all bits are the same when it is
decoded. What cannot be encoded so is named. Nothing is pickled, and FLARE's FOBS is not used.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..files import shown
from ..model import LONGEST_NAME, STORABLE, type_name

PLAIN = (type(None), bool, int, float, str)
DICT, ARRAY, SCALAR = "dict", "array", "scalar"  # a dictionary's content, and the numbers of arrays
DEEPEST = 20


class NotExactError(Exception):
    """A value that cannot be restored exactly."""


def encoded(value: Any, arrays: list[tuple[str, Any]], name: str = "model", depth: int = 0) -> Any:
    """`value` as JSON. Appends numpy arrays and numbers to `arrays`, named by their place there. Raises NotExactError."""
    import numpy as np

    if type(value) in PLAIN:
        return value
    if depth < DEEPEST and type(value) is dict and all(type(key) is str for key in value):
        return {DICT: {key: encoded(each, arrays, f"{name}.{key}", depth + 1) for key, each in value.items()}}
    if depth < DEEPEST and type(value) is list:
        return [encoded(each, arrays, f"{name}.{index}", depth + 1) for index, each in enumerate(value)]
    if (type(value) is np.ndarray or isinstance(value, np.generic)) and type_name(value) in STORABLE:
        arrays.append((str(len(arrays)), np.asarray(value)))
        return {ARRAY if type(value) is np.ndarray else SCALAR: len(arrays) - 1}
    raise NotExactError(f"{shown(name, LONGEST_NAME)} is of the type {type(value).__module__}.{type(value).__qualname__}")


def decoded(tree: Any, arrays: Mapping[str, Any]) -> Any:
    """The value that `encoded` was given. Raises KeyError or TypeError if it did not write `tree`."""
    if isinstance(tree, list):
        return [decoded(each, arrays) for each in tree]
    if not isinstance(tree, dict):
        return tree
    if DICT in tree:
        return {key: decoded(each, arrays) for key, each in tree[DICT].items()}
    return arrays[str(tree[ARRAY])] if ARRAY in tree else arrays[str(tree[SCALAR])][()]
