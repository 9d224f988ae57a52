"""The environment of an app with the real Flower: node config, working directory, run config, and no proxy on loopback."""

from __future__ import annotations

import io
import json
from collections.abc import Callable

import numpy as np
import pytest

from reporting import ConfigMap, reporting

from .conftest import Pods

pytestmark = pytest.mark.flower

Make = Callable[..., Pods]
PROXIES = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"), "http://127.0.0.1:9")
PROXIES["NO_PROXY"] = ".example.com"


def start(run: Pods, **config: object) -> None:
    """Two sites, whose proxies lead nowhere, with the app in their images."""
    app = run.app("finds", **config)
    run.settings |= PROXIES | {"PANAL_APP_DIR": str(app)}
    run.start_superlink()
    run.announce(app)
    for number, site in enumerate(("site1", "site2")):
        partition = {"PANAL_PARTITION_ID": str(number), "PANAL_NUM_PARTITIONS": "2"}
        run.start_site(site, PROXIES | partition | {"PANAL_APP_DIR": str(app)})


def test_an_app_finds_what_it_needs_and_its_files_are_kept(pods: Make) -> None:
    run = pods(rounds=2, PANAL_RUN_CONFIG='{"step":2,"model.size":4}')
    config_map = ConfigMap()
    with reporting(run, config_map) as folder:
        start(run)
        assert run.termination()[0] == 0
        for number, line in enumerate((5, 7)):
            metrics = [r["collaborators"][f"site{number + 1}"]["metrics"] for r in run.records() if r.get("phase") == "train"]
            found = {"partition": number, "partitions": 2, "line": line, "num-examples": 1}
            assert metrics == [found | {"files": 1}, found | {"files": 2}]

    saved = np.load(io.BytesIO((folder / "files/final_model.npz").read_bytes()))
    assert saved["arr_0"].tolist() == [4.0] * 4
    files = json.loads((folder / "metadata.json").read_text())["files"]
    assert (files["uri"], files["count"], files["leftOut"]) == ("pvc://models/out/team/digits/u-1/files/", 2, [])
    assert [each["path"] for each in files["list"]] == ["final_model.npz", "reports/lines.txt"]
    assert "2 files of the app" in run.log("launcher")
    found = config_map.progress.files
    assert found is not None
    assert (found.uri, found.count, found.size) == (files["uri"], 2, files["size"])
    image = run.folder / "app"
    assert {path.name for path in image.iterdir()} == {"data", "finds", "pyproject.toml"}  # nothing was written into it
    assert (run.folder / "work-site1/app/rounds.log").exists()


def test_a_failed_server_app_names_the_missing_key_and_keeps_its_files(pods: Make) -> None:
    run = pods(rounds=1, min_clients=1)
    with reporting(run, ConfigMap()) as folder:
        start(run, mode="fails-after")
        code, message = run.termination()
    assert (code, message["reason"]) == (1, "ServerAppFailed")
    assert "the run config has no key 'no-such-key'" in message["message"]
    assert json.loads((folder / "metadata.json").read_text())["files"]["count"] == 2


def test_a_failed_client_app_names_the_missing_key(pods: Make) -> None:
    run = pods(rounds=1, min_clients=1)
    start(run, mode="asks-too-much")
    code, message = run.termination()
    assert (code, message["reason"]) == (1, "AllCollaboratorsFailed")
    assert "(MissingNodeConfig: the node config has no key 'no-such-key')" in message["message"]
    assert run.record(phase="train", messages={f"site{n}": "the node config has no key 'no-such-key'" for n in (1, 2)})
    assert "MissingNodeConfig" in run.log("site1")


def test_the_launcher_refuses_an_app_before_it_waits(pods: Make) -> None:
    run = pods(PANAL_RUN_CONFIG='{"stepp":2}')
    app = run.app("finds")
    run.start_launcher(app)
    code, message = run.termination()
    assert (code, message["reason"]) == (1, "InvalidSpec")
    assert "no key 'stepp'. Declared in [tool.flwr.app.config] are: mode, model.size, num-server-rounds, step" in message["message"]

    run.settings.pop("PANAL_RUN_CONFIG")
    (app / "lib").mkdir()
    (app / "lib/helpers.py").write_text("")
    (app / "finds/test_data.py").write_text("from lib import helpers\n")
    (app / "finds/client_app.py").write_text("from finds.test_data import helpers\n")
    run.start_launcher(app)
    code, message = run.termination()
    assert (code, message["reason"]) == (1, "AppInvalid")
    assert "finds/client_app.py imports finds.test_data (finds/test_data.py)" in message["message"]
    assert "finds/test_data.py imports lib.helpers (lib/helpers.py)" in message["message"]
    assert not run.records()
