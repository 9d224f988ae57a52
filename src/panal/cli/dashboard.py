"""`panal dashboard`: pages about the hub and its runs, for this user's browser alone."""

from __future__ import annotations

import asyncio
import importlib.util
import logging
import webbrowser
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Annotated

import typer

from panal.cli import completion, explain, output
from panal.cli.options import Context, Home, Kubeconfig
from panal.client.access import Access
from panal.client.choose import choose
from panal.client.download import opened
from panal.client.platform import installed
from panal.client.problem import Code, Problem, explained
from panal.kube.client import Client
from panal.kube.objects import Object

NEEDED = ("jinja2", "django_htmx")


def add_to(app: typer.Typer) -> None:
    app.command()(dashboard)


def dashboard(
    port: Annotated[int, typer.Option(help="The port on 127.0.0.1; 0 is a free one.", min=0, max=65535)] = 0,
    no_open: Annotated[bool, typer.Option("--no-open", help="Do not open a browser; print the address only.")] = False,
    namespace: Annotated[
        str | None,
        typer.Option(
            "--namespace", "-n", autocompletion=completion.namespaces, help="Show only the runs of this namespace.  [default: all]"
        ),
    ] = None,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
    folder: Home = None,
) -> None:
    """Show the hub, its clusters and its runs in a browser, with your own permissions, until Ctrl-C."""
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        message = f"the dashboard needs {' and '.join(missing)}, not installed here"
        local = " ./local" if installed() else ""
        raise Problem(Code.USAGE, message, f"Install the extra, in a clone: `pip install '.[cli,dashboard]'{local}`.")
    logging.getLogger("panal").setLevel(logging.ERROR)  # what cannot be read is named on the pages
    raise typer.Exit(int(_serve(choose(kubeconfig, context, folder), port, namespace or "", not no_open)))


def _serve(access: Access, port: int, namespace: str, opens: bool) -> Code:
    from panal.dashboard.main import Laptop, serve_laptop

    def tell(address: str) -> None:
        output.line(f"the dashboard is at {address}")
        output.note("The address is good for one browser. Ctrl-C ends the dashboard.")
        if opens:
            webbrowser.open(address)

    output.note(f"using {access}")
    try:
        with explained(str(access)):
            asyncio.run(serve_laptop(access.open(), Laptop(str(access), port, namespace, _models(access)), explain.cel, tell))
    except KeyboardInterrupt:
        output.note("ended")
    return Code.OK


def _models(access: Access) -> Callable[[Client, Object], AbstractAsyncContextManager[AsyncIterator[bytes]]] | None:
    """How the dashboard reads models: on the local platform, whose volumes are folders. On a hub that takes a Pod, so it is left to
    `panal models download`."""

    @asynccontextmanager
    async def model(client: Client, run: Object) -> AsyncIterator[AsyncIterator[bytes]]:
        async with opened(access, client, run, lambda _: None) as read:
            yield read(str(run["status"]["model"]["uri"]).rpartition("/")[2])

    return model if access.local else None
