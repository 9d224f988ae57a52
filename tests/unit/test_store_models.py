"""docs/how-to/store-models.md: its resources are valid, and lead to what the page says."""

from __future__ import annotations

import re
from pathlib import Path
from textwrap import dedent
from typing import Any

import yaml

from panal.api.crd import crd
from panal.api.spec import Storage
from panal.lifecycle.storage import KINDS, storage
from worlds import run

PAGE = Path(__file__).parents[2] / "docs/how-to/store-models.md"
BLOCKS = [yaml.safe_load(dedent(block)) for block in re.findall(r"^ *```yaml\n(.*?)^ *```", PAGE.read_text(), re.MULTILINE | re.DOTALL)]
SERVERS: dict[str, dict[str, Any]] = {block["spec"]["server"]["storage"]["type"]: block["spec"]["server"] for block in BLOCKS}


def known(value: Any, schema: dict[str, Any]) -> bool:
    """Whether every field is in the schema."""
    fields = schema.get("properties")
    return not fields or not isinstance(value, dict) or all(name in fields and known(each, fields[name]) for name, each in value.items())


def test_the_resources_of_the_page_are_valid() -> None:
    spec = crd()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    assert sorted(SERVERS) == ["HostPath", "S3Bucket"]
    for block in BLOCKS:
        assert known(block["spec"], spec)
    for server in SERVERS.values():
        assert KINDS[run(server=server).spec.server.storage.type].problem(Storage.model_validate(server["storage"])) == ""


def test_the_page_names_the_locations() -> None:
    bucket, folder = (run(server=SERVERS[kind]) for kind in ("S3Bucket", "HostPath"))
    assert f"{storage(bucket).uri(bucket)}/{storage(bucket).folder(bucket)}/team/RUN/UID/model.safetensors" in PAGE.read_text()
    assert storage(folder).uri(folder) == f"file://{SERVERS['HostPath']['storage']['path']}"


def test_the_page_names_what_the_run_refers_to() -> None:
    s3 = SERVERS["S3Bucket"]["storage"]["s3"]
    assert f"create secret generic {s3['secretName']} " in PAGE.read_text()
    assert f"create configmap {s3['caBundle']['name']} " in PAGE.read_text()
