"""The gateway's configuration: Envoy's static bootstrap as JSON, which Envoy reads as it does YAML.

One listener lets POST on the runtime's client paths through to loopback and answers 404 to anything else; another answers `/ready` for the
kubelet's probes, because the runtime itself is out of their reach. There is no admin interface. Paths are normalised before they are
matched, and one that hides a slash or a dot segment behind an escape is refused, so no spelling of `/v1/control` starts with a client path.
Streams have no time limit: a model may take minutes, and a training phase hours.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from panal.api.names import GATEWAY_HEALTH_PORT, GATEWAY_PORT

Json = dict[str, Any]

_TYPE = "type.googleapis.com/envoy.extensions"
_MANAGER = f"{_TYPE}.filters.network.http_connection_manager.v3.HttpConnectionManager"
_ROUTER: Json = {"name": "envoy.filters.http.router", "typed_config": {"@type": f"{_TYPE}.filters.http.router.v3.Router"}}
_HTTP_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"

# No query and no headers, so no line holds a secret. Only what was refused or failed is logged: collaborators poll every few seconds.
_LOG_LINE = (
    "%START_TIME% %DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT% %REQ(:METHOD)% %PATH(NQ:ORIG_OR_PATH)% %RESPONSE_CODE% %RESPONSE_CODE_DETAILS% "
    "%RESPONSE_FLAGS% %BYTES_RECEIVED% %BYTES_SENT% %DURATION%\n"
)
_MANY = 1 << 20  # Envoy's default of 1,024 requests at a time is too small for thousands of clusters


def bootstrap(
    paths: Iterable[str],
    upstream_port: int,
    *,
    port: int = GATEWAY_PORT,
    health_port: int = GATEWAY_HEALTH_PORT,
    listen: str,
    loopback: str = "127.0.0.1",
) -> Json:
    """POST on each prefix of `paths` at `listen:port` goes to `loopback:upstream_port`; a prefix ends with a slash."""
    prefixes = tuple(paths)
    if not prefixes or not all(p.startswith("/") and p.endswith("/") and p != "/" for p in prefixes):
        raise ValueError(f"gateway paths must be prefixes such as /v1/fleet/, not {prefixes}")
    return {
        "node": {"id": "aggregator", "cluster": "panal"},
        "static_resources": {
            "listeners": [
                _listener("runtime", listen, port, [_route(p) for p in prefixes]),
                _listener("health", listen, health_port, [_ready()]),
            ],
            "clusters": [_upstream(loopback, upstream_port)],
        },
    }


def _route(prefix: str) -> Json:
    return {
        "match": {"prefix": prefix, "headers": [{"name": ":method", "string_match": {"exact": "POST"}}]},
        "route": {
            "cluster": "runtime",
            "timeout": "0s",
            "idle_timeout": "0s",
            "retry_policy": {"retry_on": "connect-failure,reset-before-request", "num_retries": 2},
        },
    }


def _ready() -> Json:
    return {"match": {"path": "/ready"}, "direct_response": {"status": 200, "body": {"inline_string": "ready\n"}}}


def _listener(name: str, address: str, port: int, routes: list[Json]) -> Json:
    manager = {
        "@type": _MANAGER,
        "stat_prefix": name,
        "normalize_path": True,
        "merge_slashes": False,
        "path_with_escaped_slashes_action": "REJECT_REQUEST",
        "stream_idle_timeout": "0s",
        "request_headers_timeout": "30s",
        "server_header_transformation": "PASS_THROUGH",
        "access_log": [_access_log()],
        "http_filters": [_ROUTER],
        "route_config": {"virtual_hosts": [{"name": name, "domains": ["*"], "routes": routes}]},
    }
    return {
        "name": name,
        "address": {"socket_address": {"address": address, "port_value": port}},
        "filter_chains": [{"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}],
    }


def _access_log() -> Json:
    return {
        "name": "envoy.access_loggers.stdout",
        "filter": {
            "status_code_filter": {"comparison": {"op": "GE", "value": {"default_value": 400, "runtime_key": "panal.access_log_from"}}}
        },
        "typed_config": {
            "@type": f"{_TYPE}.access_loggers.stream.v3.StdoutAccessLog",
            "log_format": {"text_format_source": {"inline_string": _LOG_LINE}},
        },
    }


def _upstream(address: str, port: int) -> Json:
    endpoint = {"address": {"socket_address": {"address": address, "port_value": port}}}
    limits = {"max_connections": _MANY, "max_pending_requests": _MANY, "max_requests": _MANY, "max_retries": 100}
    return {
        "name": "runtime",
        "type": "STATIC",
        "connect_timeout": "2s",
        "circuit_breakers": {"thresholds": [limits]},
        "typed_extension_protocol_options": {
            _HTTP_OPTIONS: {
                "@type": f"type.googleapis.com/{_HTTP_OPTIONS}",
                "explicit_http_config": {"http_protocol_options": {}},
                # Shorter than the server's own keep-alive (5 s): a connection that it closes must not be picked for a request.
                "common_http_protocol_options": {"idle_timeout": "3s"},
            }
        },
        "load_assignment": {"cluster_name": "runtime", "endpoints": [{"lb_endpoints": [{"endpoint": endpoint}]}]},
    }
