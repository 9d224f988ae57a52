"""Exit codes for scripts, and errors with a remedy. docs/reference/cli.md lists the codes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum

from panal.api.text import block
from panal.kube import errors

MISFIT = "failed to create typed patch object"  # how an API server's message begins if a field is unknown or has the wrong type


class Code(IntEnum):
    OK = 0
    RUN_FAILED = 1  # a run that was followed ended as Failed
    USAGE = 2  # options or a file are invalid
    UNREACHABLE = 3  # no kubeconfig, or the API server does not answer
    NOT_FOUND = 4  # no such run, cluster, namespace, Pod
    TIMEOUT = 5  # --timeout has passed; the operation continues on the hub
    REFUSED = 6  # the API server rejected the request
    PLATFORM = 7  # the local platform cannot do what is requested
    IMAGE = 8  # an image could not be built
    WITHOUT_MODEL = 9  # a run that was followed completed without a model, and spec.result does not allow that
    FAILED_WITH_MODEL = 10  # a run that was followed ended as Failed, and its model is stored
    UNHEALTHY = 11  # `panal doctor`, or a check of a ledger or of evidence, has found a problem
    NOTEBOOK = 12  # a cell of a notebook failed, it could not be executed, or there is no Jupyter
    GATE = 13  # `panal serve`: the model may not be served; nothing was changed
    NOT_SERVED = 14  # `panal serve`: the new version does not answer; what served before continues
    INTERRUPTED = 130  # Ctrl-C; the operation continues on the hub


class Problem(Exception):  # noqa: N818  users see it as a problem
    """An error whose text is the cause, and whose `remedy` is what the user can do. `code` is the exit code that ends a command."""

    def __init__(self, code: Code, message: str, remedy: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.remedy = remedy
        if remedy:
            self.add_note(block(remedy))  # in the traceback of a script or a notebook


@contextmanager
def explained(where: str = "") -> Iterator[None]:
    """Converts errors of other packages to Problem. `where` names the API server."""
    try:
        yield
    except errors.UnknownKind as error:
        raise Problem(Code.USAGE, str(error), "Apply objects of other kinds with kubectl.") from error
    except (errors.ConfigError, errors.ApiError) as error:
        raise of_api(error, where) from error
    except OSError as error:
        raise Problem(Code.PLATFORM, str(error), "Check the file, its permissions, and the free space on its disk.") from error


def of_api(error: errors.KubeError, where: str) -> Problem:
    at = f" ({where})" if where else ""
    match error:
        case errors.Unavailable() if MISFIT in error.message:  # with code 500, like an internal error
            _, _, why = error.message.partition("): ")
            return Problem(
                Code.REFUSED,
                f"the resource does not match its schema: {why or error.message}",
                "`kubectl explain fl.spec` and docs/reference/federatedlearning.md list the fields.",
            )
        case errors.ConfigError():
            return Problem(Code.UNREACHABLE, str(error), "Give --kubeconfig, set KUBECONFIG, or start a local platform with `panal up`.")
        case errors.Unavailable(status=500):  # a request that it cannot process, such as unknown fields in server-side apply
            return Problem(
                Code.REFUSED,
                f"the API server{at} could not process the request: {error.message}",
                "Correct the field that the message names.",
            )
        case errors.Unavailable():
            return Problem(
                Code.UNREACHABLE, f"the API server{at} cannot be reached: {error.message}", "Check that it is up: `panal status`."
            )
        case errors.Unauthorized():
            return Problem(
                Code.UNREACHABLE,
                f"the API server{at} does not accept your credentials: {error.message}",
                "Check the credentials in the kubeconfig.",
            )
        case errors.NotFound(reason="NotServed"):
            return Problem(
                Code.NOT_FOUND,
                f"panal is not installed on the cluster of the API server{at}",
                "Install panal there, or choose another --context.",
            )
        case errors.NotFound():
            return Problem(Code.NOT_FOUND, error.message, f"Check the name and the namespace{at}.")
        case errors.Forbidden():
            return Problem(
                Code.REFUSED, f"the API server{at} denies permission: {error.message}", "Ask the platform engineer for the permission."
            )
        case errors.Invalid():
            return Problem(Code.REFUSED, error.message, "Correct the field that the message names.")
    return Problem(Code.REFUSED, f"the API server{at} rejected the request: {error}")
