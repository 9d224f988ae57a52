"""`run.py flare start MODULE ARGUMENTS`: runs FLARE's program MODULE as `python -m` does, if all of its hooks are installed.

`sitecustomize` installs them. An image can disable it, by an option of Python or by a sitecustomize of its own; therefore the modules that
are to be hooked are imported here, and must be marked as hooked before the program begins.
"""

from __future__ import annotations

import importlib
import os
import runpy
import shlex
import sys
from collections.abc import Iterable

from .hooks import HOOKS, unguarded

HOOKED = "PANAL_HOOKED"  # as in sitecustomize, which is not a part of this package


def main() -> int:
    try:
        missing = unhooked(HOOKS[os.environ.get("PANAL_HOOK", "")])
    except Exception as error:  # noqa: BLE001  any failure leaves the program without its hooks
        unguarded(repr(error))
    if missing:
        unguarded(f"{', '.join(missing)} is not hooked: Python has not run panal's sitecustomize")
    module = sys.argv[1]
    sys.argv = sys.argv[1:]
    runpy.run_module(module, run_name="__main__", alter_sys=True)
    return 0


def unhooked(modules: Iterable[str]) -> list[str]:
    """The modules whose hook is not applied. Imports them."""
    return [name for name in modules if not getattr(importlib.import_module(name), HOOKED, False)]


def command(module: str, *arguments: str) -> list[str]:
    """The command line that runs FLARE's program `module` with this module and this interpreter."""
    from pathlib import Path

    return [sys.executable, str(Path(__file__).resolve().parents[2] / "run.py"), "flare", "start", module, *arguments]


def guarded(line: str) -> str:
    """A command line `PYTHON -m MODULE ARGUMENTS` of FLARE, through this module."""
    _, option, module, *arguments = shlex.split(line)
    if option != "-m":
        raise ValueError(f"not a command line of FLARE: {line}")
    return shlex.join(command(module, *arguments))
