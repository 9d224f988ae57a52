"""Container `superlink`: becomes Flower's SuperLink on loopback, with our hook in the ServerApp process that it will start."""

from __future__ import annotations

import os

from .files import flower_environment, loopback, say, superlink_port, terminate


def main() -> int:
    command = ["flower-superlink", "--insecure", "--host", loopback(), "--port", str(superlink_port())]
    command += ["--disable-runtime-dependency-installation"]  # no internet, and the image is the app's environment
    say(" ".join(command))
    try:
        os.execvpe(command[0], command, flower_environment("server"))
    except FileNotFoundError:
        terminate("AppInvalid", "spec.server.image holds no Flower: flower-superlink is not on its PATH. Install flwr 1.41 in the image")
    return 1
