"""The middle of docs/reference/python.md, from signatures and docstrings: `python -m panal.sdk.reference FILE` updates it in FILE.

It is between `<!-- api -->` and `<!-- end -->`. A test compares the page with the code.
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from panal import sdk

API = re.compile(r"(<!-- api -->\n).*?(<!-- end -->)", re.DOTALL)
FIRST = ("run", "FederatedLearning")
WIDTH = 100  # characters of a signature on one line
VARIABLES = {"FederatedLearning": "run"}  # what an object of a class is called


def api() -> str:
    names = [*FIRST, *(name for name in sdk.__all__ if name not in FIRST)]
    return "\n".join(line for name in names for line in _of(name, getattr(sdk, name)))


def _of(name: str, thing: Any) -> Iterator[str]:
    if not inspect.isclass(thing):
        yield from _entry(f"## `panal.{name}`", f"panal.{name}", thing)
        return
    yield from (f"## `panal.{name}`", "", _text(thing), "")
    if is_dataclass(thing):
        rows = [f"| `{each.name}` | `{_in_table(_type(each.type))}` |" for each in fields(thing)]
        yield from ("| field | type |", "|---|---|", *rows, "")
    members = [(key, value) for key, value in vars(thing).items() if not key.startswith("_") and _documented(value)]
    properties = [(key, _of_property(value)) for key, value in members if isinstance(value, property | cached_property)]
    if properties:
        rows = [
            f"| `{key}` | `{_in_table(_type(found.__annotations__['return']))}` | {_in_table(_text(found))} |" for key, found in properties
        ]
        yield from ("| property | type | meaning |", "|---|---|---|", *rows, "")
    for key, value in members:
        if not isinstance(value, property | cached_property):
            owner = name if isinstance(value, classmethod) else VARIABLES.get(name, name.lower())
            yield from _entry(f"### `{key}`", f"{owner}.{key}", getattr(thing, key), bound=not isinstance(value, classmethod))


def _documented(value: Any) -> bool:
    return isinstance(value, property | cached_property | classmethod) or inspect.isfunction(value)


def _of_property(value: Any) -> Any:
    return value.fget if isinstance(value, property) else value.func


def _entry(title: str, call: str, thing: Any, bound: bool = False) -> Iterator[str]:
    yield from (title, "", "```python", _signature(call, thing, bound), "```", "", _text(thing), "")


def _signature(call: str, thing: Any, bound: bool) -> str:
    found = inspect.signature(thing)
    parameters = list(found.parameters.values())[1 if bound else 0 :]
    words = []
    for each in parameters:
        if each.kind is each.KEYWORD_ONLY and "*" not in words:
            words.append("*")
        words.append(_parameter(each))
    returned = f" -> {_type(found.return_annotation)}"
    line = f"{call}({', '.join(words)}){returned}"
    if len(line) <= WIDTH:
        return line
    return f"{call}(\n" + "".join(f"    {word},\n" for word in words) + f"){returned}"


def _parameter(each: inspect.Parameter) -> str:
    default = ""
    if each.default is not each.empty:
        default = f" = {each.default.__name__ if callable(each.default) else repr(each.default)}"
    return f"{each.name}: {_type(each.annotation)}{default}"


def _type(annotation: Any) -> str:
    """As it is written in the code."""
    return str(annotation).replace("NDArray[Any]", "numpy.ndarray").replace("File", "str | PathLike")


def _text(thing: Any) -> str:
    return re.sub(r"(?<!\n)\n(?![\n ])", " ", inspect.getdoc(thing) or "")


def _in_table(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def renewed(page: str) -> str:
    return API.sub(lambda found: f"{found[1]}\n{api()}\n{found[2]}", page)


def main() -> None:
    for name in sys.argv[1:]:
        Path(name).write_text(renewed(Path(name).read_text()))


if __name__ == "__main__":
    main()
