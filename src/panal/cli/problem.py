"""How a command can end: exit codes that scripts can rely on, and errors that say what to do. docs/reference/cli.md lists the codes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum

from panal.kube import errors
from panal.local.node.recipes import BuildError
from panal.local.supervisor.folder import PlatformError

MISFIT = "failed to create typed patch object"  # how an API server begins when a field is unknown, or of the wrong type


class Code(IntEnum):
    OK = 0
    RUN_FAILED = 1  # a run that was followed ended as Failed
    USAGE = 2  # options or a file are wrong
    UNREACHABLE = 3  # no kubeconfig, or the API server does not answer
    NOT_FOUND = 4  # no such run, cluster, namespace, Pod
    TIMEOUT = 5  # --timeout was over first; what was started goes on
    REFUSED = 6  # the API server said no
    PLATFORM = 7  # the local platform cannot be as asked
    IMAGE = 8  # an image could not be made
    WITHOUT_MODEL = 9  # a run that was followed has completed without a model, which spec.result does not ask for
    FAILED_WITH_MODEL = 10  # a run that was followed ended as Failed, and what it has trained is stored
    INTERRUPTED = 130  # Ctrl-C; what was started goes on


class Problem(Exception):  # noqa: N818  what it is called to those who read it
    """Ends a command: `message` is the cause, `remedy` what to do about it."""

    def __init__(self, code: Code, message: str, remedy: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.remedy = remedy


@contextmanager
def explained(where: str = "") -> Iterator[None]:
    """Turns what the layers beneath raise into problems. `where` names the API server that is asked."""
    try:
        yield
    except PlatformError as error:
        raise Problem(Code.PLATFORM, str(error), error.remedy) from error
    except BuildError as error:
        raise Problem(Code.IMAGE, str(error)) from error
    except errors.UnknownKind as error:
        raise Problem(Code.USAGE, str(error), "Apply objects of other kinds with kubectl.") from error
    except (errors.ConfigError, errors.ApiError) as error:
        raise of_api(error, where) from error
    except OSError as error:
        raise Problem(Code.PLATFORM, str(error), "Look at the file, its permissions, and the space on its disk.") from error


def of_api(error: errors.KubeError, where: str) -> Problem:
    at = f" ({where})" if where else ""
    match error:
        case errors.Unavailable() if MISFIT in error.message:  # with code 500, as from an API server in trouble
            _, _, why = error.message.partition("): ")
            return Problem(
                Code.REFUSED,
                f"the resource does not fit: {why or error.message}",
                "`kubectl explain fl.spec` names the fields, and so does docs/reference/federatedlearning.md.",
            )
        case errors.ConfigError():
            return Problem(Code.UNREACHABLE, str(error), "Give --kubeconfig, set KUBECONFIG, or start a local platform with `panal up`.")
        case errors.Unavailable(status=500):  # what it cannot make sense of, such as unknown fields in server-side apply
            return Problem(Code.REFUSED, f"the API server{at} could not do it: {error.message}", "Correct what it names.")
        case errors.Unavailable():
            return Problem(
                Code.UNREACHABLE, f"the API server{at} cannot be reached: {error.message}", "Check that it is up: `panal status`."
            )
        case errors.Unauthorized():
            return Problem(
                Code.UNREACHABLE, f"the API server{at} does not know you: {error.message}", "Check the kubeconfig's credentials."
            )
        case errors.NotFound(reason="NotServed"):
            return Problem(
                Code.NOT_FOUND, f"panal is not installed at the API server{at}", "Install it there, or choose another --context."
            )
        case errors.NotFound():
            return Problem(Code.NOT_FOUND, error.message, f"Check the name and the namespace{at}.")
        case errors.Forbidden():
            return Problem(Code.REFUSED, f"the API server{at} forbids it: {error.message}", "Ask the hub's administrator for that right.")
        case errors.Invalid():
            return Problem(Code.REFUSED, error.message, "Correct what it names.")
    return Problem(Code.REFUSED, f"the API server{at} said no: {error}")
