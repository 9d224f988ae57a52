"""CEL, the language of rules in CRDs and selectors in Placements. Only this module imports the library.

Standard CEL with the extensions for bindings, optional values and strings. Functions that Kubernetes and Open Cluster Management add
(quantity, url, ip, format, scores, ...) are not available: an expression that calls one does not compile.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from cel_expr_python import cel
from cel_expr_python.ext import ext_bindings, ext_optional, ext_strings


class CelError(ValueError):
    """The expression does not compile, or cannot be evaluated with these values."""


@cache
def _environment(*variables: str) -> Any:
    extensions = [ext_optional.ExtOptional(), ext_strings.ExtStrings(), ext_bindings.ExtBindings()]
    return cel.NewEnv(variables=dict.fromkeys(variables, cel.Type.DYN), extensions=extensions)


def compiled(expression: str, *variables: str) -> Any:
    """The program of an expression over these variables. Raises CelError."""
    try:
        return _environment(*variables).compile(expression)
    except RuntimeError as error:
        raise CelError(str(error).removeprefix("INVALID_ARGUMENT: ").removesuffix(" [INVALID_ARGUMENT]")) from error


def evaluated(program: Any, **values: Any) -> Any:
    """Evaluates the program; `values` are JSON values by variable. Raises CelError."""
    try:
        result = program.eval(data=values)
    except RuntimeError as error:
        raise CelError(str(error)) from error
    if result.type() == cel.Type.ERROR:
        raise CelError(str(result.value()))
    return result.plain_value()
