"""The limits of one peer of the aggregator's gateway: connections, requests, and lines of the log.

All counts of a cluster start after its certificate is verified, except the number of connections: Envoy counts those before the
handshake. So that limit is wide, and a handshake short: at the rate an attacker needs to fill a cluster's places with unfinished
handshakes, the cluster still gets one of the places that become free, and then stays connected for an hour.
"""

from __future__ import annotations

from collections.abc import Sequence

from panal.gateway import envoy
from panal.gateway.envoy import Json

CONNECTIONS_OF_ALL = 20_000
CONNECTIONS = 256  # of one chain; a collaborator's gateway needs two or three
STREAMS = 32  # of one connection; a collaborator needs about ten
REQUESTS = 64  # of one cluster at a time, so two collaborators of it, while one takes the other's place
HANDSHAKE = "5s"
WHOLE_REQUEST = "600s"  # until the last byte of it is there

LOG_FILE = "log.json"  # the bucket of those lines that no cluster's own limit bounds
_LOG_BUCKET = "log"
_LINES, _LINES_PER_SECOND = 200, 10
_REFUSALS, _REFUSALS_PER_SECOND = 50, 5  # requests of one cluster that are refused by what they ask for; past that, 429 without a line
_BUCKET_KIND = "type.v3.TokenBucket"
_LOCAL_RATE = "envoy.filters.http.local_ratelimit"
_ALWAYS: Json = {"default_value": {"numerator": 100, "denominator": "HUNDRED"}}


def connections(prefix: str) -> Json:
    """The filter that closes the connections of a chain that are too many."""
    message = "filters.network.connection_limit.v3.ConnectionLimit"
    return envoy.extension("envoy.filters.network.connection_limit", message, stat_prefix=prefix, max_connections=CONNECTIONS)


def requests() -> Json:
    """The filter that answers 429 to a request more than a chain may have at a time.

    Envoy has no such limit for what comes in but one that adapts itself; with its least and its greatest value the same, it is constant.
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
    """For a route: what is let through does not count as a refusal."""
    return {"typed_per_filter_config": {_LOCAL_RATE: envoy.typed("config.route.v3.FilterConfig", disabled=True)}}


def bucket_file() -> Json:
    """What `bounded` reads."""
    bucket = envoy.typed(_BUCKET_KIND, **_bucket(_LINES, _LINES_PER_SECOND))
    return envoy.resources("service.discovery.v3.Resource", [{"name": _LOG_BUCKET, "version": "1", "resource": bucket}])


def bounded(condition: Json) -> Json:
    """A log's condition: `condition`, and that there are not too many lines. One bucket for the process is all that Envoy offers."""
    rule = envoy.extension(
        "envoy.access_loggers.extension_filters.process_ratelimit",
        "access_loggers.filters.process_ratelimit.v3.ProcessRateLimitFilter",
        dynamic_config={"resource_name": _LOG_BUCKET, "config_source": envoy.watched(LOG_FILE)},
    )
    return {"and_filter": {"filters": [condition, {"extension_filter": rule}]}}


def routes(prefix: str, methods: Sequence[str], largest: int | None, allowed: Json) -> list[Json]:
    """One of `methods` on `prefix` with a body of at most `largest` bytes gets to `allowed`. The length is the one that a request
    declares: HTTP/2 holds it to that, and nothing is kept back until all of it is there. None: of any length, declared or not."""
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
