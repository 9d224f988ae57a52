"""Container `superlink`: becomes Flower's SuperLink on loopback, with our guard in it, and our hook in the ServerApp that it starts."""

from __future__ import annotations

import os

from .files import flower_environment, loopback, say, superlink_port
from .flower_start import command
from .working_directory import enter


def main() -> int:
    words = command("flower-superlink", "--insecure", "--host", loopback(), "--port", str(superlink_port()))
    words += ["--disable-runtime-dependency-installation"]  # no internet, and the image is the app's environment
    enter()
    say(" ".join(words))
    os.execve(words[0], words, flower_environment("server"))
