"""docs/how-to/reach-the-aggregator.md: it shows each type of listener, with fields that exist. `test_soak_listeners` has the runs."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from panal.api.types import Listener, ListenerType

PAGE = Path(__file__).parents[2] / "docs/how-to/reach-the-aggregator.md"
BLOCKS = [yaml.safe_load(block) for block in re.findall(r"^```yaml\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)]
LISTENERS = [each for block in BLOCKS for each in block.get("listeners", ())]


def test_the_page_shows_each_type() -> None:
    assert {Listener.model_validate(each).type for each in LISTENERS} == set(ListenerType)


def test_the_fields_of_the_listeners_are_known() -> None:
    known = {field.alias for field in Listener.model_fields.values()}
    assert {name for each in LISTENERS for name in each} <= known


def test_the_site_names_a_listener_of_the_page() -> None:
    (site,) = (block for block in BLOCKS if block.get("kind") == "AddOnDeploymentConfig")
    assert site["spec"]["customizedVariables"][0]["value"] in {each["name"] for each in LISTENERS}
