"""The limits of the aggregator's gateway for each cluster: connections, requests, and log lines.

Requests and log lines are counted after the certificate is verified. Connections are counted before the handshake, so an attacker can
occupy a cluster's connections with unfinished handshakes. Therefore the limit is high and the handshake timeout short: the cluster
still gets one of the connections that become free, and keeps it for an hour.
"""

from __future__ import annotations

from collections.abc import Sequence

from panal.gateway import envoy
from panal.gateway.envoy import Json

CONNECTIONS_OF_ALL = 20_000
CONNECTIONS = 256  # per chain; a collaborator's gateway needs two or three
STREAMS = 32  # per connection; a collaborator needs about ten
REQUESTS = 64  # concurrent per cluster, for two collaborators while one replaces the other
HANDSHAKE = "5s"
WHOLE_REQUEST = "600s"  # until its last byte

LOG_FILE = "log.json"  # the token bucket for lines that no cluster's own limit covers
_LOG_BUCKET = "log"
_LINES, _LINES_PER_SECOND = 200, 10
_REFUSALS, _REFUSALS_PER_SECOND = 50, 5  # logged refusals per cluster by path, method or length; further ones get 429 without a line
_BUCKET_KIND = "type.v3.TokenBucket"
_LOCAL_RATE = "envoy.filters.http.local_ratelimit"
_ALWAYS: Json = {"default_value": {"numerator": 100, "denominator": "HUNDRED"}}


def connections(prefix: str) -> Json:
    """The filter that limits the connections of a chain."""
    message = "filters.network.connection_limit.v3.ConnectionLimit"
    return envoy.extension("envoy.filters.network.connection_limit", message, stat_prefix=prefix, max_connections=CONNECTIONS)


def requests() -> Json:
    """The filter that limits the concurrent requests of a chain; others get 429.

    Envoy's only such limit is adaptive. It is constant if its minimum and maximum are the same.
    """
    constant = {
        "concurrency_limit_params": {"max_concurrency_limit": REQUESTS, "concurrency_update_interval": "86400s"},
        "min_rtt_calc_params": {"fixed_value": "1s", "min_concurrency": REQUESTS},
    }
    return envoy.extension(
        "envoy.filters.http.adaptive_concurrency",
        "filters.http.adaptive_concurrency.v3.AdaptiveConcurrency",
        gradient_controller_config=constant,
        concurrency_limit_exceeded_status={"code": "TooManyRequests"},
    )


def refusals(prefix: str) -> Json:
    """The filter that counts requests refused for their path, method or length, so that a flood of them does not flood the log."""
    return envoy.extension(
        _LOCAL_RATE,
        "filters.http.local_ratelimit.v3.LocalRateLimit",
        stat_prefix=f"http.{prefix}",
        token_bucket=_bucket(_REFUSALS, _REFUSALS_PER_SECOND),
        filter_enabled=_ALWAYS,
        filter_enforced=_ALWAYS,
    )


def uncounted() -> Json:
    """Excludes a route from the count of refusals."""
    return {"typed_per_filter_config": {_LOCAL_RATE: envoy.typed("config.route.v3.FilterConfig", disabled=True)}}


def bucket_file() -> Json:
    """The token bucket that `bounded` uses."""
    bucket = envoy.typed(_BUCKET_KIND, **_bucket(_LINES, _LINES_PER_SECOND))
    return envoy.resources("service.discovery.v3.Resource", [{"name": _LOG_BUCKET, "version": "1", "resource": bucket}])


def bounded(condition: Json) -> Json:
    """An access log filter: `condition`, limited by a token bucket. Envoy supports only one bucket for the process."""
    rule = envoy.extension(
        "envoy.access_loggers.extension_filters.process_ratelimit",
        "access_loggers.filters.process_ratelimit.v3.ProcessRateLimitFilter",
        dynamic_config={"resource_name": _LOG_BUCKET, "config_source": envoy.watched(LOG_FILE)},
    )
    return {"and_filter": {"filters": [condition, {"extension_filter": rule}]}}


def routes(prefix: str, methods: Sequence[str], largest: int | None, allowed: Json) -> list[Json]:
    """Routes requests with one of `methods`, a path below `prefix` and a declared length of at most `largest` bytes to `allowed`. HTTP/2
    enforces the declared length, so bodies need not be buffered. `largest` None: any length, declared or not."""
    one = {"exact": methods[0]} if len(methods) == 1 else {"safe_regex": {"regex": "|".join(methods)}}

    def match(*headers: Json) -> Json:
        return {"prefix": prefix, "headers": [{"name": ":method", "string_match": one}, *headers]}

    if largest is None:
        return [{"match": match(), **allowed, **uncounted()}]
    length = {"name": "content-length"}
    return [
        {"match": match(length | {"range_match": {"start": 0, "end": largest + 1}}), **allowed, **uncounted()},
        {"match": match(length | {"present_match": True}), "direct_response": {"status": 413}},
        {"match": match(), "direct_response": {"status": 411}},
    ]


def _bucket(most: int, per_second: int) -> Json:
    return {"max_tokens": most, "tokens_per_fill": per_second, "fill_interval": "1s"}
