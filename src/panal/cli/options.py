"""Options and arguments of several commands."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from panal.cli import completion


class Format(StrEnum):
    TEXT = "text"
    JSON = "json"


Home = Annotated[
    Path | None,
    typer.Option("--folder", envvar="PANAL_HOME", help="The local platform's folder.  [default: PANAL_HOME, else ~/.local/share/panal]"),
]
Kubeconfig = Annotated[
    Path | None, typer.Option(help="A kubeconfig.  [default: KUBECONFIG, else the local platform if it is up, else ~/.kube/config]")
]
Context = Annotated[str | None, typer.Option(help="A context of the kubeconfig.  [default: its current context]")]
Namespace = Annotated[str | None, typer.Option("--namespace", "-n", autocompletion=completion.namespaces, help="The run's namespace.")]
Output = Annotated[Format, typer.Option("--output", "-o", help="The output format.")]
Installed = Annotated[str, typer.Option("--namespace", "-n", help="The namespace of panal's controller.")]
Run = Annotated[str, typer.Argument(metavar="NAME", autocompletion=completion.runs, help="The name of the run.")]
Cluster = Annotated[str, typer.Argument(autocompletion=completion.clusters, help="The name of the managed cluster.")]
Timeout = Annotated[float | None, typer.Option(help="Stop following after this time (exit code 5); the run continues.", min=0.1)]
