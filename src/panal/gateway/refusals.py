"""The access logs of the aggregator's gateway: one line for each refusal, with the client and the reason, within limits.

A request that is refused for its path, method or length is known to come from a cluster, and counts against that cluster's limit. Failed
handshakes and violations of HTTP share one limit for all. Text from the peer is truncated.
"""

from __future__ import annotations

from panal.gateway import envoy, limits
from panal.gateway.envoy import Json

# Not logged: what the runtime answers, which is in its own log, and requests beyond a limit, which statistics count. A stream that violates
# HTTP is reset, so it has no status.
_BY_ROUTE = ["route_not_found", "direct_response"]
_WITHOUT_LINES = ["via_upstream", "local_rate_limited", "reached_concurrency_limit"]
_FROM = "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%"
_CERTIFICATE = "%CEL(connection.uri_san_peer_certificate):300%"


def connections() -> Json:
    fields = {
        "refused": "connection",
        "chain": "%FILTER_CHAIN_NAME%",  # the cluster that the client claims to be
        "certificate": _CERTIFICATE,
        "serial": "%DOWNSTREAM_PEER_SERIAL%",
        "reason": "%DOWNSTREAM_TRANSPORT_FAILURE_REASON%",
        "details": "%CONNECTION_TERMINATION_DETAILS%",
        "flags": "%RESPONSE_FLAGS%",
        "tls": "%DOWNSTREAM_TLS_VERSION%",
        "server_name": "%CEL(connection.requested_server_name):100%",
        "from": _FROM,
        "received": "%BYTES_RECEIVED%",
        "sent": "%BYTES_SENT%",
    }
    failed = envoy.condition("connection.transport_failure_reason != '' || connection.termination_details != ''")
    return envoy.log(fields, limits.bounded(_any(failed, {"response_flag_filter": {}})))


def requests() -> Json:
    """Lines contain no query and no headers, and therefore no secrets."""
    fields = {
        "refused": "request",
        "chain": "%FILTER_CHAIN_NAME%",
        "certificate": _CERTIFICATE,
        "method": "%REQ(:METHOD):20%",
        "path": "%PATH(NQ:ORIG_OR_PATH):200%",
        "status": "%RESPONSE_CODE%",
        "reason": "%RESPONSE_CODE_DETAILS%",
        "flags": "%RESPONSE_FLAGS%",
        "from": _FROM,
        "received": "%BYTES_RECEIVED%",
        "sent": "%BYTES_SENT%",
        "milliseconds": "%DURATION%",
    }
    other = envoy.condition(f"!(response.code_details in {_BY_ROUTE + _WITHOUT_LINES})")
    broken = _any(envoy.FAILED, {"response_flag_filter": {"flags": ["DPE"]}}, envoy.condition("response.code_details.startsWith('http2.')"))
    return envoy.log(fields, _any(envoy.condition(f"response.code_details in {_BY_ROUTE}"), limits.bounded(_all(other, broken))))


def _any(*conditions: Json) -> Json:
    return {"or_filter": {"filters": list(conditions)}}


def _all(*conditions: Json) -> Json:
    return {"and_filter": {"filters": list(conditions)}}
