"""`panal`: the commands and their options. The other modules of this package implement them."""

from __future__ import annotations

import sys
from importlib.metadata import version as version_of
from pathlib import Path
from typing import Annotated

import typer

from panal.api.names import SYSTEM_NAMESPACE
from panal.cli import (
    certs,
    completion,
    control_commands,
    dashboard,
    doctor,
    evidence_commands,
    explain_command,
    logs,
    model_commands,
    new,
    output,
    package,
    platform,
    probe,
    progress_commands,
    run,
    serve_command,
    site_commands,
)
from panal.cli.options import Cluster, Context, Format, Home, Installed, Kubeconfig, Namespace, Output, Run, Timeout
from panal.cli.run import Following
from panal.client import apps
from panal.client.choose import choose
from panal.client.platform import required
from panal.client.problem import Code, Problem

app = typer.Typer(
    name="panal",
    help="Federated learning across clusters: on a hub with Open Cluster Management, or on one machine.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
platform.add_commands(app)
certificates = typer.Typer(rich_markup_mode=None)
app.add_typer(certificates, name="certs")


def main() -> None:
    """Exits with a `problem.Code`."""
    try:
        app()
    except Problem as problem:
        output.problem(problem)
        sys.exit(int(problem.code))
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(int(Code.OK))


def _version(wanted: bool) -> None:
    if wanted:
        output.line(f"panal {version_of('panal')}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")] = False,
) -> None:
    pass


@app.command("run")
def run_(
    app_folder: Annotated[Path | None, typer.Argument(metavar="[APP]", help="The folder of an app to run on the local platform.")] = None,
    file: Annotated[str | None, typer.Option("--file", "-f", help="A YAML file with a FederatedLearning; - is standard input.")] = None,
    namespace: Namespace = None,
    create_namespace: Annotated[bool, typer.Option("--create-namespace", help="Create the namespace if it does not exist.")] = False,
    rounds: Annotated[int | None, typer.Option(help="The number of rounds, with APP.  [default: from its pyproject.toml]", min=1)] = None,
    min_clients: Annotated[
        int | None,
        typer.Option(help="How many clusters each round needs, at most all, with APP.  [default: the app's number, else all]", min=1),
    ] = None,
    data: Annotated[Path | None, typer.Option(help="A folder that contains one folder of data for each cluster, with APP.")] = None,
    run_config: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY=VALUE ...", help="Values for the run config, as for `flwr run`, with APP; can be repeated."),
    ] = None,
    initial_model: Annotated[
        str | None, typer.Option(metavar="RUN", help="Begin with the model of this Completed run, with APP.  [default: the app's own]")
    ] = None,
    detach: Annotated[bool, typer.Option("--detach", "-d", help="Do not follow the run.")] = False,
    timeout: Timeout = None,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
    folder: Home = None,
    output: Output = Format.TEXT,
) -> None:
    """Start a run of an app's folder (APP) or of a resource in a file (-f), and follow it until it ends."""
    following = Following(detach, timeout, output is Format.JSON)
    if (app_folder is None) == (file is None):
        raise Problem(Code.USAGE, "either APP or -f FILE is required", "Examples are `panal run ./myapp` and `panal run -f run.yaml`.")
    if file is not None:
        if rounds or min_clients or data or run_config or initial_model:
            message = "--rounds, --min-clients, --data, --run-config and --initial-model cannot be used with -f"
            raise Problem(Code.USAGE, message, "Set the values in the file.")
        code = run.run_file(choose(kubeconfig, context, folder), file, namespace, create_namespace, following)
    else:
        assert app_folder is not None
        if kubeconfig or context or namespace:
            message = "APP runs on the local platform, in the namespace default: --kubeconfig, --context and -n cannot be used with it"
            raise Problem(Code.USAGE, message, "To run on a hub, build and push an image, and give a FederatedLearning with -f.")
        local = required("`panal run APP`")
        app = apps.read(app_folder, rounds, data, run_config or (), initial_model, min_clients)
        code = run.run_folder(local, folder, app, following)
    raise typer.Exit(int(code))


@app.command()
def get(
    what: Annotated[
        str,
        typer.Argument(metavar="[runs|clusters|NAME]", autocompletion=completion.what_to_get, help="What to show: a list, or one run."),
    ] = "runs",
    namespace: Namespace = None,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Follow the run NAME until it ends.")] = False,
    timeout: Timeout = None,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
    folder: Home = None,
    output: Output = Format.TEXT,
) -> None:
    """Show the runs, the managed clusters, or one run."""
    if watch and what in ("runs", "clusters"):
        raise Problem(Code.USAGE, "-w needs the name of a run", "Use `panal get NAME -w`.")
    following = Following(timeout=timeout, as_json=output is Format.JSON)
    raise typer.Exit(int(run.get(choose(kubeconfig, context, folder), what, namespace, watch, following)))


progress_commands.add_to(app)
explain_command.add_to(app)


