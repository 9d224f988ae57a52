"""The state of the random number generators that a process shares: Python's, numpy's and PyTorch's, as far as they are in use.

Flower's heartbeats and retries draw from Python's generator of the app's process, so that what a seeded app draws depends on time. `patch`
gives them a generator of their own.
"""

from __future__ import annotations

import importlib
import random
import sys
from types import ModuleType
from typing import Any

from .state_tree import as_bits


def patch(module: ModuleType) -> None:
    """`module` is one of Flower's that draw waiting times."""
    if getattr(module, "random", None) is not random:
        raise TypeError(f"{module.__name__} does not use random as expected")
    module.random = random.Random()  # type: ignore[attr-defined]


def state() -> dict[str, Any]:
    """As JSON."""
    version, words, gauss = random.getstate()
    found: dict[str, Any] = {"python": [version, list(words), gauss]}
    if "numpy" in sys.modules:
        import numpy as np

        legacy: Any = np.random.get_state(legacy=False)
        found["numpy"] = {**legacy, "state": {**legacy["state"], "key": legacy["state"]["key"].tolist()}}
    if (torch := sys.modules.get("torch")) is not None:
        found["torch"] = torch.get_rng_state().tolist()
    return found


def restore(found: dict[str, Any]) -> None:
    version, words, gauss = found["python"]
    random.setstate((version, tuple(words), gauss))
    if "numpy" in found:
        import numpy as np

        np.random.set_state(as_bits(found["numpy"]))
    if "torch" in found:
        torch: Any = importlib.import_module("torch")
        torch.set_rng_state(torch.tensor(found["torch"], dtype=torch.uint8))
