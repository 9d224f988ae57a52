"""The commands `panal up`, `down`, `status` and `image build`, and the local platform as `panal.client.platform` asks for it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from panal.cli.options import Format, Home, Output
from panal.client.access import Access
from panal.client.apps import App
from panal.client.platform import Platform, Target
from panal.client.telling import Tell
from panal.kube.objects import Object
from panal_local.commands import folder as folders
from panal_local.commands import images, platform
from panal_local.scheduling.filters import matches
from panal_local.supervisor.folder import Folder


class Local(Platform):
    """The entry point `local` of the group `panal.commands`."""

    def add_commands(self, app: typer.Typer) -> None:
        for command in (up, down, status):
            app.command()(command)
        group = typer.Typer(help="Images of the local platform.", no_args_is_help=True, rich_markup_mode=None)
        group.command("build")(image_build)
        app.add_typer(group, name="image")

    def access(self, home: Path | None) -> Access | None:
        folder = Folder.chosen(home)
        return platform.access(folder) if platform.is_up(folder) else None

    def kept_log(self, access: Access, namespace: str, pod: str, container: str) -> Path | None:
        return platform.kept_log(access, namespace, pod, container)

    def cel(self, expression: str, cluster: Object) -> bool | None:
        return matches(expression, cluster)

    def target(self, home: Path | None, app: App) -> Target:
        return folders.target(Folder.chosen(home), app)

    def start(self, home: Path | None, app: App, run: Object, tell: Tell) -> tuple[Access, Object]:
        return folders.start(Folder.chosen(home), app, run, tell)


def up(
    clusters: Annotated[int | None, typer.Option(help="The number of managed clusters.  [default: as before, else 3]", min=1)] = None,
    claim: Annotated[list[str] | None, typer.Option(metavar="CLUSTER:KEY=VALUE", help="A ClusterClaim to create; can be repeated.")] = None,
    folder: Home = None,
) -> None:
    """Start the local platform, or the parts that do not run, and wait until every cluster is ready."""
    platform.up(Folder.chosen(folder), clusters, claim or [])


def down(folder: Home = None) -> None:
    """Stop the local platform and everything that runs on it. Models, runs and images stay in its folder."""
    platform.down(Folder.chosen(folder))


def status(folder: Home = None, output: Output = Format.TEXT) -> None:
    """Show which parts of the local platform run."""
    raise typer.Exit(int(platform.status(Folder.chosen(folder), output is Format.JSON)))


def image_build(
    source: Annotated[Path, typer.Argument(metavar="FOLDER", help="A folder with a pyproject.toml.")],
    tag: Annotated[str, typer.Option("--tag", "-t", metavar="NAME", help="The name of the image, such as example/digits:1.0.")],
    folder: Home = None,
) -> None:
    """Build or update an image of the local platform from a folder."""
    images.image_build(Folder.chosen(folder), source, tag)
