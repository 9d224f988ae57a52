"""Options and arguments that several commands have."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class Format(StrEnum):
    TEXT = "text"
    JSON = "json"


Home = Annotated[
    Path | None, typer.Option("--folder", envvar="PANAL_HOME", help="The local platform's folder.  [default: ~/.local/share/panal]")
]
Kubeconfig = Annotated[
    Path | None, typer.Option(help="A kubeconfig.  [default: KUBECONFIG, else the local platform if it is up, else ~/.kube/config]")
]
Context = Annotated[str | None, typer.Option(help="A context of the kubeconfig.  [default: its current one]")]
Namespace = Annotated[str | None, typer.Option("--namespace", "-n", help="The run's namespace.")]
Output = Annotated[Format, typer.Option("--output", "-o", help="How the result is printed.")]
Installed = Annotated[str, typer.Option("--namespace", "-n", help="Where panal's controller is.")]
Run = Annotated[str, typer.Argument(metavar="NAME", help="The run.")]
Cluster = Annotated[str, typer.Argument(help="The managed cluster.")]
Timeout = Annotated[float | None, typer.Option(help="Stop following after so many seconds (exit code 5); the run goes on.", min=0.1)]
