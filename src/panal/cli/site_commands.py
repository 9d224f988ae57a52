"""The commands `panal site …`, for the owner of a site; `site` and `site_ledger` implement them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from panal.cli import site, site_ledger
from panal.cli.options import Context, Format, Home, Kubeconfig, Output
from panal.client.choose import choose

HELP = "For the owner of a site, with the site's own kubeconfig: see what runs here and what has left, decide, and stop everything."
Since = Annotated[str | None, typer.Option(help="Only since then: 7d, 12h, or a time such as 2026-11-23T00:00:00Z.")]
Head = Annotated[str | None, typer.Option(help="The hash of a head of earlier: fail if no entry has it.")]
Request = Annotated[str, typer.Argument(metavar="REQUEST", help="The request, as `panal site` shows it.")]


def add_to(app: typer.Typer) -> None:
    commands = typer.Typer(rich_markup_mode=None, help=HELP)
    commands.callback(invoke_without_command=True)(status)
    for command in (runs, log, verify, evidence, show, approve, refuse, stop, resume):
        commands.command()(command)
    app.add_typer(commands, name="site")


def status(
    ctx: typer.Context, kubeconfig: Kubeconfig = None, context: Context = None, folder: Home = None, output: Output = Format.TEXT
) -> None:
    """Show the policy, the runs that are here, and what they ask for."""
    if ctx.invoked_subcommand is None:
        raise typer.Exit(int(site.status(choose(kubeconfig, context, folder), output is Format.JSON)))


def runs(
    since: Since = None, kubeconfig: Kubeconfig = None, context: Context = None, folder: Home = None, output: Output = Format.TEXT
) -> None:
    """Show each run that has asked: when, for what, what was decided, and how much has left the site (since then)."""
    raise typer.Exit(int(site_ledger.runs(choose(kubeconfig, context, folder), since, output is Format.JSON)))


def log(
    since: Since = None,
    run: Annotated[str | None, typer.Option(metavar="NAMESPACE/NAME", help="Only entries of this run.")] = None,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
    folder: Home = None,
    output: Output = Format.TEXT,
) -> None:
    """Show the ledger: what was asked and decided, and what has left the site."""
    raise typer.Exit(int(site_ledger.log(choose(kubeconfig, context, folder), since, run, output is Format.JSON)))


def verify(
    head: Head = None,
    file: Annotated[Path | None, typer.Option(help="Check this file of `panal site log -o json`, without a cluster. Needs --key.")] = None,
    key: Annotated[Path | None, typer.Option(help="The public key of the ledger (PEM), for --file.")] = None,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
    folder: Home = None,
    output: Output = Format.TEXT,
) -> None:
    """Check every entry of the ledger, and print its head: keep that elsewhere, and nobody can shorten the ledger unnoticed."""
    if (file is None) is not (key is None):
        raise typer.BadParameter("--file and --key belong together")
    as_json = output is Format.JSON
    if file is not None and key is not None:
        raise typer.Exit(int(site_ledger.verify_file(file, key, head, as_json)))
    raise typer.Exit(int(site_ledger.verify(choose(kubeconfig, context, folder), head, as_json)))


def evidence(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A file that `panal evidence` has written.")],
    kubeconfig: Kubeconfig = None,
    context: Context = None,
    folder: Home = None,
    output: Output = Format.TEXT,
) -> None:
    """Compare this site's receipt in a file of evidence with the ledger, and name what does not fit."""
    raise typer.Exit(int(site_ledger.evidence(choose(kubeconfig, context, folder), file, output is Format.JSON)))


def show(
    request: Request, kubeconfig: Kubeconfig = None, context: Context = None, folder: Home = None, output: Output = Format.TEXT
) -> None:
    """Show all that a request asks: also the app, the variables, the planned rounds and where its aggregator is."""
    raise typer.Exit(int(site.show(choose(kubeconfig, context, folder), request, output is Format.JSON)))


def approve(request: Request, kubeconfig: Kubeconfig = None, context: Context = None, folder: Home = None) -> None:
    """Approve a request that waits: exactly this run, image, app and data."""
    raise typer.Exit(int(site.answer(choose(kubeconfig, context, folder), request, approve=True)))


def refuse(request: Request, kubeconfig: Kubeconfig = None, context: Context = None, folder: Home = None) -> None:
    """Refuse a request. If its run works here, it is stopped."""
    raise typer.Exit(int(site.answer(choose(kubeconfig, context, folder), request, approve=False)))


def stop(kubeconfig: Kubeconfig = None, context: Context = None, folder: Home = None) -> None:
    """Stop everything now: set spec.suspend, and end the Pods of all runs here. The hub is not needed."""
    raise typer.Exit(int(site.stop(choose(kubeconfig, context, folder))))


def resume(kubeconfig: Kubeconfig = None, context: Context = None, folder: Home = None) -> None:
    """Let the runs that the policy allows go on."""
    raise typer.Exit(int(site.resume(choose(kubeconfig, context, folder))))
