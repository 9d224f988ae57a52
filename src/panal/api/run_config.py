"""`spec.server.runConfig`: values for keys that the app declares in its run config. Which those are is only known where the app is.

The values go to the launcher in a variable of the environment, so all of them together are bounded. The API server's schemas have no type
for "text, number or boolean" whose values rules may compare: it knows the number of keys, the rest is checked when the resource is read.
"""

from __future__ import annotations

import json
import math
from typing import Annotated, Any

from pydantic import BeforeValidator, WithJsonSchema

MAX_KEYS = 100
MAX_KEY = 128  # characters
MAX_SIZE = 32 * 1024  # bytes as JSON
WHOLE = 2**63  # Flower's whole numbers have 64 bits

Value = str | bool | int | float


def _checked(found: Any) -> Any:
    if not isinstance(found, dict):
        return found
    for key, value in found.items():
        if problem := _problem(str(key), value):
            raise ValueError(f"{str(key)[:MAX_KEY]}: {problem}")
    if len(found) > MAX_KEYS or len(as_json(found)) > MAX_SIZE:
        raise ValueError(f"more than {MAX_KEYS} keys or {MAX_SIZE} bytes; put large settings into a file of the app")
    return found


def _problem(key: str, value: Any) -> str:
    if not 0 < len(key) <= MAX_KEY:
        return f"a key has 1 to {MAX_KEY} characters"
    if not isinstance(value, Value):
        return "a value is a text, a number or a boolean; a key of a table is written with a dot, such as optimizer.lr"
    if isinstance(value, float) and not math.isfinite(value):
        return "a number has to be finite"
    if isinstance(value, int) and not -WHOLE <= value < WHOLE:
        return "a whole number has 64 bits at most"
    return ""


def as_json(config: dict[str, Value]) -> str:
    return json.dumps(config, sort_keys=True, separators=(",", ":"))


SCHEMA = {"type": "object", "maxProperties": MAX_KEYS, "x-kubernetes-preserve-unknown-fields": True}
RunConfig = Annotated[dict[str, Any], BeforeValidator(_checked), WithJsonSchema(SCHEMA)]
