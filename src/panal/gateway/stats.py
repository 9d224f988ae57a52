"""Parses the statistics of the aggregator's gateway into the traffic of each cluster.

The names of statistics and clusters contain dots, so the patterns match a known prefix before the cluster and a known counter after it.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from urllib.parse import quote

from panal.api.names import ClusterName
from panal.gateway.traffic import Traffic

LISTENER = "fleet"
STRANGERS = "strangers"
_PREFIX = "cluster"

_REQUESTS = {"downstream_rq_total"}
_BY_ROUTE = "http_local_rate_limit.enabled"  # counts every refusal by path, method or length
_AT_A_TIME = "adaptive_concurrency.gradient_controller.rq_blocked"
_REFUSED = {_BY_ROUTE, _AT_A_TIME, "downstream_rq_failed_path_normalization", "downstream_cx_protocol_error"}
_RECEIVED, _SENT = {"downstream_cx_rx_bytes_total"}, {"downstream_cx_tx_bytes_total"}
_ALL = sorted(_REQUESTS | _REFUSED | _RECEIVED | _SENT)
_HANDSHAKES = ["connection_error", "fail_verify_cert_hash", "fail_verify_error", "fail_verify_no_cert", "fail_verify_san"]

_CLUSTER = re.compile(rf"http\.{_PREFIX}\.(?P<cluster>.+)\.(?P<counter>{'|'.join(map(re.escape, _ALL))})")
_STRANGER = re.compile(
    rf"listener\.{LISTENER}\.ssl\.(?:{'|'.join(_HANDSHAKES)})|{STRANGERS}\.rbac\.denied|connection_limit\..+\.limited_connections"
)
_WANTED = f"^({_CLUSTER.pattern.replace('?P<cluster>', '').replace('?P<counter>', '')}|{_STRANGER.pattern.replace('?:', '')})$"

STATS_PATH = f"/stats?format=json&type=Counters&filter={quote(_WANTED, safe='')}"


def stat_prefix(cluster: ClusterName) -> str:
    return f"{_PREFIX}.{cluster}"


def parse_stats(text: str) -> dict[ClusterName, Traffic]:
    """The traffic of each cluster of the run, from the response to `STATS_PATH`. The key "" counts refused connections of clients that are
    not in the run."""
    counters: dict[ClusterName, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for stat in json.loads(text)["stats"]:
        name, value = stat.get("name", ""), stat.get("value")
        if found := _CLUSTER.fullmatch(name):
            counters[ClusterName(found["cluster"])][found["counter"]] += value
        elif _STRANGER.fullmatch(name):
            counters[ClusterName("")][_BY_ROUTE] += value
    return {cluster: _traffic(found) for cluster, found in sorted(counters.items())}


def _traffic(counters: dict[str, int]) -> Traffic:
    def total(of: set[str]) -> int:
        return sum(value for name, value in counters.items() if name in of)

    return Traffic(total(_REQUESTS), total(_REFUSED), total(_RECEIVED), total(_SENT))
