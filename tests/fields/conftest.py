"""The examples of the fields: each test module names its example, whose modules it then imports by the names that they have there."""

from __future__ import annotations

import importlib
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
NAMES = ("health", "retail", "industry", "vehicles")
Modules = Callable[[str], ModuleType]


@pytest.fixture(scope="module")
def module(request: pytest.FixtureRequest) -> Iterator[Modules]:
    """Imports a module of the example that the test module's EXAMPLE names. Other examples have modules of the same names."""
    folder = str(EXAMPLES / request.module.EXAMPLE)
    apart = {name: sys.modules.pop(name) for name in ("split", "compare") if name in sys.modules}
    sys.path.insert(0, folder)
    yield importlib.import_module
    sys.path.remove(folder)
    for name, loaded in list(sys.modules.items()):
        if (getattr(loaded, "__file__", None) or "").startswith(folder):
            del sys.modules[name]
    sys.modules.update(apart)


@pytest.fixture(scope="module")
def data(module: Modules, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What split.py makes."""
    folder = tmp_path_factory.mktemp("data")
    module("split").split(folder)
    return folder


def divided(name: str, folder: Path) -> Path:
    """The data of an example, made by a process of its own."""
    subprocess.run([sys.executable, EXAMPLES / name / "split.py", folder], check=True, stdout=subprocess.DEVNULL)
    return folder


def check_gradients(loss: Callable[[dict], float], model: dict, gradients: dict, step: float = 1e-5) -> None:
    """Compares gradients with central differences, in double precision, at some places of every array."""
    import numpy as np

    rng = np.random.default_rng(0)
    assert gradients.keys() == model.keys()
    for name, array in model.items():
        assert gradients[name].shape == array.shape
        for place in rng.choice(array.size, min(array.size, 12), replace=False):
            at = np.unravel_index(place, array.shape)
            kept = array[at]
            array[at] = kept + step
            above = loss(model)
            array[at] = kept - step
            below = loss(model)
            array[at] = kept
            assert gradients[name][at] == pytest.approx((above - below) / (2 * step), rel=1e-4, abs=1e-7), f"{name}{at}"
