"""Reports the death of an app process to Flower at once, from its parent process: the fork server, or the SuperExec without one.

Flower itself notices it only after a minute without a heartbeat, and does not know the reason. The parent gets the exit status, and ends
the task with the token of the app process, as the process would have done. If the task has already ended, the SuperLink or SuperNode no
longer accepts the token.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

from ..files import log_line
from .errors import written

APPS = {"flwr-clientapp": "client app", "flwr-serverapp": "server app"}
SUPEREXEC = "flower-superexec"  # starts the app processes
EXITED = 70  # the exit code of an app that called sys.exit() or sys.exit(0) before it had a result
TRIES, PAUSE = 3, 1.0  # attempts to report a death, and seconds between them


def death_message(arguments: list[str], code: int, out_of_memory: bool) -> str:
    """Describes the end of an app process with exit code `code`, negative for a signal; empty if it succeeded. `out_of_memory`: the kernel
    killed a process of the container for lack of memory while this one ran."""
    name = arguments[0]
    if name not in APPS or code == 0:
        return ""
    if code > 0:
        how = "by sys.exit" if code == EXITED else f"with exit code {code}"
        reason, text = "ClientAppExited", f"ended {how} before it had a result"
    elif out_of_memory and -code == signal.SIGKILL:
        reason, text = "OutOfMemory", "was killed by SIGKILL: its container was out of memory"
    else:
        reason = f"KilledBy{_signal(-code)}"
        text = f"was killed by {_signal(-code)}"
    text = f"the {APPS[name]} {text}"
    return written(reason, text) if name == "flwr-clientapp" else f"{text[0].upper()}{text[1:]}"


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"Signal{number}"


def oom_kills() -> int:
    """The number of processes in this cgroup that the kernel has killed for lack of memory; 0 if unknown."""
    for line in _lines(Path("/proc/self/cgroup")):
        _, controllers, path = line.split(":", 2)
        if controllers in ("", "memory"):
            root, file = ("/sys/fs/cgroup", "memory.events") if not controllers else ("/sys/fs/cgroup/memory", "memory.oom_control")
            for folder in (f"{root}{path}", root):  # the second in a container with a cgroup namespace
                counted = [int(words[1]) for each in _lines(Path(folder, file)) if (words := each.split())[:1] == ["oom_kill"]]
                if counted:
                    return counted[0]
    return 0


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text().splitlines()
    except OSError:
        return []


def report(arguments: list[str], details: str) -> None:
    """Ends the task of the app process that was started with `arguments`, as failed with `details`."""
    from flwr.supercore.interceptors import RuntimeTokenHttpInterceptor, RuntimeVersionHttpInterceptor
    from flwr.supercore.runtime import RuntimeHttpClient

    values = {key: arguments[arguments.index(key) + 1] for key in ("--runtime-api-address", "--token")}
    client = RuntimeHttpClient.from_server_address(
        server_address=values["--runtime-api-address"],
        insecure=True,  # loopback
        root_certificates=None,
        interceptors=[RuntimeVersionHttpInterceptor(component_name=arguments[0]), RuntimeTokenHttpInterceptor(values["--token"])],
    )
    try:
        for left in reversed(range(TRIES)):
            if not (error := _end_task(client, details)):
                return
            time.sleep(PAUSE if left else 0)
        log_line(f"{details}, which could not be reported: {error}")
    finally:
        client.close()


def _end_task(client: Any, details: str) -> str:
    """Why the task could not be ended; empty if it has ended, now or earlier."""
    import httpx
    from flwr.common.constant import SubStatus
    from flwr.proto.runtime_pb2 import PushTaskOutputRequest

    try:
        client.PushTaskOutput(PushTaskOutputRequest(sub_status=SubStatus.FAILED, details=details))
    except httpx.HTTPError as error:
        over = isinstance(error, httpx.HTTPStatusError) and error.response.status_code < 500
        return "" if over else repr(error)
    log_line(details)
    return ""


def popen(arguments: list[str], **options: Any) -> subprocess.Popen[bytes]:
    """Replaces `subprocess.Popen`."""
    before = oom_kills()
    child = subprocess.Popen(arguments, **options)
    threading.Thread(target=_watch, args=(child, arguments, before), daemon=True).start()
    return child


def _watch(child: subprocess.Popen[bytes], arguments: list[str], before: int) -> None:
    code = child.wait()
    if arguments[0] == SUPEREXEC:
        end_without_superexec(os.getpid(), code)
    elif details := death_message(arguments, code, oom_kills() > before):
        report(arguments, details)


def end_without_superexec(process: int, code: int) -> None:
    """Stops a SuperNode or SuperLink whose SuperExec has died, because it can no longer run apps. It is then restarted."""
    if code:
        log_line(f"the SuperExec ended with {code}: stopping the process that it served")
        os.kill(process, signal.SIGTERM)


def replace(module: ModuleType, start: Any) -> None:
    """Replaces `subprocess.Popen` in `module` by `start`."""
    module.subprocess = SimpleNamespace(**vars(subprocess) | {"Popen": start})  # type: ignore[attr-defined]


def patch(module: ModuleType) -> None:
    """`module` is flwr.supercore.superexec.executor.subprocess_executor. Not used with the fork server."""
    replace(module, popen)


def mark_exit(module: ModuleType, name: str) -> None:
    """Gives an app that calls sys.exit() a nonzero exit code, by which its parent notices it: Flower does not end the task then. `name` is
    the function of `module` that runs the app."""
    run: Callable[..., None] = getattr(module, name)
    leave: Callable[..., Any] = module.flwr_exit
    left: list[bool] = []

    def flwr_exit(*args: Any, **kwargs: Any) -> Any:
        left.append(True)
        return leave(*args, **kwargs)

    def run_app(*args: Any, **kwargs: Any) -> None:
        try:
            run(*args, **kwargs)
        except SystemExit as end:
            if not left and not end.code:
                sys.exit(EXITED)
            raise

    module.flwr_exit = flwr_exit  # type: ignore[attr-defined]
    setattr(module, name, run_app)
