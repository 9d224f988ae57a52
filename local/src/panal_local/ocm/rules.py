"""Condition rules of a ManifestWork: conditions of its own that an object's state is turned into by CEL. The one module that sees CEL."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

from panal.kube.objects import Object
from panal_local.ocm.conditions import Condition, said
from panal_local.ocm.feedback import succeeded_or_failed

NO_CEL = "CEL is not available: install panal's extra `local`"


class ExpressionError(ValueError):
    """The expression does not compile, or cannot be evaluated on this object."""


def evaluate(obj: Object, rules: list[Mapping[str, Any]], generation: int) -> list[Condition]:
    return [c | {"observedGeneration": generation} for rule in rules for c in _conditions(obj, rule)]


def _conditions(obj: Object, rule: Mapping[str, Any]) -> Iterator[Condition]:
    if rule["type"] == "WellKnownConditions":
        known = succeeded_or_failed(obj)
        if known and rule["condition"] == known["type"]:
            yield known
        return
    try:
        result = all(_true(expression, obj) for expression in rule.get("celExpressions") or ())
    except ExpressionError as error:
        yield said(rule["condition"], False, "ConditionRuleExpressionError", str(error))
        return
    yield said(rule["condition"], result, "ConditionRuleEvaluated", _message(obj, rule, result))


def _true(expression: str, obj: Object) -> bool:
    result = _evaluated(expression, {"object": obj})
    if not isinstance(result, bool):
        raise ExpressionError(f"expected bool result, got {'string' if isinstance(result, str) else type(result).__name__}")
    return result


def _message(obj: Object, rule: Mapping[str, Any], result: bool) -> str:
    if not rule.get("messageExpression"):
        return str(rule.get("message") or f"Manifest is {'' if result else 'not '}{rule['condition']}")
    try:
        return str(_evaluated(rule["messageExpression"], {"object": obj, "result": result}))[:32768]
    except ExpressionError as error:
        return str(error)


def _evaluated(expression: str, variables: dict[str, Any]) -> Any:
    program, error_type = _compiled(expression, tuple(variables))
    result = program.eval(data=variables)
    if result.type() == error_type:
        raise ExpressionError(_as_real(str(result.value())))
    return result.plain_value()


@lru_cache(maxsize=256)
def _compiled(expression: str, variables: tuple[str, ...]) -> tuple[Any, Any]:
    """The program, and how it says that it failed. (The library has no wheel for every Python, so it is looked for when it is needed.)"""
    try:
        from cel_expr_python import cel
        from cel_expr_python.ext import ext_optional, ext_strings
    except ImportError as error:
        raise ExpressionError(NO_CEL) from error
    types = {"object": cel.Type.DYN, "result": cel.Type.BOOL}
    has_conditions = cel.Overload("hasConditions_dyn", cel.Type.BOOL, [cel.Type.Map(cel.Type.STRING, cel.Type.DYN)], False, _has_conditions)
    environment = cel.NewEnv(
        functions=[cel.FunctionDecl("hasConditions", [has_conditions])],
        variables={name: types[name] for name in variables},
        extensions=[ext_optional.ExtOptional(), ext_strings.ExtStrings()],
    )
    try:
        return environment.compile(expression), cel.Type.ERROR
    except RuntimeError as error:
        raise ExpressionError(str(error).removeprefix("INVALID_ARGUMENT: ").removesuffix(" [INVALID_ARGUMENT]")) from error


def _has_conditions(value: Any) -> bool:
    conditions = value.get("conditions") if isinstance(value, Mapping) else None
    return isinstance(conditions, list) and bool(conditions)


def _as_real(text: str) -> str:
    """Open Cluster Management's own library says `no such key: name`."""
    key = text.rpartition("Key not found in map : ")[2] if "Key not found in map" in text else ""
    return f"no such key: {key.strip(chr(34))}" if key else text
