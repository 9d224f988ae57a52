"""The commands `panal suspend`, `resume`, `stop` and `delete`. What they do is in `control`."""

from __future__ import annotations

from typing import Annotated

import typer

from panal.cli import control
from panal.cli.access import choose
from panal.cli.options import Context, Home, Kubeconfig, Namespace, Run


def add_to(app: typer.Typer) -> None:
    for command in (suspend, resume, stop, delete):
        app.command()(command)


def suspend(name: Run, namespace: Namespace = None, kubeconfig: Kubeconfig = None, context: Context = None, folder: Home = None) -> None:
    """End a run's Pods until it is resumed. It begins again at the first round then."""
    raise typer.Exit(int(control.change(choose(kubeconfig, context, folder), name, namespace, "suspend", True)))


def resume(name: Run, namespace: Namespace = None, kubeconfig: Kubeconfig = None, context: Context = None, folder: Home = None) -> None:
    """Let a run that was suspended go on."""
    raise typer.Exit(int(control.change(choose(kubeconfig, context, folder), name, namespace, "suspend", False)))


def stop(name: Run, namespace: Namespace = None, kubeconfig: Kubeconfig = None, context: Context = None, folder: Home = None) -> None:
    """End a run for good, and keep the record of it: it becomes Failed with the reason Stopped."""
    raise typer.Exit(int(control.change(choose(kubeconfig, context, folder), name, namespace, "stop", True)))


def delete(
    name: Run,
    timeout: Annotated[float | None, typer.Option(help="Wait at most so many seconds until it is gone.", min=0.1)] = None,
    namespace: Namespace = None,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
    folder: Home = None,
) -> None:
    """Delete a run, with its collaborators and its record; return when it is gone. The volume with its model stays."""
    raise typer.Exit(int(control.delete(choose(kubeconfig, context, folder), name, namespace, timeout)))
