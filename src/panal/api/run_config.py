"""`spec.server.runConfig`: values for keys that the app declares in its run config. The declared keys are known only in the app's image.

The launcher gets the values in an environment variable, so their total size is limited. A schema of the API server has no type
"string, number or boolean" whose values a rule can compare: it limits the number of keys, and the parser checks the rest.
"""

from __future__ import annotations

import json
import math
from typing import Annotated, Any

from pydantic import BeforeValidator, WithJsonSchema

MAX_KEYS = 100
MAX_KEY = 128  # characters
MAX_SIZE = 32 * 1024  # bytes as JSON
MAX_INTEGER = 2**63  # Flower's integers have 64 bits

Value = str | bool | int | float


def _checked(found: Any) -> Any:
    if not isinstance(found, dict):
        return found
    for key, value in found.items():
        if problem := _problem(str(key), value):
            raise ValueError(f"{str(key)[:MAX_KEY]}: {problem}")
    if len(found) > MAX_KEYS or len(as_json(found)) > MAX_SIZE:
        raise ValueError(f"has more than {MAX_KEYS} keys or {MAX_SIZE} bytes; put large settings into a file of the app")
    return found


def _problem(key: str, value: Any) -> str:
    if not 0 < len(key) <= MAX_KEY:
        return f"a key must have 1 to {MAX_KEY} characters"
    if not isinstance(value, Value):
        return "a value must be a string, a number or a boolean; write a key of a table with a dot, such as optimizer.lr"
    if isinstance(value, float) and not math.isfinite(value):
        return "a number must be finite"
    if isinstance(value, int) and not -MAX_INTEGER <= value < MAX_INTEGER:
        return "an integer must fit into 64 bits"
    return ""


def as_json(config: dict[str, Value]) -> str:
    return json.dumps(config, sort_keys=True, separators=(",", ":"))


SCHEMA = {"type": "object", "maxProperties": MAX_KEYS, "x-kubernetes-preserve-unknown-fields": True}
RunConfig = Annotated[dict[str, Any], BeforeValidator(_checked), WithJsonSchema(SCHEMA)]
