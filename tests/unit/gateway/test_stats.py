"""What is read from the gateway's statistics: the right figures of the right cluster, whatever else stands there."""

from __future__ import annotations

import json

import pytest

from panal.api.names import ClusterName
from panal.gateway.aggregator import parse_stats
from panal.gateway.traffic import Traffic


def text(**counters: int) -> str:
    return json.dumps({"stats": [{"name": name, "value": value} for name, value in counters.items()] + [{"histograms": {}}]})


@pytest.mark.parametrize(
    ("counters", "expected"),
    [
        ({}, {}),
        ({"http.cluster.c1.downstream_rq_total": 3}, {"c1": Traffic(requests=3)}),
        ({"http.cluster.c1.downstream_cx_rx_bytes_total": 3,
          "http.cluster.c1.downstream_cx_tx_bytes_total": 4}, {"c1": Traffic(0, 0, 3, 4)}),
        ({"http.cluster.a.b.http_local_rate_limit.enabled": 1,
          "http.cluster.a.b.adaptive_concurrency.gradient_controller.rq_blocked": 4,
          "http.cluster.a.b.downstream_rq_failed_path_normalization": 2}, {"a.b": Traffic(refused=7)}),
        ({"http.cluster.a.downstream_rq_total": 1, "http.cluster.a.b.downstream_rq_total": 2}, {"a": Traffic(1), "a.b": Traffic(2)}),
        ({"http.cluster.http.cluster.x.http_local_rate_limit.enabled": 1}, {"http.cluster.x": Traffic(refused=1)}),
        ({"listener.fleet.ssl.fail_verify_san": 1, "strangers.rbac.denied": 2,
          "connection_limit.cluster.a.b.limited_connections": 4}, {"": Traffic(refused=7)}),
        ({"http.health.downstream_rq_total": 9, "http.strangers.downstream_rq_total": 9,
          "cluster.runtime.http_local_rate_limit.enabled": 9, "http.cluster.c1.no_route": 9}, {}),
        ({"listener.fleet.http.cluster.c1.downstream_rq_total": 9, "xhttp.cluster.c1.downstream_rq_total": 9}, {}),
    ],
    ids=str,
)  # fmt: skip
def test_counters_become_traffic(counters: dict[str, int], expected: dict[str, Traffic]) -> None:
    assert parse_stats(text(**counters)) == {ClusterName(name): traffic for name, traffic in expected.items()}
