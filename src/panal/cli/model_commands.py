"""The commands `panal models` and `panal notebook`; the modules of these names implement them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from panal.cli import completion, models
from panal.cli import notebook as notebooks
from panal.cli.options import Context, Format, Home, Kubeconfig, Namespace, Output, Run
from panal.client.choose import choose

commands = typer.Typer(help="Show, download and compare the stored models of runs.", no_args_is_help=True, rich_markup_mode=None)
Model = Annotated[str, typer.Argument(metavar="[NAMESPACE/]NAME", autocompletion=completion.runs_by_namespace, help="A run.")]


def add_to(app: typer.Typer) -> None:
    app.add_typer(commands, name="models")
    app.command()(notebook)


@commands.command("list")
def list_(
    namespace: Annotated[
        str | None, typer.Option("--namespace", "-n", autocompletion=completion.namespaces, help="Only the models of this namespace.")
    ] = None,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
    folder: Home = None,
    output: Output = Format.TEXT,
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
    target: Annotated[
        Path | None,
        typer.Option("--to", help="Where to write it: a file or a folder.  [default: NAME.safetensors, or the name of the file]"),
    ] = None,
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


def notebook(
    name: Model,
    file: Annotated[
        Path | None,
        typer.Option("--notebook", help="The notebook.  [default: notebooks/validate.ipynb of the app, else one that any model has]"),
    ] = None,
    app: Annotated[
        Path | None,
        typer.Option(help="The app's folder.  [default: that of the notebook, or this folder if it has notebooks/validate.ipynb]"),
    ] = None,
    beside: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[NAMESPACE/]NAME",
            autocompletion=completion.runs_by_namespace,
            help="A run whose model is to be compared with this one; can be repeated.",
        ),
    ] = None,
    target: Annotated[Path | None, typer.Option("--to", metavar="DIR", help="Where to write.  [default: NAME-notebook]")] = None,
    execute: Annotated[bool, typer.Option("--execute", help="Execute it without a browser, and write a report.")] = False,
    cell_timeout: Annotated[
        int | None, typer.Option(help="Seconds that a cell may take, with --execute.  [default: no limit]", min=1)
    ] = None,
    python: Annotated[
        Path | None, typer.Option(help="The Python of an environment with Jupyter.  [default: the first that is found]")
    ] = None,
    namespace: Namespace = None,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
    folder: Home = None,
) -> None:
    """Download the model of a run and open a notebook on it in JupyterLab, or execute it (--execute)."""
    wanted = notebooks.Wanted(file, app, target, beside or (), python, execute, cell_timeout)
    raise typer.Exit(int(notebooks.notebook(choose(kubeconfig, context, folder), name, namespace, wanted)))
