"""Python runs this module at the start of every process in a runtime's container. It installs the hooks that patch the framework.

A hook is applied when the module that it patches is imported. If the module is never imported, nothing changes. A hook that fails is
reported, and nothing more, unless the runtime's module of hooks has a function `unguarded`: it is called with the reason, and ends the
process. The image's own sitecustomize, which this one shadows, is run as well.
"""

# ruff: noqa: PTH100, PTH120 - pathlib would be imported into every process

from __future__ import annotations

import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import os
import sys
from collections.abc import Callable
from types import ModuleType

HERE = os.path.dirname(os.path.abspath(__file__))
HOOKED = "PANAL_HOOKED"  # an attribute of each module whose hook is applied


class Waiter(importlib.abc.MetaPathFinder):
    """Patches the module `wanted` after its import, with the `patch` of the module `hook`."""

    def __init__(self, wanted: str, hook: str, failed: Callable[[str], None] | None = None) -> None:
        self.wanted = wanted
        self.hook = hook
        self.failed = failed

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
            setattr(module, HOOKED, True)
        except Exception as error:  # noqa: BLE001  a failing hook must not stop the user's app, unless it guards it
            why = f"{self.wanted} is not hooked: {error!r}"
            print(f"panal: {why}", file=sys.stderr, flush=True)
            if self.failed is not None:
                self.failed(why)


def run_hidden() -> None:
    """Runs the image's own sitecustomize, if any."""
    others = [p for p in sys.path if os.path.abspath(p) != HERE]
    spec = importlib.machinery.PathFinder.find_spec("sitecustomize", others)
    if spec is not None and spec.loader is not None:
        spec.loader.exec_module(importlib.util.module_from_spec(spec))


def install_hooks(runtime: str, side: str) -> None:
    """Installs the hooks of `panal_tools.RUNTIME.hooks` for `side`: HOOKS maps the framework's modules to hooks. Calls its `begin`."""
    hooks = importlib.import_module(f"panal_tools.{runtime}.hooks")
    failed = getattr(hooks, "unguarded", None)
    sys.meta_path[:0] = [Waiter(wanted, f"panal_tools.{runtime}.{hook}", failed) for wanted, hook in hooks.HOOKS[side].items()]
    hooks.begin()


if os.environ.get("PANAL_RUNTIME") and os.environ.get("PANAL_HOOK"):
    install_hooks(os.environ["PANAL_RUNTIME"], os.environ["PANAL_HOOK"])
run_hidden()
