"""In the process that started a program of Flower's: it tells Flower at once when that program has died.

Flower notices by itself when no heartbeat has come for a minute, and then knows no reason. Whoever started a process gets its exit status
from the kernel: the fork server, and where nothing is forked the SuperExec. An app process has a token of its own, by which its task is
ended here as it would have ended it itself. A task that has ended is left alone: the SuperLink or SuperNode takes its token no more.
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

from ..files import say
from .errors import written

APPS = {"flwr-clientapp": "client app", "flwr-serverapp": "server app"}
SUPEREXEC = "flower-superexec"  # without it no app process is started any more
EXITED = 70  # the exit code of an app that called sys.exit with 0 or nothing, before it had a result
TRIES, PAUSE = 3, 1.0  # of telling, and seconds between them


def why(arguments: list[str], code: int, starved: bool) -> str:
    """What is told of an app process that ended with this exit code, or by a signal if it is negative; empty if it ended well. `starved`:
    the kernel has killed a process of the container for want of memory while this one ran."""
    name = arguments[0]
    if name not in APPS or code == 0:
        return ""
    if code > 0:
        how = "by sys.exit" if code == EXITED else f"with exit code {code}"
        reason, text = "ClientAppExited", f"ended {how} before it had a result"
    elif starved and -code == signal.SIGKILL:
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


def kills() -> int:
    """How many processes of this one's cgroup the kernel has killed for want of memory so far; 0 where it does not say."""
    for line in _lines(Path("/proc/self/cgroup")):
        _, controllers, path = line.split(":", 2)
        if controllers in ("", "memory"):
            root, file = ("/sys/fs/cgroup", "memory.events") if not controllers else ("/sys/fs/cgroup/memory", "memory.oom_control")
            for folder in (f"{root}{path}", root):  # the second: in a container that sees its own cgroup alone
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
    """Ends the task of the app process that was started with these arguments."""
    from flwr.supercore.interceptors import RuntimeTokenHttpInterceptor, RuntimeVersionHttpInterceptor
    from flwr.supercore.runtime import RuntimeHttpClient

    told = {key: arguments[arguments.index(key) + 1] for key in ("--runtime-api-address", "--token")}
    client = RuntimeHttpClient.from_server_address(
        server_address=told["--runtime-api-address"],
        insecure=True,  # loopback
        root_certificates=None,
        interceptors=[RuntimeVersionHttpInterceptor(component_name=arguments[0]), RuntimeTokenHttpInterceptor(told["--token"])],
    )
    try:
        for left in reversed(range(TRIES)):
            if not (error := _end_task(client, details)):
                return
            time.sleep(PAUSE if left else 0)
        say(f"{details}, which could not be reported: {error}")
    finally:
        client.close()


def _end_task(client: Any, details: str) -> str:
    """Why that could not be done; empty if the task is over, as it is if the app process has ended it itself."""
    import httpx
    from flwr.common.constant import SubStatus
    from flwr.proto.runtime_pb2 import PushTaskOutputRequest

    try:
        client.PushTaskOutput(PushTaskOutputRequest(sub_status=SubStatus.FAILED, details=details))
    except httpx.HTTPError as error:
        over = isinstance(error, httpx.HTTPStatusError) and error.response.status_code < 500
        return "" if over else repr(error)
    say(details)
    return ""


def started(arguments: list[str], **options: Any) -> subprocess.Popen[bytes]:
    """In the place of `subprocess.Popen`."""
    before = kills()
    child = subprocess.Popen(arguments, **options)
    threading.Thread(target=_watch, args=(child, arguments, before), daemon=True).start()
    return child


def _watch(child: subprocess.Popen[bytes], arguments: list[str], before: int) -> None:
    code = child.wait()
    if arguments[0] == SUPEREXEC:
        end_without_superexec(os.getpid(), code)
    elif details := why(arguments, code, kills() > before):
        report(arguments, details)


def end_without_superexec(process: int, code: int) -> None:
    """A SuperNode or SuperLink whose SuperExec has died runs no app any more. It is started again when it ends."""
    if code:
        say(f"the SuperExec ended with {code}: stopping the process that it served")
        os.kill(process, signal.SIGTERM)


def replace(module: ModuleType, start: Any) -> None:
    """From now on `subprocess.Popen` of that module is `start`."""
    module.subprocess = SimpleNamespace(**vars(subprocess) | {"Popen": start})  # type: ignore[attr-defined]


def patch(module: ModuleType) -> None:
    """`module` is flwr.supercore.superexec.executor.subprocess_executor. Where programs are forked, the fork server takes this place."""
    replace(module, started)


def reporting(module: ModuleType, name: str) -> None:
    """An app that calls sys.exit passes by Flower's own end, in which a task is ended: its parent must see that from the exit code.
    `name` is the function of that module which runs the app."""
    run: Callable[..., None] = getattr(module, name)
    leave: Callable[..., Any] = module.flwr_exit
    left: list[bool] = []

    def flwr_exit(*args: Any, **kwargs: Any) -> Any:
        left.append(True)
        return leave(*args, **kwargs)

    def seen(*args: Any, **kwargs: Any) -> None:
        try:
            run(*args, **kwargs)
        except SystemExit as end:
            if not left and not end.code:
                sys.exit(EXITED)
            raise

    module.flwr_exit = flwr_exit  # type: ignore[attr-defined]
    setattr(module, name, seen)
