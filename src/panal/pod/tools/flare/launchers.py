"""Components of FLARE's server and client: start the process of a job through `start`, so that it does not run without its hooks."""

from __future__ import annotations

from typing import Any

from nvflare.app_common.job_launcher.client_process_launcher import ClientProcessJobLauncher
from nvflare.app_common.job_launcher.server_process_launcher import ServerProcessJobLauncher

from ..files import write_json
from . import flare
from .codes import KILLED
from .start import guarded


class ServerLauncher(ServerProcessJobLauncher):  # type: ignore[misc]
    def get_command(self, job_meta: Any, fl_ctx: Any) -> str:
        return guarded(super().get_command(job_meta, fl_ctx))

    def launch_job(self, job_meta: Any, fl_ctx: Any) -> Any:
        handle = super().launch_job(job_meta, fl_ctx)
        handle.adapter = Watched(handle.adapter)
        return handle


class Watched:
    """The process of a job: reports a signal that kills it, unless FLARE itself ends it."""

    def __init__(self, process: Any) -> None:
        self._process, self._ended = process, False

    def poll(self) -> Any:
        code = self._process.poll()
        if code is not None and code < 0 and not self._ended:
            write_json(flare.folder() / KILLED, {"code": code})
        return code

    def terminate(self) -> None:
        self._ended = True
        self._process.terminate()

    def wait(self) -> Any:
        return self._process.wait()


class ClientLauncher(ClientProcessJobLauncher):  # type: ignore[misc]
    def get_command(self, job_meta: Any, fl_ctx: Any) -> str:
        return guarded(super().get_command(job_meta, fl_ctx))
