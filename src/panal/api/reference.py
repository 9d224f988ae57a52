"""The tables of fields in docs/reference, generated from the schemas: `python -m panal.api.reference FILE` updates them in FILE, which is
about the FederatedLearning (`panal.site.reference`: the SitePolicy).

A table is between `<!-- fields of PATH -->` and `<!-- end -->`. A test compares the page with the schema.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from panal.api.crd import crd
from panal.api.schema import Schema

HEAD = "| field | type | default | meaning |\n|---|---|---|---|"
TABLE = re.compile(r"(<!-- fields of (\S+?)(?: without (\S+))? -->\n).*?(<!-- end -->)", re.DOTALL)


def table(path: str, without: str = "", definition: Schema | None = None) -> str:
    """Every field below `path`, such as `spec.client`; the fields below `without` are omitted, for a table of their own. `definition`: of
    another kind than FederatedLearning."""
    root = (definition or crd())["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    for part in path.split("."):
        root = root["properties"][part]
    return "\n".join([HEAD, *_rows(root, "", without)])


def _rows(node: Schema, path: str, without: str) -> Iterator[str]:
    for name, field in node.get("properties", {}).items():
        here = f"{path}{name}"
        cells = (f"`{here}`", _type(field), _default(field), field["description"].replace("|", "\\|") + _limits(field))
        yield f"| {' | '.join(cells)} |"
        if here != without:
            yield from _rows(field.get("items", field), f"{here}{'[]' if 'items' in field else ''}.", without)


def _type(field: Schema) -> str:
    if "items" in field:
        return f"list of {_type(field['items'])}s"
    if field.get("x-kubernetes-int-or-string"):
        return "number or string"
    if "additionalProperties" in field:
        return f"map to {_type(field['additionalProperties'])}"
    return {"date-time": "time"}.get(field.get("format", ""), str(field["type"]))


def _default(field: Schema) -> str:
    default = field.get("default")
    return "" if default in (None, {}) else f"`{default if isinstance(default, str) else json.dumps(default)}`"


def _limits(field: Schema) -> str:
    """The limits that the API server enforces, apart from the type."""
    limits = {"minimum": "at least {}", "maximum": "at most {}", "maxItems": "at most {} items", "pattern": "pattern `{}`"}
    found = [text.format(str(field[key]).replace("|", "\\|")) for key, text in limits.items() if key in field]
    if "enum" in field:
        found.insert(0, "one of " + ", ".join(f"`{value}`" for value in field["enum"] if value))
    return f" ({'; '.join(found)})" if found else ""


def renewed(page: str, definition: Schema | None = None) -> str:
    """The page with all its tables updated."""
    return TABLE.sub(lambda found: f"{found[1]}{table(found[2], found[3] or '', definition)}\n{found[4]}", page)


def main() -> None:
    for name in sys.argv[1:]:
        Path(name).write_text(renewed(Path(name).read_text()))


if __name__ == "__main__":
    main()
