"""The commands `panal suspend`, `resume`, `stop` (`cancel`) and `delete`; `control` implements them."""

from __future__ import annotations

from typing import Annotated

import typer

from panal.cli import control
from panal.cli.options import Context, Home, Kubeconfig, Namespace, Run
from panal.client.choose import choose


def add_to(app: typer.Typer) -> None:
    for command in (suspend, resume, stop, delete):
        app.command()(command)
    app.command("cancel", help="The same as `panal stop`.")(stop)


def suspend(name: Run, namespace: Namespace = None, kubeconfig: Kubeconfig = None, context: Context = None, folder: Home = None) -> None:
    """Suspend a run: end its Pods until it is resumed."""
    raise typer.Exit(int(control.change(choose(kubeconfig, context, folder), name, namespace, "suspend", True)))


def resume(name: Run, namespace: Namespace = None, kubeconfig: Kubeconfig = None, context: Context = None, folder: Home = None) -> None:
    """Resume a suspended run. It goes on after the last round whose state is stored."""
    raise typer.Exit(int(control.change(choose(kubeconfig, context, folder), name, namespace, "suspend", False)))


def stop(name: Run, namespace: Namespace = None, kubeconfig: Kubeconfig = None, context: Context = None, folder: Home = None) -> None:
    """End a run permanently. It becomes Failed with the reason Stopped; the resource is kept."""
    raise typer.Exit(int(control.change(choose(kubeconfig, context, folder), name, namespace, "stop", True)))


def delete(
    name: Run,
    timeout: Annotated[float | None, typer.Option(help="The longest time to wait for the deletion (exit code 5).", min=0.1)] = None,
    namespace: Namespace = None,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
    folder: Home = None,
) -> None:
    """Delete a run and its collaborators, and wait until they are deleted. The volume with the model is kept."""
    raise typer.Exit(int(control.delete(choose(kubeconfig, context, folder), name, namespace, timeout)))
