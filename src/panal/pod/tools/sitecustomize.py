"""Runs at the start of every Python process of a runtime's container, and brings our hooks into those that they are meant for.

Only waits for certain modules of the framework to be imported; if that never happens, or the module is of a version that we do not know,
nothing changes. A sitecustomize of the image's own, which this one hides, is run as if it were not.
"""

# ruff: noqa: PTH100, PTH120 - pathlib would be imported into every process

from __future__ import annotations

import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import os
import sys
from types import ModuleType

HERE = os.path.dirname(os.path.abspath(__file__))


class Waiter(importlib.abc.MetaPathFinder):
    """Lets the usual finders find the module, and patches it after it was executed."""

    def __init__(self, wanted: str, hook: str) -> None:
        self.wanted = wanted
        self.hook = hook

    def find_spec(self, name: str, path: object = None, target: object = None) -> importlib.machinery.ModuleSpec | None:
        if name != self.wanted:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        if spec is None or spec.loader is None:
            return spec
        execute = spec.loader.exec_module

        def exec_module(module: ModuleType) -> None:
            execute(module)
            self.patch(module)

        spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec

    def patch(self, module: ModuleType) -> None:
        try:
            importlib.import_module(self.hook).patch(module)
        except Exception as error:  # noqa: BLE001  whatever is wrong with our hook must not stop the user's app
            print(f"panal: {self.wanted} is not hooked: {error!r}", file=sys.stderr, flush=True)


def run_hidden() -> None:
    """The next sitecustomize on the path after this folder's."""
    others = [p for p in sys.path if os.path.abspath(p) != HERE]
    spec = importlib.machinery.PathFinder.find_spec("sitecustomize", others)
    if spec is not None and spec.loader is not None:
        spec.loader.exec_module(importlib.util.module_from_spec(spec))


def bring_hooks(runtime: str, side: str) -> None:
    """Those of `panal_tools.RUNTIME.hooks`: HOOKS names the modules to wait for, and ours beside it; `begin` is called now."""
    hooks = importlib.import_module(f"panal_tools.{runtime}.hooks")
    sys.meta_path[:0] = [Waiter(wanted, f"panal_tools.{runtime}.{hook}") for wanted, hook in hooks.HOOKS[side].items()]
    hooks.begin()


if os.environ.get("PANAL_RUNTIME") and os.environ.get("PANAL_HOOK"):
    bring_hooks(os.environ["PANAL_RUNTIME"], os.environ["PANAL_HOOK"])
run_hidden()
