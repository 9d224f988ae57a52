"""What the demo and the examples have in common: a local platform in a folder, commands that are shown, and order before and after.

Images and their environments stay in the folder, so that the next time starts in seconds.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]


class Stage:
    """`home` becomes PANAL_HOME of this process. Commands run in the repository's folder."""

    def __init__(self, home: Path, python: Path = Path(sys.executable)) -> None:
        self.home, self.python = home, python
        os.environ["PANAL_HOME"] = str(home)
        os.environ["OPENBLAS_NUM_THREADS"] = "1"  # models this small do not gain by more, and clusters share the machine
        os.environ.pop("KUBECONFIG", None)

    def title(self, text: str) -> None:
        print(f"\n\033[1m{text}\033[0m" if sys.stdout.isatty() else f"\n## {text}", flush=True)

    def run(self, *words: str) -> None:
        """Shows and runs `panal ...`, of this environment, or `python ...`, of that of `python`. Ends the program if it fails."""
        print("$", " ".join(words), flush=True)
        program = [sys.executable, "-m", "panal.cli.main"] if words[0] == "panal" else [str(self.python)]
        if code := subprocess.run([*program, *words[1:]], cwd=REPOSITORY, check=False).returncode:
            sys.exit(f"`{' '.join(words)}` ended with {code}")

    @contextmanager
    def tidied(self, keep: bool) -> Iterator[None]:
        """Removes a platform that was kept first and, unless `keep`, this one at the end, except its images."""
        self.home.parent.mkdir(parents=True, exist_ok=True)
        with (self.home.parent / "lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                sys.exit(f"another one runs in {self.home.parent}: wait until it has ended")
            self.clear()
            try:
                yield
            except KeyboardInterrupt:
                sys.exit("interrupted")
            finally:
                if not keep:
                    self.clear()

    def clear(self) -> None:
        if not self.home.exists():
            return
        subprocess.run([sys.executable, "-m", "panal.cli.main", "down"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
        for path in self.home.iterdir():
            if path.name != "images":
                shutil.rmtree(path) if path.is_dir() else path.unlink()
