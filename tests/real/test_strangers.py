"""Another user of the machine, beside a running local platform: every port that answers at all answers 401, and no file can be read."""

from __future__ import annotations

import json
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from platform_engine import Platform
from runs import AHEAD, apply, label_clusters, until_all_take_part

pytestmark = [pytest.mark.real]

STRANGER = Path(__file__).parents[1] / "support/stranger.py"
NOBODY = "65534"
SLOW = {"env": [{"name": "STEPS_SECONDS", "value": "4"}]}
# What anybody may know: that an API server or a gateway is up, as with Kubernetes'.
OPEN = {("GET", "/ready"), ("GET", "/healthz"), ("GET", "/version")}
NO_ANSWER = {"BadStatusLine", "ConnectionResetError", "RemoteDisconnected", "SSLError", "SSLEOFError", "SSLZeroReturnError"}


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    with Platform.at(tmp_path_factory.mktemp("strangers")) as started:
        label_clusters(started)
        until_all_take_part(started)
        yield started


def stranger(engine: Platform) -> dict[str, Any]:
    prefix = engine.aggregator_address().rsplit(".", 2)[0] + "."
    words = [
        "setpriv",
        f"--reuid={NOBODY}",
        f"--regid={NOBODY}",
        "--clear-groups",
        "/usr/bin/python3",
        "-",
        prefix,
        str(engine.folder.root),
    ]
    done = subprocess.run(words, input=STRANGER.read_text(), capture_output=True, text=True, check=True, cwd="/")
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def secrets(engine: Platform) -> list[str]:
    """Of the Pods that run now, and the platform's own tokens."""
    pods = [file.read_text().strip() for file in engine.folder.root.glob("*/node/pods/*/volumes/pod/secret")]
    assert len(pods) == 3, "an aggregator and two collaborators"
    return [*pods, *(token for tokens in engine.state.tokens.values() for token in tokens.values())]


def test_a_stranger_gets_401_from_everything_and_reads_nothing(engine: Platform) -> None:
    run = apply(engine, "runs", "watched", clusters=["cluster1", "cluster2"], server={"rounds": 1 + AHEAD}, client=SLOW)
    run.until_running()
    with run.kept_going():
        run.until_round(1)
        known = secrets(engine)
        found = stranger(engine)
    assert found["user"] == int(NOBODY)
    wrong = [each for each in found["came"] if each[-1] != "401" and each[-1] not in NO_ANSWER and tuple(each[2:4]) not in OPEN]
    assert not wrong, wrong[:20]
    answered = Counter(port for port, _, _, path, came in found["came"] if came == "401" and path == "/v1/control/start-run")
    assert len(answered) >= 8, answered  # API servers, SuperLink, two SuperNodes and their gateways, nodes
    assert not found["files"]
    assert not [secret for secret in known for line in found["lines"] if secret in line]
    assert len(found["lines"]) > 20
    run.until_every_round_counted(["cluster1", "cluster2"])
    run.delete()
