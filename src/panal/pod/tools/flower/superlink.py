"""The container `superlink`: runs Flower's SuperLink on loopback with its guard, and with the hooks in the ServerApp that it starts."""

from __future__ import annotations

import os

from ..files import log_line, loopback
from ..working_directory import enter
from .app_folder import app_folder
from .environment import flower_environment, superlink_port
from .start import command


def main() -> int:
    words = command("flower-superlink", "--insecure", "--host", loopback(), "--port", str(superlink_port()))
    words += ["--disable-runtime-dependency-installation"]  # the image is the app's environment
    enter(app_folder)
    log_line(" ".join(words))
    os.execve(words[0], words, flower_environment("server"))
