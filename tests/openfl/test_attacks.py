"""A hostile site, and processes beside the gateways, against the real server of the aggregator and both real gateways."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from gateways import SITES_SECRET
from reporting import ConfigMap, reporting

from .conftest import Pods

pytestmark = pytest.mark.openfl

EXPECTED = {
    "without the gateway": "UNAUTHENTICATED",
    "without the gateway, with a cluster": "UNAUTHENTICATED",
    "with the secret of another Pod": "UNAUTHENTICATED",
    "without the Pod's secret": "UNAUTHENTICATED",
    "as itself": "ok",
    "as another site": "PERMISSION_DENIED",
    "as another site, with a header": "PERMISSION_DENIED",
    "as itself, with another's header": "ok",
    "of another federation": "FAILED_PRECONDITION",
    "results as another site": "PERMISSION_DENIED",
    "results that are no message": "INVALID_ARGUMENT",
    "large results": "RESOURCE_EXHAUSTED",
    "results of an unknown task": "ok",
    "results with a tensor that is none": "ok",
    "the model": "ok data",
    "a tensor that does not exist": "NOT_FOUND",
    "another service": "UNIMPLEMENTED",
    "without the gateway, and without a message": "UNAUTHENTICATED 1, another site ok",
    "many calls without a message": "RESOURCE_EXHAUSTED 4, another site ok",
    "another way": "UNIMPLEMENTED",
}


def attack(run: Pods) -> dict[str, str]:
    ports = [run.port, run.spoke("site1").port, run.spoke("site2").port]
    command = [str(run.venv / "bin/python"), str(Path(__file__).parent / "attacker.py"), *map(str, ports), SITES_SECRET]
    done = subprocess.run(command, env={"PATH": "/usr/bin:/bin", "HOME": str(run.folder)}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    found: dict[str, str] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_a_site_acts_for_itself_alone_and_cannot_end_the_run(pods: Callable[..., Pods]) -> None:
    run = pods(min_clients=1, PANAL_LARGEST_REPLY=str(20 << 20))
    run.fault("site1", "wait in 0")
    with reporting(run, ConfigMap(rounds="1")):
        run.hub.start("site1", "site2")
        run.participate("site1", "site2")
        run.start_aggregator()
        run.start_site("site1")
        run.recorded(event="started")
        assert attack(run) == EXPECTED
        run.fault("site1", "")
        assert run.termination()[0] == 0
    train = run.record(event="round", phase="train")
    assert train is not None
    assert (sorted(train["collaborators"]), train["failed"]) == (["site1"], {"site2": "ReplyInvalid"})
    log = run.log("aggregator")
    for line in (
        "refused: cluster=- at=/openfl.aggregator.Aggregator/Ping: the request does not come from this Pod's gateway",
        "refused: cluster=site2 at=PingRequest: the message says that it is from site1",
        "refused: cluster=site2 at=TaskResults: the message says that it is from site1",
        "refused: cluster=site2 at=/openfl.aggregator.Aggregator/Ping: the cluster has 8 calls that have not ended",
        "round 1: site2 has no part in it: ReplyInvalid: the results are no message of OpenFL",
        "round 1: site2 has no part in it: ReplyTooLarge: it sends more than 20971520 bytes (spec.server.replies.maxSize)",
    ):
        assert line in log, log
