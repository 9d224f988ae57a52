"""docs/how-to/publish-a-model.md: its resource is valid, and it names the tags that a version gets."""

from __future__ import annotations

import re
from pathlib import Path
from textwrap import dedent

import yaml

from panal.api.types import Spec
from panal.pod.registries.lineage import lineage

PAGE = (Path(__file__).parents[2] / "docs/how-to/publish-a-model.md").read_text()


def test_the_resources_of_the_page_are_valid() -> None:
    blocks = [yaml.safe_load(dedent(each))["spec"] for each in re.findall(r"^ *```yaml\n(.*?)^ *```", PAGE, re.MULTILINE | re.DOTALL)]
    assert [list(each["publish"]) for each in blocks] == [["mlflow"], ["modelRegistry"]]
    for spec in blocks:
        found = Spec.model_validate(spec).publish
        assert found
        assert found.model_dump(by_alias=True, exclude_defaults=True) == spec["publish"]


def test_the_page_names_the_tags() -> None:
    app = {"fab_hash": "h", "fab_version": "1"}
    metadata = {"clusters": {"a": [1]}, "app": app, "metrics": {"a": 1}, "strategy": "FedAvg", "versions": {"flwr": "1"}}
    for name in lineage({"namespace": "ns", "name": "n", "uid": "u"}, {}, metadata):
        assert f"`{name}`" in PAGE
