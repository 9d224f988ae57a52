"""The commands `panal evidence …`; `evidence` implements them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from panal.cli import evidence
from panal.cli.options import Context, Format, Home, Kubeconfig, Namespace, Output, Run
from panal.client.choose import choose

HELP = "Write the evidence of a run into one file, and examine such a file. `panal evidence NAME` is `panal evidence write NAME`."
WRITE = "write"


class _OrWrite(typer.core.TyperGroup):
    """A group in which the first word may be the name of a run."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands and args[0] != "--help":
            args = [WRITE, *args]
        return super().parse_args(ctx, args)


def add_to(app: typer.Typer) -> None:
    commands = typer.Typer(cls=_OrWrite, rich_markup_mode=None, no_args_is_help=True, help=HELP)
    commands.command(WRITE)(write)
    commands.command()(verify)
    app.add_typer(commands, name="evidence")


def write(
    name: Run,
    target: Annotated[
        Path | None, typer.Option("--to", "-o", metavar="FILE", help="Where to write.  [default: NAME-evidence.json]")
    ] = None,
    namespace: Namespace = None,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
    folder: Home = None,
) -> None:
    """Write the evidence of a run that has ended into one file: the hub's record, the receipts of the sites, the rows of the history, and
    the certificates. On a hub this may create a Pod that reads the storage, for as long as it takes."""
    raise typer.Exit(int(evidence.write(choose(kubeconfig, context, folder), name, namespace, target)))


def verify(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A file that `panal evidence` has written.")],
    hub_key: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The public key of the hub, as PEM.  [default: that in the file]")
    ] = None,
    site_key: Annotated[
        list[str] | None,
        typer.Option(
            metavar="CLUSTER=FILE", help="The public key of a site's ledger, as PEM; can be repeated.  [default: that in the file]"
        ),
    ] = None,
    output: Output = Format.TEXT,
) -> None:
    """Examine a file of evidence, without hub or site, and name what was changed, dropped or added in it. Exit code 0 only if everything
    holds."""
    raise typer.Exit(int(evidence.verify(file, hub_key, site_key or (), output is Format.JSON)))
