"""The selectors of a Placement, compiled once and then asked for many clusters: what does this cluster lack?

The answers are phrases that follow a cluster's name: `lacks claim example.com/mnist`. Labels and claims are compared by the same rules
as Kubernetes' label selectors; the values in a *selector* must have the form of label values even where claims may hold anything.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

KEY = re.compile(r"([a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?([A-Za-z0-9][-A-Za-z0-9_.]{0,61})?[A-Za-z0-9]")
VALUE = re.compile(r"(([A-Za-z0-9][-A-Za-z0-9_.]{0,61})?[A-Za-z0-9])?")
SHOWN_VALUES = 5
SHOWN_LENGTH = 63


class MisconfiguredError(ValueError):
    """The placement is wrong in itself: Open Cluster Management then selects nothing at all. The text names the field."""


@dataclass(frozen=True, slots=True)
class Requirement:
    """One requirement on a label or a claim; `subject` says which of them, `path` where it is written."""

    subject: str
    key: str
    operator: str
    values: frozenset[str]
    path: str = field(default="", compare=False)

    def met(self, having: Mapping[str, str]) -> bool:
        """By a cluster with these labels or claims."""
        match self.operator:
            case "Exists":
                return self.key in having
            case "DoesNotExist":
                return self.key not in having
            case "In":
                return having.get(self.key) in self.values
            case _:  # NotIn; _checked lets nothing else through
                return having.get(self.key) not in self.values

    def unmet(self, having: Mapping[str, str]) -> str:
        """Why a cluster with these labels or claims fails it; empty if it does not."""
        if self.met(having):
            return ""
        value = having.get(self.key)
        if value is None:
            return f"lacks {self.subject} {self.key}"
        if self.operator == "DoesNotExist":
            return f"has {self.subject} {self.key}"
        why = f"not in {_wanted(self.values)}" if self.operator == "In" else "which is excluded"
        return f'has {self.subject} {self.key} "{shorten(value)}", {why}'


def compile_labels(selector: Mapping[str, Any], path: str) -> tuple[Requirement, ...]:
    """A label selector's requirements; raises MisconfiguredError with `path` where it is wrong."""
    exact = (_exact(key, value, f"{path}.matchLabels") for key, value in (selector.get("matchLabels") or {}).items())
    return (*exact, *_expressions("label", selector, path))


def compile_claims(selector: Mapping[str, Any], path: str) -> tuple[Requirement, ...]:
    """A claim selector's requirements; raises MisconfiguredError with `path` where it is wrong."""
    return tuple(_expressions("claim", selector, path))


def _exact(key: str, value: str, path: str) -> Requirement:
    return _checked(Requirement("label", key, "In", frozenset({value}), f"{path}[{key}]"), path)


def _expressions(subject: str, selector: Mapping[str, Any], path: str) -> Iterable[Requirement]:
    for number, expression in enumerate(selector.get("matchExpressions") or ()):
        key, operator, values = expression.get("key", ""), expression.get("operator", ""), expression.get("values") or ()
        where = f"{path}.matchExpressions[{number}]"
        yield _checked(Requirement(subject, key, operator, frozenset(values), where), where)


def _checked(requirement: Requirement, path: str) -> Requirement:
    if problem := _problem(requirement):
        raise MisconfiguredError(f"{path}: {problem}")
    return requirement


def _problem(requirement: Requirement) -> str:
    operator, values = requirement.operator, requirement.values
    if not _is_key(requirement.key):
        return f'"{shorten(requirement.key)}" cannot be a key of a label or claim'
    if operator in ("In", "NotIn") and not values:
        return f"operator {operator} needs at least one value"
    if operator in ("Exists", "DoesNotExist") and values:
        return f"operator {operator} takes no values"
    if operator not in ("In", "NotIn", "Exists", "DoesNotExist"):
        return f'operator "{shorten(operator)}" is not one of In, NotIn, Exists, DoesNotExist'
    wrong = sorted(value for value in values if not VALUE.fullmatch(value))
    return f'"{shorten(wrong[0])}" has not the form of a label value (at most 63 letters, digits, -, _ and .)' if wrong else ""


def _is_key(key: str) -> bool:
    prefix, slash, _ = key.rpartition("/")
    return bool(KEY.fullmatch(key)) and (not slash or len(prefix) <= 253)


@lru_cache(maxsize=64)
def _wanted(values: frozenset[str]) -> str:
    """Said of thousands of clusters, made once."""
    return shown(values)


def shorten(text: str) -> str:
    return text if len(text) <= SHOWN_LENGTH else f"{text[: SHOWN_LENGTH - 1]}…"


def shown(values: Iterable[str]) -> str:
    ordered = sorted(values)
    more = ", …" if len(ordered) > SHOWN_VALUES else ""
    return f"[{', '.join(shorten(value) for value in ordered[:SHOWN_VALUES])}{more}]"
