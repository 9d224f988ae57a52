"""The command `panal explain`; `explain` implements it."""

from __future__ import annotations

from typing import Annotated

import typer

from panal.cli import completion
from panal.cli import explain as implementation
from panal.cli.options import Context, Format, Home, Kubeconfig, Namespace, Output
from panal.client.choose import choose
from panal.client.problem import Code, Problem


def add_to(app: typer.Typer) -> None:
    app.command()(explain)


def explain(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", autocompletion=completion.runs, help="The run.")] = None,
    file: Annotated[str | None, typer.Option("--file", "-f", help="With --dry-run: a YAML file with a FederatedLearning.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Explain what the run in the file would select; it need not exist.")] = False,
    cluster: Annotated[
        str | None, typer.Option(autocompletion=completion.clusters, help="Explain this cluster in detail.  [default: a summary of all]")
    ] = None,
    namespace: Namespace = None,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
    folder: Home = None,
    output: Output = Format.TEXT,
) -> None:
    """Explain why each cluster is selected for a run or not, and what would make it qualify."""
    if (name is None) == (file is None) or dry_run != (file is not None):
        message = "either NAME or --dry-run -f FILE is required"
        raise Problem(Code.USAGE, message, "Examples are `panal explain digits` and `panal explain --dry-run -f run.yaml`.")
    asked = implementation.Asked(name, file, namespace, cluster, output is Format.JSON)
    raise typer.Exit(int(implementation.explain(choose(kubeconfig, context, folder), asked)))
