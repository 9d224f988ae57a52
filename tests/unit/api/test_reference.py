"""The reference page says what the schema says."""

from pathlib import Path

import yaml

from panal.api.crd import crd
from panal.api.parse import parse_spec
from panal.api.reference import renewed, table

PAGE = Path(__file__).parents[3] / "docs/reference/federatedlearning.md"


def test_the_tables_are_those_of_the_schema():
    page = PAGE.read_text()
    assert page == renewed(page), f"run: python -m panal.api.reference {PAGE.name}"


def test_the_page_has_every_top_level_part():
    page = PAGE.read_text()
    for part in ("spec", "status"):
        for name in crd()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"][part]["properties"]:
            assert f"\n| `{name}` |" in page


def test_the_example_is_one_that_can_be_applied():
    example = yaml.safe_load(PAGE.read_text().split("```yaml\n")[1].split("```")[0])
    spec = parse_spec(example)
    assert spec.server.listeners[0].port == 30080
    assert example["spec"]["client"]["placement"] == spec.client.placement


def test_a_row_tells_type_default_and_limits():
    assert "| `server.listeners[].port` | integer | `8080` | The port of the Service." in table("spec")
    assert "(at least 1; at most 65535) |" in table("spec")
    assert "one of `Auto`, `Off`" in table("spec")
    assert "`client.placement.predicates`" not in table("spec", without="client.placement")
