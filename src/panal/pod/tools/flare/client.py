"""The container of a collaborator: starts FLARE's client, and starts it again until the container is stopped.

FLARE's client gives up if the server cannot be reached when it starts. The server sends the job; `deployed` compares it with the image's.
"""

from __future__ import annotations

import os
import signal
import time
from types import FrameType

from ..child import described
from ..data import check_data
from ..files import RunError, gateway_port, log_line, loopback, terminate
from . import flare, job, kit
from .codes import FlareEnding, site_name
from .deployed import JOB
from .gate import refusal_of_name
from .hooks import UNGUARDED

POLL = 0.2  # seconds
PAUSE = 2.0  # seconds until FLARE's client is started again


def main() -> int:
    keeper = Keeper()  # from here on, a signal ends the program without a failure
    try:
        check_data(os.environ.get("PANAL_DATA_PATH", ""))
        flare.refuse_unknown()
        os.environ[JOB] = str(job.required().resolve())
        if why := refusal_of_name(site_name(os.environ["PANAL_CLUSTER"])):
            raise RunError(FlareEnding.FLARE_NOT_SUPPORTED, why)
    except RunError as end:
        terminate(end.reason, end.message)
        return 1
    return keeper.run()


class Keeper:
    def __init__(self) -> None:
        self._stopping = False
        signal.signal(signal.SIGTERM, self._stop)
        signal.signal(signal.SIGINT, self._stop)

    def run(self) -> int:
        arguments = kit.write_client(flare.folder(), loopback(), gateway_port(), site_name(os.environ["PANAL_CLUSTER"]))
        while not self._stopping:
            if self._once(arguments) == UNGUARDED:
                return 1  # it has written the termination message
        return 0

    def _once(self, arguments: list[str]) -> int | None:
        """Its exit code, if it has ended by itself."""
        child = flare.start("nvflare.private.fed.app.client.client_train", arguments, "client")
        while child.poll() is None and not self._stopping:
            time.sleep(POLL)
        code = child.code
        flare.end(child)
        if code is not None and code != UNGUARDED and not self._stopping:
            log_line(f"FLARE's client has ended with {described(code)}; it is started again")
            time.sleep(PAUSE)
        return code

    def _stop(self, _signal: int, _frame: FrameType | None) -> None:
        self._stopping = True
