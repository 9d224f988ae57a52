"""The commands `panal models`; `models` implements them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from panal.cli import models
from panal.cli.choose import choose
from panal.cli.options import Context, Format, Home, Kubeconfig, Namespace, Output, Run

commands = typer.Typer(help="Show, download and compare the stored models of runs.", no_args_is_help=True, rich_markup_mode=None)
Model = Annotated[str, typer.Argument(metavar="[NAMESPACE/]NAME", help="A run.")]


def add_to(app: typer.Typer) -> None:
    app.add_typer(commands, name="models")


@commands.command("list")
def list_(
    namespace: Namespace = None, kubeconfig: Kubeconfig = None, context: Context = None, folder: Home = None, output: Output = Format.TEXT
) -> None:
    """List the models that runs have stored, oldest first."""
    raise typer.Exit(int(models.listed(choose(kubeconfig, context, folder), namespace, output is Format.JSON)))


@commands.command()
def show(
    name: Run,
    namespace: Namespace = None,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
    folder: Home = None,
    output: Output = Format.TEXT,
) -> None:
    """Show where the model of a run is, its digest, and its last metrics."""
    raise typer.Exit(int(models.show(choose(kubeconfig, context, folder), name, namespace, output is Format.JSON)))


@commands.command()
def download(
    name: Run,
    file: Annotated[
        str | None,
        typer.Option(help="Another file of the run's folder, such as metadata.json, history.jsonl or files/PATH.  [default: the model]"),
    ] = None,
    target: Annotated[Path | None, typer.Option("--to", help="Where to write it: a file or a folder.  [default: NAME.safetensors]")] = None,
    namespace: Namespace = None,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
    folder: Home = None,
) -> None:
    """Download the model of a run and check its digest. On a hub this creates a Pod that reads the storage, for as long as it takes."""
    raise typer.Exit(int(models.download(choose(kubeconfig, context, folder), name, namespace, file, target)))


@commands.command()
def compare(
    first: Model,
    second: Model,
    namespace: Namespace = None,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
    folder: Home = None,
    output: Output = Format.TEXT,
) -> None:
    """Compare the last metrics of two models."""
    raise typer.Exit(int(models.compare(choose(kubeconfig, context, folder), (first, second), namespace, output is Format.JSON)))
