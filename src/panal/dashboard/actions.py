"""What viewers do with a run: suspend, resume, stop, more rounds. With the viewer's own rights, as the command line does it."""

from __future__ import annotations

from aiohttp import web

from panal.client.problem import Code, Problem, of_api
from panal.client.spec_changes import more_rounds, switch
from panal.dashboard.view import named_run
from panal.dashboard.viewer import Viewer
from panal.kube.client import Client
from panal.kube.errors import ApiError, NotFound
from panal.kube.kinds import FEDERATED_LEARNING
from panal.kube.objects import Object

SAID = {
    "suspend": "The run is being suspended: its Pods end, and it goes on after the last stored round when it is resumed.",
    "resume": "The run is resumed. It goes on after the last stored round.",
    "stop": "The run is being stopped. It ends as Failed with the reason Stopped.",
    "rounds": "The number of rounds is changed.",
}
MOST_ROUNDS = 1_000_000


async def act(viewer: Viewer, request: web.Request, form: dict[str, str]) -> str:
    """Does what the form asks for, and returns where to go. Raises Problem."""
    action, (namespace, name) = request.match_info["action"], named_run(request)
    try:
        run = await viewer.client.get(FEDERATED_LEARNING, namespace, name)
        await _do(viewer.client, run, action, form)
    except NotFound as error:
        raise Problem(Code.NOT_FOUND, error.message, "Check the name and the namespace.") from error
    except ApiError as error:
        raise of_api(error, "") from error
    return f"/runs/{namespace}/{name}?done={action}"


async def _do(client: Client, run: Object, action: str, form: dict[str, str]) -> None:
    match action:
        case "suspend" | "resume":
            await switch(client, run, "suspend", action == "suspend")
        case "stop":
            await switch(client, run, "stop", True)
        case "rounds":
            await more_rounds(client, run, _rounds(form.get("rounds", "")))


def _rounds(text: str) -> int:
    number = int(text) if text.isascii() and text.isdigit() and len(text) <= 7 else 0
    if not 1 <= number <= MOST_ROUNDS:
        raise Problem(Code.USAGE, "spec.server.rounds: the number of rounds must be a whole number from 1", "Give a larger number.")
    return number
