"""The embedded API server as a process of its own, in its own folder and on a free port: for unit tests and beside the real one."""

from __future__ import annotations

import json
import os
import signal
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from part import command
from processes import free_port


class Embedded:
    """`start` returns when it is ready; `folder` is kept for the next start."""

    def __init__(self, folder: Path, **options: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.kubeconfig = folder / "admin.kubeconfig"
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    @property
    def token(self) -> str:
        return (self.folder / "admin.token").read_text()

    def context(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=self.folder / "ca.crt")

    def start(self) -> Embedded:
        self.folder.mkdir(parents=True, exist_ok=True)
        words = command("apiserver", folder=self.folder, listen=f"127.0.0.1:{self.port}", **self._options)
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(words, stdout=log, stderr=log)
        deadline = time.monotonic() + 30
        while not self._ready():
            assert self._process.poll() is None, self.log()
            assert time.monotonic() < deadline, self.log()
            time.sleep(0.02)
        return self

    def _ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/readyz", context=self.context(), timeout=5) as answer:
                return bool(answer.read() == b"ok")
        except (urllib.error.URLError, OSError):
            return False

    def log(self) -> str:
        return (self.folder / "log").read_text()[-5000:]

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Its exit status; a second call does nothing."""
        if self._process is None:
            return 0
        self._process.send_signal(number)
        status = self._process.wait(15)
        self._process = None
        return status

    # --- as tests of a real cluster use it ----------------------------------------------------------------------
    def kubectl(self, *args: str, stdin: str | None = None, check: bool = True) -> str:
        """What kubectl says; with `check`, a failure raises RuntimeError with its words."""
        taken = None if stdin else subprocess.DEVNULL
        command, env = self.command(*args), self.env()
        done = subprocess.run(command, input=stdin, stdin=taken, text=True, capture_output=True, check=False, env=env)
        if check and done.returncode:
            raise RuntimeError(f"embedded: kubectl {' '.join(args)}: {done.stderr.strip()}")
        return done.stdout

    def command(self, *args: str) -> list[str]:
        return [str(Path(os.environ["KUBEBUILDER_ASSETS"]) / "kubectl"), f"--kubeconfig={self.kubeconfig}", *args]

    def env(self) -> dict[str, str]:
        return os.environ | {"HOME": str(self.folder)}  # kubectl keeps what it discovers there

    def apply(self, *manifests: dict[str, Any]) -> None:
        self.kubectl("apply", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": list(manifests)}))

    def namespaces(self, *names: str) -> None:
        self.apply(*({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": n}} for n in names))

    def crds(self, folder: Path, *patterns: str) -> None:
        for pattern in patterns:
            for path in sorted(folder.glob(f"{pattern}.yaml")):
                self.kubectl("apply", "--server-side", "-f", str(path))
