"""What Kubernetes says of a wrong label selector, word for word: it ends in a Placement's condition.

`selectors` decides whether a requirement is right, in words of its own that name the field; this file only knows the official words.
Several faults of one requirement are listed in the order in which Kubernetes looks for them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence

NAME = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
SUBDOMAIN = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*"
ENDS = "and must start and end with an alphanumeric character"
NAME_WORDS = f"must consist of alphanumeric characters, '-', '_' or '.', {ENDS}"
VALUE_WORDS = f"a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', {ENDS}"
SUBDOMAIN_WORDS = f"a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', {ENDS}"
ESCAPES = {"\a": r"\a", "\b": r"\b", "\f": r"\f", "\n": r"\n", "\r": r"\r", "\t": r"\t", "\v": r"\v", '"': r"\"", "\\": r"\\"}


def official(key: str, operator: str, values: Sequence[str]) -> str:
    """The message for one requirement; empty if it is right. `operator` is that of metav1.LabelSelector, or Equals."""
    if operator not in ("In", "NotIn", "Exists", "DoesNotExist", "Equals"):
        return f"{quoted(operator)} is not a valid label selector operator"
    found = dict.fromkeys([*_key(key), *_number(operator, values), *_values(key, values)])
    return next(iter(found), "") if len(found) < 2 else f"[{', '.join(found)}]"


def _key(key: str) -> Iterable[str]:
    problems = qualified_name(key)
    return [f"key: Invalid value: {quoted(key)}: {'; '.join(problems)}"] if problems else []


def qualified_name(key: str) -> list[str]:
    prefix, slash, name = key.rpartition("/")
    examples = ("MyName", "my.name", "123-abc")
    if "/" in prefix:
        form = "with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"
        return [f"a qualified name {_regex(NAME_WORDS, NAME, *examples)} {form}"]
    problems = [f"prefix part {problem}" for problem in _prefix(prefix)] if slash else []
    if not name:
        problems.append("name part must be non-empty")
    elif len(name.encode()) > 63:
        problems.append("name part must be no more than 63 characters")
    if not re.fullmatch(NAME, name):
        problems.append(f"name part {_regex(NAME_WORDS, NAME, *examples)}")
    return problems


def _prefix(prefix: str) -> list[str]:
    if not prefix:
        return ["must be non-empty"]
    problems = ["must be no more than 253 characters"] if len(prefix.encode()) > 253 else []
    if not re.fullmatch(SUBDOMAIN, prefix):
        problems.append(_regex(SUBDOMAIN_WORDS, SUBDOMAIN, "example.com"))
    return problems


def _number(operator: str, values: Sequence[str]) -> Iterable[str]:
    if operator in ("In", "NotIn") and not values:
        return ["values: Invalid value: null: for 'in', 'notin' operators, values set can't be empty"]
    if operator in ("Exists", "DoesNotExist") and values:
        return [f"values: Invalid value: {_json(values)}: values set must be empty for exists and does not exist"]
    return []


def _values(key: str, values: Sequence[str]) -> Iterable[str]:
    for number, value in enumerate(values):
        problems = label_value(value)
        if problems:
            yield f"values[{number}][{key}]: Invalid value: {quoted(value)}: {'; '.join(problems)}"


def label_value(value: str) -> list[str]:
    problems = ["must be no more than 63 characters"] if len(value.encode()) > 63 else []
    if not re.fullmatch(f"({NAME})?", value):
        problems.append(_regex(VALUE_WORDS, f"({NAME})?", "MyValue", "my_value", "12345"))
    return problems


def _regex(words: str, pattern: str, *examples: str) -> str:
    shown = " or ".join(f"'{example}', " for example in examples)
    return f"{words} (e.g. {shown}regex used for validation is '{pattern}')"


def quoted(text: str) -> str:
    """As Go prints a string with %q."""
    return '"' + "".join(ESCAPES.get(character) or _printable(character) for character in text) + '"'


def _printable(character: str) -> str:
    if character.isprintable():
        return character
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x80 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _json(values: Sequence[str]) -> str:
    text = json.dumps(list(values), ensure_ascii=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text
