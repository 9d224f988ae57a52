"""`kubectl_complete-fl WORDS… INCOMPLETE`, which kubectl asks to complete `kubectl fl WORDS… INCOMPLETE`: the same as for `panal`.

It prints one proposal a line, and last what the shell may add to them, as programs made with Cobra do.
"""

from __future__ import annotations

import io
import os
import shlex
import sys
from contextlib import redirect_stdout, suppress

from panal.cli.main import app

FILES, NO_FILES = ":0", ":4"  # whether the shell proposes files


def main() -> None:
    found = completions(sys.argv[1:] or [""])
    sys.stdout.write("".join(f"{line}\n" for line in (*found, NO_FILES if found else FILES)))


def completions(words: list[str]) -> list[str]:
    """Proposals for the last of the words, which may be empty."""
    asked = {"_PANAL_COMPLETE": "complete_bash", "COMP_WORDS": shlex.join(["panal", *words]), "COMP_CWORD": str(len(words))}
    os.environ.update(asked)
    with redirect_stdout(io.StringIO()) as said, suppress(SystemExit):
        app(prog_name="panal")
    return said.getvalue().split()
