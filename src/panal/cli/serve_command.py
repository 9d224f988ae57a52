"""The command `panal serve`; `serve` implements it."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from panal.cli import completion
from panal.cli import serve as implementation
from panal.cli.options import Context, Format, Home, Kubeconfig, Namespace, Output
from panal.cli.proving import Asking
from panal.cli.serve import Action, Wanted
from panal.client.choose import choose
from panal.client.problem import Code, Problem
from panal.serving.gate import Better, Requirement
from panal.serving.predictor import Content


class Protocol(StrEnum):
    V1 = "v1"
    V2 = "v2"


def add_to(app: typer.Typer) -> None:
    app.command()(serve)


def serve(
    run: Annotated[
        str,
        typer.Argument(metavar="RUN", autocompletion=completion.runs, help="The run whose model is served, or with --rollback no longer."),
    ],
    name: Annotated[str | None, typer.Option(help="The service.  [default: the run's name]")] = None,
    runtime: Annotated[
        str | None, typer.Option(metavar="IMAGE|NAME", help="An image, or the name of a ServingRuntime or ClusterServingRuntime.")
    ] = None,
    protocol: Annotated[Protocol, typer.Option(help="The inference protocol of the runtime.")] = Protocol.V2,
    model_format: Annotated[str | None, typer.Option("--format", help="The model format, for a runtime that supports several.")] = None,
    content: Annotated[
        Content | None, typer.Option(help="The folder with the model, or that with the exported files.  [default: export if there is one]")
    ] = None,
    service_account: Annotated[
        str | None, typer.Option(help="The ServiceAccount whose Secret has the credentials of the bucket.  [default: default]")
    ] = None,
    require: Annotated[
        list[str] | None, typer.Option(metavar="'METRIC >= NUMBER'", help="What must hold; also <=, > and <; can be repeated.")
    ] = None,
    better: Annotated[
        list[str] | None,
        typer.Option("--better-than-serving", metavar="METRIC[:lower]", help="A metric that must be better than now; can be repeated."),
    ] = None,
    canary: Annotated[
        int | None, typer.Option(metavar="PERCENT", help="Serve it beside the present version, for so many of the requests.", min=1, max=99)
    ] = None,
    promote: Annotated[bool, typer.Option("--promote", help="Let the canary replace the present version.")] = False,
    rollback: Annotated[
        bool, typer.Option("--rollback", help="Remove the canary with this run's model, or go back to the version before it.")
    ] = False,
    gateway: Annotated[
        str | None, typer.Option(metavar="NAMESPACE/NAME", help="The Gateway that leads to the service; needed for --canary once.")
    ] = None,
    hostname: Annotated[str | None, typer.Option(help="The host name of the service at the Gateway.")] = None,
    probe: Annotated[
        Path | None, typer.Option(help="A file with the JSON body of a prediction.  [default: ask for the model's metadata]")
    ] = None,
    wait: Annotated[float, typer.Option(metavar="SECONDS", help="How long the model may take until it answers.", min=1)] = 300,
    namespace: Namespace = None,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
    folder: Home = None,
    output: Output = Format.TEXT,
) -> None:
    """Serve the model of a run with KServe, when it holds what is required, and prove that it answers; or go back."""
    action = _action(canary, promote, rollback)
    if runtime is None and action in (Action.SERVE, Action.CANARY):
        raise Problem(Code.USAGE, "--runtime is required", "Give an image such as REGISTRY/NAME:TAG, or the name of a runtime.")
    new = {"--runtime": runtime, "--format": model_format, "--content": content, "--service-account": service_account, "--gateway": gateway}
    if action in (Action.PROMOTE, Action.ROLLBACK) and (given := [option for option, value in new.items() if value]):
        raise Problem(Code.USAGE, f"{', '.join(given)} cannot be used with --{action}", "It takes a version that is there.")
    if action is Action.ROLLBACK and (require or better):
        raise Problem(Code.USAGE, "--require and --better-than-serving cannot be used with --rollback", "It goes back in any case.")
    if (gateway is None) != (hostname is None) or (gateway is not None and (gateway.count("/") != 1 or "" in gateway.split("/"))):
        message = "--gateway NAMESPACE/NAME and --hostname NAME are given together"
        raise Problem(Code.USAGE, message, "An example is --gateway gateways/public --hostname digits.example.com.")
    wanted = Wanted(
        action,
        name or "",
        Asking(str(protocol), _body(probe), wait),
        runtime or "",
        model_format or "",
        service_account or "",
        content,
        _parsed(Requirement, "--require", require or ()),
        _parsed(Better, "--better-than-serving", better or ()),
        canary or 0,
        gateway or "",
        hostname or "",
        output is Format.JSON,
    )
    raise typer.Exit(int(implementation.serve(choose(kubeconfig, context, folder), run, namespace, wanted)))


def _action(canary: int | None, promote: bool, rollback: bool) -> Action:
    given = [action for action, on in ((Action.CANARY, canary), (Action.PROMOTE, promote), (Action.ROLLBACK, rollback)) if on]
    if len(given) > 1:
        raise Problem(Code.USAGE, "--canary, --promote and --rollback exclude each other", "Give one of them.")
    return given[0] if given else Action.SERVE


def _parsed(kind: Any, option: str, texts: Any) -> tuple[Any, ...]:
    try:
        return tuple(kind.parse(each) for each in texts)
    except ValueError as error:
        raise Problem(Code.USAGE, f"{option}: {error}", "Examples are 'accuracy >= 0.9', and loss:lower.") from error


def _body(probe: Path | None) -> Any:
    """The content of the file. Raises Problem if it is no JSON object."""
    if probe is None:
        return None
    try:
        found = json.loads(probe.read_bytes())
    except OSError as error:
        raise Problem(Code.USAGE, f"--probe: {error}", "Give the path of a file.") from error
    except ValueError as error:
        raise Problem(Code.USAGE, f"--probe: {probe} is not JSON: {error}", "It has the body of a prediction.") from error
    if not isinstance(found, dict):
        raise Problem(Code.USAGE, f"--probe: {probe} is not a JSON object", "It has the body of a prediction.")
    return found
