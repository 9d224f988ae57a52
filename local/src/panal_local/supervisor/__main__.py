"""The supervisor's program, which `panal up` starts: `python -m panal_local.supervisor --folder DIR`."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from panal_local.logs import log_to_stdout
from panal_local.supervisor.folder import SUPERVISOR, Folder, PlatformError
from panal_local.supervisor.keeper import Keeper
from panal_local.supervisor.parts import Part, parts
from panal_local.supervisor.process import PROXIES, open_log
from panal_local.supervisor.state import load


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m panal_local.supervisor", description="Keeps the parts of a local platform running.")
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--reserved", type=int, help="file descriptor of the socket that reserves the range of addresses")
    given = parser.parse_args()
    folder = Folder(given.folder.resolve())
    open_log(folder.log(SUPERVISOR))
    log_to_stdout()
    for name in [n for n in os.environ if n.lower() in PROXIES]:
        del os.environ[name]  # all connections of the parts are on this machine
    reserved = [given.reserved] if given.reserved is not None else []

    def wanted() -> list[Part]:
        state = load(folder)
        if state is None:
            raise PlatformError(f"{folder.state} is missing")
        return parts(folder, state)

    return Keeper(folder, wanted, reserved).run()


if __name__ == "__main__":
    sys.exit(main())
