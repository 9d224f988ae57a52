"""The commands `panal top` and `panal history`."""

from __future__ import annotations

from typing import Annotated

import typer

from panal.cli import completion
from panal.cli import history as rounds
from panal.cli import top as screen
from panal.cli.options import Context, Format, Home, Kubeconfig, Namespace, Output, Run
from panal.client.choose import choose


def add_to(app: typer.Typer) -> None:
    app.command()(top)
    app.command()(history)


def top(
    once: Annotated[bool, typer.Option("--once", help="Print it once and end, as without a terminal.")] = False,
    namespace: Annotated[
        str | None, typer.Option("--namespace", "-n", autocompletion=completion.namespaces, help="Only the runs of this namespace.")
    ] = None,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
    folder: Home = None,
) -> None:
    """Show the hub, its clusters and its runs on one screen that follows every change, until Ctrl-C."""
    raise typer.Exit(int(screen.top(choose(kubeconfig, context, folder), namespace, once)))


def history(
    name: Run,
    cluster: Annotated[
        str | None,
        typer.Option(autocompletion=completion.clusters, help="What this cluster did in each round.  [default: all clusters together]"),
    ] = None,
    namespace: Namespace = None,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
    folder: Home = None,
    output: Output = Format.TEXT,
) -> None:
    """Show the rounds of a run: seconds, replies, failures and metrics, or with --cluster those of a cluster, with its bytes."""
    raise typer.Exit(int(rounds.show(choose(kubeconfig, context, folder), name, namespace, cluster, output is Format.JSON)))
