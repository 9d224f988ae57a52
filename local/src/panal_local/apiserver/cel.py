"""CEL, the language of rules in CRDs (x-kubernetes-validations). The only module here that sees the library beneath.

A rule sees the value at its level as `self`, and on updates the former one as `oldSelf`. Functions that Kubernetes adds to the
language (quantity, url, ip, format, …) are not there: a CRD that uses them is refused when it is made, and says so.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from cel_expr_python import cel
from cel_expr_python.ext import ext_bindings, ext_optional, ext_strings

ABSENT: Any = object()


class RuleError(ValueError):
    """The rule is not one, or cannot be evaluated on this value."""


@cache
def _environment() -> Any:
    variables = {"self": cel.Type.DYN, "oldSelf": cel.Type.DYN, "__old": cel.Type.DYN}
    return cel.NewEnv(variables=variables, extensions=[ext_optional.ExtOptional(), ext_strings.ExtStrings(), ext_bindings.ExtBindings()])


@cache
def program(rule: str, optional_old: bool = False) -> Any:
    """RuleError if it does not compile."""
    text = f"cel.bind(oldSelf, __old == null ? optional.none() : optional.of(__old), {rule}\n)" if optional_old else rule
    try:
        return _environment().compile(text)
    except RuntimeError as error:
        raise RuleError(str(error).removeprefix("INVALID_ARGUMENT: ")) from error


def holds(rule: str, value: Any, old: Any = ABSENT, optional_old: bool = False) -> bool:
    """RuleError if it cannot be evaluated on these values."""
    former = None if old is ABSENT else old
    result = program(rule, optional_old).eval(data={"self": value, "oldSelf": former, "__old": former})
    if result.type() == cel.Type.ERROR:
        raise RuleError(str(result.value()))
    return result.plain_value() is True
