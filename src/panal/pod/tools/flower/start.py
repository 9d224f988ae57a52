"""`run.py flower start flower-superlink|flower-supernode ARGUMENTS`: runs Flower's program of that name with its guard, or fails.

The guards ensure that a certificate is one collaborator (`identity`), and that a site runs only the announced app (`site`). They are
installed here and not by `sitecustomize`, which an image can disable.
"""

from __future__ import annotations

import importlib
import shutil
import sys

from ..files import RunError, append, terminate
from ..records import Stopped
from .codes import FlowerEnding
from .known import PIN, unknown

PROGRAMS = {
    "flower-superlink": ("flwr.superlink.cli.flower_superlink", "flower_superlink", "identity"),
    "flower-supernode": ("flwr.supernode.cli.flower_supernode", "flower_supernode", "site"),
}
UNGUARDED = 78  # the exit code if the guard cannot be installed; a restart does not help


def main() -> int:
    name = sys.argv[1]
    module, function, guard = PROGRAMS[name]
    why = unknown()
    if not why:
        try:
            program = importlib.import_module(module)
            importlib.import_module(f"{__package__}.{guard}").install()
        except RunError as end:
            terminate(end.reason, end.message)
            return UNGUARDED
        except Exception as error:  # noqa: BLE001  any failure leaves the program without its guard
            why = f"{name} cannot be guarded ({error!r}). Install {PIN} in the image, as it is published"
    if not why and shutil.which("flower-superexec") is None:
        why = f"flower-superexec, which starts Flower's other programs, is not on the PATH. Install {PIN} where the image's PATH leads"
    if why:
        terminate(FlowerEnding.FLOWER_NOT_SUPPORTED, why)
        if name == "flower-superlink":
            append(Stopped(reason=FlowerEnding.FLOWER_NOT_SUPPORTED, message=why))  # the launcher ends the Pod with it
        return UNGUARDED
    sys.argv = [name, *sys.argv[2:]]
    getattr(program, function)()
    return 0


def command(name: str, *arguments: str) -> list[str]:
    """The command line that starts Flower's program `name` with this module and this interpreter."""
    from pathlib import Path

    return [sys.executable, str(Path(__file__).resolve().parents[2] / "run.py"), "flower", "start", name, *arguments]
