"""The commands that the local platform adds, where the distribution panal-local is installed."""

from __future__ import annotations

from collections.abc import Callable

import typer

from panal.client.platform import installed, required

COMMANDS = {
    "up": "Start the local platform",
    "down": "Stop the local platform",
    "status": "Show which parts of the local platform run",
    "image": "Images of the local platform",
}
ANYTHING = {"allow_extra_args": True, "ignore_unknown_options": True}


def add_commands(app: typer.Typer) -> None:
    """Adds the platform's commands. Where it is not installed, they say how to install it."""
    if platform := installed():
        platform.add_commands(app)
        return
    for name, summary in COMMANDS.items():
        app.command(name, help=f"{summary} (needs panal-local).", context_settings=ANYTHING)(_missing(name))


def _missing(name: str) -> Callable[[], None]:
    def command() -> None:
        required(f"`panal {name}`")

    return command
