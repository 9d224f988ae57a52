"""CEL expressions of a celSelector, over `managedCluster`. The one module of the scheduler that knows the CEL library.

Standard CEL with the string and optional extensions, over the ManagedCluster as JSON. Functions that Open Cluster Management and Kubernetes
add (scores, quantity, semver, ip, url, …) are not there: an expression that calls one does not compile, and the Placement says so.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache, lru_cache
from typing import Any

from cel_expr_python import cel
from cel_expr_python.ext import ext_optional, ext_strings

from panal.placement.hub import Object
from panal.placement.selectors import MisconfiguredError

REMEDY = "the local platform evaluates standard CEL, without the functions of Kubernetes and Open Cluster Management"


def compile_expressions(expressions: Sequence[str], path: str) -> Callable[[Object], bool]:
    """Whether all are true of a cluster. An expression that fails, or is no boolean, is not true; raises MisconfiguredError."""
    compiled = [_compiled(expression, f"{path}[{number}]") for number, expression in enumerate(expressions)]
    return lambda cluster: all(_true(one, cluster) for one in compiled)


def _true(expression: Any, cluster: Object) -> bool:
    try:
        return expression.eval(data={"managedCluster": cluster}).value() is True
    except RuntimeError:
        return False


@lru_cache(maxsize=512)
def _compiled(expression: str, path: str) -> Any:
    try:
        return _environment().compile(expression)
    except RuntimeError as error:
        problem = str(error).removeprefix("INVALID_ARGUMENT: ").removesuffix(" [INVALID_ARGUMENT]")
        raise MisconfiguredError(f"{path}: {problem} ({REMEDY})") from error


@cache
def _environment() -> Any:
    extensions = [ext_strings.ExtStrings(), ext_optional.ExtOptional()]
    return cel.NewEnv(variables={"managedCluster": cel.Type.DYN}, extensions=extensions)
