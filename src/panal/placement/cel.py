"""CEL expressions about a ManagedCluster: the adapter of the CEL library, with the functions that Open Cluster Management adds.

An expression is compiled twice. First against the types that Kubernetes declares, which finds what is wrong with it, in the words of
the real scheduler (both libraries are Google's, in C++ here and in Go there). Then to be run, with a mapping in the place of every
Kubernetes type, for only such values can pass between the library and Python. Compiled expressions are kept.

Not there: Kubernetes' `format` library, `indexOf` of lists and `string` of addresses, which are refused as unknown, and limits of cost.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from functools import cache, lru_cache
from typing import Any

from cel_expr_python import cel
from cel_expr_python.ext import ext_optional, ext_strings

from panal.placement.cel_input import typed
from panal.placement.cel_overloads import DYN, KUBERNETES_TYPES, Overload, Type, overloads
from panal.placement.hub import Hub, Object, name_of
from panal.placement.selectors import MisconfiguredError

MAPPING = Type.Map(Type.STRING, DYN)
LIST = Type.List(DYN)
UNKNOWN = re.compile(r"ERROR: <input>:(\d+):(\d+): undeclared reference to '(\w+\.[\w.]+)'(.*)\n \| (.*)\n \| \.*\^")

_hub: ContextVar[Hub] = ContextVar("hub")


def compile_expressions(expressions: Sequence[str], path: str, hub: Hub) -> Callable[[Object], bool]:
    """Whether all are true of a cluster. An expression that fails, or is no boolean, is not true; raises MisconfiguredError."""
    compiled = [_compiled(expression) for expression in expressions]
    for number, one in enumerate(compiled):
        if isinstance(one, str):
            raise MisconfiguredError(f"{path}[{number}]: {one}", f"compilation failed: {one}")

    def met(cluster: Object) -> bool:
        token = _hub.set(hub)
        try:
            data = {"managedCluster": hub.remembered(("cel", name_of(cluster)), lambda: typed(cluster))}
            return all(_true(one, data) for one in compiled)
        finally:
            _hub.reset(token)

    return met


def _true(expression: Any, data: Mapping[str, Any]) -> bool:
    try:
        return expression.eval(data=data).value() is True
    except RuntimeError:
        return False


@lru_cache(maxsize=512)
def _compiled(expression: str) -> Any:
    """The expression to run, or what is wrong with it."""
    try:
        _checker().compile(expression)
        return _runner().compile(expression)
    except RuntimeError as error:
        problem = str(error)
        if not problem.startswith("INVALID_ARGUMENT: ERROR: <input>"):
            raise  # nothing that a Placement's author could mend
        return _as_in_go(problem.removeprefix("INVALID_ARGUMENT: ").removesuffix(" [INVALID_ARGUMENT]"))


def _as_in_go(problem: str) -> str:
    """Go's library names of an unknown variable not its fields, and points at it rather than at the last dot."""
    return UNKNOWN.sub(_pointed, problem.replace(r"\u003F", "?"))


def _pointed(match: re.Match[str]) -> str:
    line, _, name, words, text = match.groups()
    at = max(text.find(name), 0)
    root = name.partition(".")[0]
    return f"ERROR: <input>:{line}:{at + 1}: undeclared reference to '{root}'{words}\n | {text}\n | {'.' * at}^"


@cache
def _checker() -> Any:
    return _environment(overloads(_scores))


@cache
def _runner() -> Any:
    """Overloads that look alike once Kubernetes' types are gone become one, which tells from the values what is meant."""
    loose = map(_loose, overloads(_scores))
    merged = {(one.name, one.member, tuple(kind.name() for kind in one.types[:-1])): one for one in loose}
    return _environment([*merged.values()])


def _loose(one: Overload) -> Overload:
    *parameters, result = map(_loose_type, one.types)
    if LIST in parameters:
        result = DYN
    return one._replace(types=(*(MAPPING if kind == DYN else kind for kind in parameters), result))


def _loose_type(kind: Any) -> Any:
    if kind in KUBERNETES_TYPES:
        return MAPPING
    return LIST if kind.name().startswith("LIST") else kind


def _environment(functions: Sequence[Overload]) -> Any:
    by_name: dict[str, list[Any]] = {}
    for number, one in enumerate(functions):
        *parameters, result = one.types
        declared = cel.Overload(f"{one.name}_{number}", result, parameters, one.member, one.run)
        by_name.setdefault(one.name, []).append(declared)
    return cel.NewEnv(
        variables={"managedCluster": MAPPING},
        functions=[cel.FunctionDecl(name, declared) for name, declared in by_name.items()],
        extensions=[ext_strings.ExtStrings(), ext_optional.ExtOptional()],
    )


def _scores(cluster: Mapping[str, Any], resource: str) -> list[dict[str, Any]]:
    found = _hub.get().scores_by_name.get((cluster["metadata"]["name"], resource))
    if found is None:
        raise ValueError(f"failed to get score {resource}")
    return [{"name": each["name"], "value": each["value"]} for each in (found.get("status") or {}).get("scores") or ()]