@app.command("logs")
def logs_(
    name: Run,
    cluster: Annotated[
        str | None,
        typer.Option(autocompletion=completion.clusters, help="Show the collaborator on this cluster.  [default: the aggregator]"),
    ] = None,
    cluster_context: Annotated[str | None, typer.Option(help="The context of that cluster in the kubeconfig.  [default: its name]")] = None,
    container: Annotated[str | None, typer.Option("--container", "-c", help="A container of the Pod.  [default: the app's]")] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Continue until the container ends.")] = False,
    tail: Annotated[int | None, typer.Option(help="Show only this number of last lines; with -f, before filtering.", min=0)] = None,
    raw: Annotated[bool, typer.Option("--raw", help="Show the whole output of the container, without filtering.")] = False,
    namespace: Namespace = None,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
    folder: Home = None,
) -> None:
    """Print the log of an app in a run: of the aggregator, or of a collaborator, whose log is read from its own cluster."""
    code = logs.logs(
        choose(kubeconfig, context, folder),
        name,
        namespace=namespace,
        cluster=cluster,
        cluster_context=cluster_context,
        container=container,
        follow=follow,
        tail=tail,
        raw=raw,
    )
    raise typer.Exit(int(code))


model_commands.add_to(app)
control_commands.add_to(app)
serve_command.add_to(app)
site_commands.add_to(app)
evidence_commands.add_to(app)


dashboard.add_to(app)


@app.command("doctor")
def doctor_(
    cluster: Annotated[
        str | None,
        typer.Option(
            autocompletion=completion.clusters, help="Try the way from this cluster to the aggregator of a run, with a Pod on the cluster."
        ),
    ] = None,
    name: Annotated[
        str | None, typer.Option("--run", autocompletion=completion.runs, help="The run, with --cluster.  [default: one in progress]")
    ] = None,
    namespace: Annotated[
        str | None,
        typer.Option("--namespace", "-n", help="The namespace of panal's controller (panal-system); with --cluster, of the run (any)."),
    ] = None,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
    folder: Home = None,
    output: Output = Format.TEXT,
) -> None:
    """Examine the hub: what is wrong with it, with its clusters and with what leads to its runs, and what to do about it."""
    access, as_json = choose(kubeconfig, context, folder), output is Format.JSON
    if cluster:
        raise typer.Exit(int(probe.probe(access, cluster, name, namespace, as_json)))
    if name:
        raise Problem(Code.USAGE, "--run needs --cluster", "Use `panal doctor --cluster CLUSTER --run NAME`.")
    raise typer.Exit(int(doctor.doctor(access, namespace or SYSTEM_NAMESPACE, as_json)))


@app.command("new")
def new_(target: Annotated[Path, typer.Argument(metavar="APP", help="The folder to create; its name is the app's name.")]) -> None:
    """Create a small Flower app to edit and run."""
    for path in new.new(target):
        output.note(str(path))
    output.line(f"created {target}: edit it, then `panal run {target}`")


@app.command("package")
def package_(
    app_folder: Annotated[Path, typer.Argument(metavar="APP", help="The folder of an app.")],
    image: Annotated[
        str | None, typer.Option(metavar="REGISTRY/NAME:TAG", help="The name of the image.  [default: registry.example.com/APP:VERSION]")
    ] = None,
    data_claim: Annotated[
        str | None, typer.Option(metavar="NAME", help="The ClusterClaim by which sites announce their data.  [default: no data]")
    ] = None,
    target: Annotated[Path | None, typer.Option("--output", metavar="DIR", help="Where to write.  [default: the app's folder]")] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite existing files.")] = False,
) -> None:
    """Write the files that an app needs to run on a hub: a Containerfile, its .dockerignore, and a run.yaml."""
    made = package.package(app_folder, image, target, data_claim, force)
    for path in made:
        output.note(str(path))
    output.line(f"wrote {made[0]} and {made[-1]}: build and push the image, then `panal run -f {made[-1]} --context HUB`")


@certificates.callback(invoke_without_command=True)
def certs_(
    command: typer.Context,
    namespace: Installed = SYSTEM_NAMESPACE,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
    folder: Home = None,
    output: Output = Format.TEXT,
) -> None:
    """Show the certificate authorities, and for each cluster when its certificate expires and which runs admit it."""
    if command.invoked_subcommand is None:
        raise typer.Exit(int(certs.show(choose(kubeconfig, context, folder), namespace, output is Format.JSON)))


@certificates.command("rotate")
def certs_rotate(
    which: Annotated[
        certs.Which | None, typer.Argument(metavar="[servers|collaborators]", help="Which authority to rotate.  [default: both]")
    ] = None,
    namespace: Installed = SYSTEM_NAMESPACE,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
    folder: Home = None,
) -> None:
    """Replace the certificate authorities with new ones, without interrupting runs."""
    raise typer.Exit(int(certs.rotate(choose(kubeconfig, context, folder), namespace, which)))


@certificates.command("revoke")
def certs_revoke(cluster: Cluster, kubeconfig: Kubeconfig = None, context: Context = None, folder: Home = None) -> None:
    """Revoke a cluster: it is excluded from all runs. Its connections end within seconds, and it gets no new certificate."""
    raise typer.Exit(int(certs.revoke(choose(kubeconfig, context, folder), cluster)))


@certificates.command("restore")
def certs_restore(cluster: Cluster, kubeconfig: Kubeconfig = None, context: Context = None, folder: Home = None) -> None:
    """Restore a revoked cluster: it gets a new certificate and can take part again."""
    raise typer.Exit(int(certs.restore(choose(kubeconfig, context, folder), cluster)))


if __name__ == "__main__":
    main()
