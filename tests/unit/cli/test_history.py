"""`panal history`."""

import gzip
import json

import pytest

from fake_client import FakeAccess, FakeClient
from panal.api.history import for_config_map, head
from panal.cli import history
from panal.client.problem import Code, Problem

ROWS = [
    {"round": 1, "seconds": 2.5, "replies": 2, "failures": 0, "metrics": {"loss": 0.5}, "clusters": {
        "cluster1": {"seconds": 1.0, "metrics": {"loss": 0.4}, "received": 2048, "sent": 100}, "cluster2": {"seconds": 2.0}}},
    {"round": 2, "replies": 1, "failures": 1, "resumed": True, "failed": {"cluster2": "NoReply"}, "metrics": {"loss": "NaN"}},
    {"round": 3, "complete": False, "failed": {"cluster1": "ValueError"}, "clusters": {
        "cluster1": {"reason": "ValueError", "message": "bad \x1b[1m"}}},
]  # fmt: skip
RUN = {"apiVersion": "federation-ai.open-cluster-management.io/v1alpha1", "kind": "FederatedLearning", "spec": {},
       "metadata": {"name": "digits", "namespace": "ns", "uid": "u"}}  # fmt: skip


def hub(uid="u", content=None):
    lines = head({"namespace": "ns", "name": "digits", "uid": uid}, "job") + "".join(json.dumps(row) + "\n" for row in ROWS).encode()
    data = for_config_map(gzip.compress(lines if content is None else content))
    config_map = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "digits-history", "namespace": "ns"}, "binaryData": data}
    return FakeAccess({"hub": FakeClient(RUN, config_map)})


def lines(capsys):
    return [line.split("   ") for line in capsys.readouterr().out.splitlines()]


def test_each_round_is_a_line(capsys):
    assert history.show(hub(), "digits", None, None, False) == Code.OK
    found = [[cell.strip() for cell in line if cell.strip()] for line in lines(capsys)]
    assert found == [
        ["ROUND", "SECONDS", "CLUSTERS", "FAILED", "METRICS"],
        ["1", "2.5", "2", "-", "loss 0.5"],
        ["2, resumed", "-", "1", "cluster2 NoReply", "loss NaN"],
        ["3 (not complete)", "-", "0", "cluster1 ValueError: bad \\x1b[1m"],
    ]


def test_a_cluster_has_lines_of_its_own(capsys):
    history.show(hub(), "digits", None, "cluster1", False)
    said = capsys.readouterr()
    found = [[cell.strip() for cell in line.split("   ") if cell.strip()] for line in said.out.splitlines()]
    assert found[1:] == [["1", "1.0", "2.0 KiB", "100 B", "loss 0.4"], ["3 (not complete)", "-", "-", "-", "ValueError bad \\x1b[1m"]]
    assert "1 of 3 rounds are left out here" in said.err


def test_json_has_the_rows(capsys):
    history.show(hub(), "digits", None, None, True)
    found = json.loads(capsys.readouterr().out)
    assert [row["round"] for row in found["rounds"]] == [1, 2, 3]
    assert found["rounds"][1]["metrics"] == {"loss": "NaN"}


@pytest.mark.parametrize(("access", "message"), [(hub(uid="earlier"), "has no history yet"), (hub(content=b"x"), "malformed")])
def test_what_cannot_be_shown_is_said(access, message):
    with pytest.raises(Problem, match=message):
        history.show(access, "digits", None, None, False)
