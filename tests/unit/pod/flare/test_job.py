"""Job folders that can be run, and those that cannot."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from panal.pod.tools.files import RunError
from panal.pod.tools.flare.job import RECORDER, adapted_config, adapted_meta, fingerprint, prepare, required

FEDAVG = "nvflare.app_common.workflows.fedavg.FedAvg"


def read(file: Path) -> dict[str, Any]:
    return json.loads(file.read_text())


def write(folder: Path, meta: Any, **configs: Any) -> Path:
    """A job with one app, which has these configs."""
    config = folder / "app/config"
    config.mkdir(parents=True)
    (folder / "meta.json").write_text(json.dumps(meta))
    for name, content in configs.items():
        (config / f"config_fed_{name}.json").write_text(json.dumps(content))
    return folder


def test_a_job_is_copied_with_what_the_run_decides(tmp_path: Path) -> None:
    meta = {"name": "digits", "min_clients": 9, "resource_spec": {"site-1": {"num_of_gpus": 1}}, "deploy_map": {"app": ["@ALL"]}}
    source = write(tmp_path / "job", meta, server={"workflows": [{"path": FEDAVG, "args": {"num_rounds": 9}}]}, client={"executors": []})
    for folder in (source / "app/config", source / "app", source):
        folder.chmod(0o555)  # as in an image that is read-only
    prepare(source, tmp_path / "copy", 3, 2, read)
    assert all(each.stat().st_mode & 0o200 for each in (tmp_path / "copy").rglob("*") if each.is_dir())
    assert read(tmp_path / "copy/meta.json") == {"name": "digits", "min_clients": 2, "deploy_map": {"app": ["@ALL"]}}
    adapted = read(tmp_path / "copy/app/config/config_fed_server.json")
    assert adapted["workflows"][0]["args"] == {"num_rounds": 3, "num_clients": 2}
    assert adapted["components"] == [RECORDER]
    assert read(tmp_path / "copy/app/config/config_fed_client.json") == {"executors": []}


def test_a_job_is_identified_by_its_files(tmp_path: Path) -> None:
    job = write(tmp_path / "job", {"name": "digits"}, server={})
    before = fingerprint(job)
    (job / "app/__pycache__").mkdir()
    (job / "app/__pycache__/train.pyc").write_bytes(b"x")
    assert fingerprint(job) == before
    (job / "app/config/config_fed_server.json").write_text("[]")
    assert fingerprint(job) != before


def test_a_workflow_gets_only_the_parameters_that_it_has() -> None:
    config = {
        "workflows": [{"path": "my.Workflow", "args": {"min_clients": 1, "epochs": 4}}, {"path": "my.Other"}],
        "components": [{"id": "a"}],
    }
    adapted = adapted_config(config, 3, 2)
    assert [each["args"] for each in adapted["workflows"]] == [{"min_clients": 2, "epochs": 4}, {}]
    assert adapted["components"] == [{"id": "a"}, RECORDER]
    assert adapted_config(adapted, 3, 2) == adapted


def test_sites_are_named_as_clusters() -> None:
    meta = {"deploy_map": {"a": ["server"], "b": {"sites": ["site1.example", "site2"]}}, "mandatory_clients": ["site1.example"]}
    assert adapted_meta(meta, 1) == {
        "deploy_map": {"a": ["server"], "b": ["site1_example", "site2"]},
        "mandatory_clients": ["site1_example"],
        "min_clients": 1,
    }


@pytest.mark.parametrize(
    ("meta", "configs", "message"),
    [
        ({}, {}, "has no deploy_map"),
        ([], {}, "cannot read meta.json"),
        ({"deploy_map": {"app": "site1"}}, {}, "not a list of sites for the app app"),
        ({"deploy_map": {"../app": ["@ALL"]}}, {}, "not a list of sites for the app ../app"),
        ({"deploy_map": {"app": ["site1"]}}, {}, "names no app for the server"),
        ({"deploy_map": {"other": ["@ALL"]}}, {}, "The job's app other has no config/config_fed_server.json"),
        ({"deploy_map": {"app": ["@ALL"]}}, {"server": {"workflows": []}}, "config_fed_server has no workflows"),
        ({"deploy_map": {"app": ["@ALL"]}}, {"server": {"workflows": [{}]}}, "The job's app app has no config/config_fed_client.json"),
    ],
)
def test_a_job_that_flare_could_not_run_is_invalid(tmp_path: Path, meta: Any, configs: dict[str, Any], message: str) -> None:
    source = write(tmp_path / "job", meta, **configs)
    with pytest.raises(RunError) as raised:
        prepare(source, tmp_path / "copy", 1, 1, read)
    assert raised.value.reason == "AppInvalid"
    assert message in raised.value.message


def test_a_job_is_found_in_the_working_directory_or_where_the_environment_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RunError, match="The image holds no FLARE job"):
        required()
    write(tmp_path / "job", {})
    monkeypatch.setenv("PANAL_APP_DIR", "job")
    assert required() == Path("job")
    monkeypatch.delenv("PANAL_APP_DIR")
    monkeypatch.chdir(tmp_path / "job")
    assert required() == tmp_path / "job"
