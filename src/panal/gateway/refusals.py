"""The log of the aggregator's gateway: one line for each refusal, with the client and the reason, in bounded number.

A request that is refused by what it asks for is proven to be a cluster's, and a limit of that cluster bounds such lines. What is broken
(a handshake, HTTP's rules) is bounded by one limit for all. Text from the peer is cut.
"""

from __future__ import annotations

from panal.gateway import envoy, limits
from panal.gateway.envoy import Json

# A stream that breaks HTTP's rules is reset, so it has no status; one that the other side gave up is no refusal. What the runtime answers
# is in its own log. Of those past a limit there are too many for lines: statistics count them.
_BY_ROUTE = ["route_not_found", "direct_response"]
_WITHOUT_LINES = ["via_upstream", "local_rate_limited", "reached_concurrency_limit"]
_FROM = "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%"
_CERTIFICATE = "%CEL(connection.uri_san_peer_certificate):300%"


def connections() -> Json:
    fields = {
        "refused": "connection",
        "chain": "%FILTER_CHAIN_NAME%",  # the cluster that it claims to be
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
    """No query and no headers, so no line holds a secret."""
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
