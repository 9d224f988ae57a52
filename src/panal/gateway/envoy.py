"""Building blocks of the configurations of both gateways.

Files are named relative to Envoy's working directory. Envoy watches that folder, and reads the files again when a file is renamed into it,
or when the kubelet switches the link `..data` of a mounted volume.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

Json = dict[str, Any]

# Flush logs every half second. Without hot restart, Envoy needs no shared memory.
ARGUMENTS = ("--disable-hot-restart", "--drain-strategy", "immediate", "--file-flush-interval-msec", "500", "-l", "warning")
HERE: Json = {"path": "./"}
EXTENSIONS = "envoy.extensions"
HTTP_OPTIONS = f"{EXTENSIONS}.upstreams.http.v3.HttpProtocolOptions"
TLS_1_3: Json = {"tls_minimum_protocol_version": "TLSv1_3", "tls_maximum_protocol_version": "TLSv1_3"}
IDENTITY, TRUST = "identity", "trust"  # the names of the SDS secrets and of their files
MANY = 1 << 20  # Envoy's default of 1,024 concurrent requests is too small for thousands of clusters

# Large enough not to limit the throughput: 16 MiB allow 1 Gbit/s at a round-trip time of 130 ms.
_STREAM_WINDOW, _CONNECTION_WINDOW = 16 << 20, 32 << 20
# Bytes that wait before a slow link: in Envoy, in the kernel, and what is read at a time to be put there. Heartbeats, which Flower awaits
# for 5 s, and pings wait behind them. The kernel's limit is for what it has not sent, so it does not limit the throughput. A read may
# exceed the queue by its own size.
_QUEUE, _UNSENT, READ = 64 << 10, 64 << 10, 32 << 10
_TCP, _NOTSENT_LOWAT = 6, 25
_REPEATABLE = 1 << 20
# A lost peer is detected within 30 s.
_KEEPALIVE = {"interval": "5s", "timeout": "10s"}


def typed(name: str, /, **fields: Any) -> Json:
    """A protobuf message of type `envoy.NAME`; the prefix may be included in `name`."""
    full = name if name.startswith("envoy.") else f"envoy.{name}"
    return {"@type": f"type.googleapis.com/{full}", **fields}


def extension(name: str, message: str, /, **fields: Any) -> Json:
    return {"name": name, "typed_config": typed(f"{EXTENSIONS}.{message}", **fields)}


def watched(file: str) -> Json:
    """A configuration source: a file of the working directory."""
    return {"resource_api_version": "V3", "path_config_source": {"path": f"./{file}", "watched_directory": HERE}}


def resources(kind: str, found: Iterable[Json]) -> Json:
    """The content of such a file, with resources of type `kind`."""
    return {"resources": [typed(kind, **resource) for resource in found]}


def socket(address: str, port: int) -> Json:
    return {"socket_address": {"address": address, "port_value": port}}


def endpoints(cluster: str, address: Json, **fields: Any) -> Json:
    return {"cluster_name": cluster, "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address}, **fields}]}]}


def identity(folder: str = ".") -> Json:
    """The SDS file that refers to our certificate and key, which are in `folder`."""
    files = {"certificate_chain": {"filename": f"{folder}/tls.crt"}, "private_key": {"filename": f"{folder}/tls.key"}}
    certificate = {**files, "watched_directory": {"path": f"{folder}/"}}
    return resources(f"{EXTENSIONS}.transport_sockets.tls.v3.Secret", [{"name": IDENTITY, "tls_certificate": certificate}])


def trust(folder: str = ".", *, revocations: bool) -> Json:
    """The SDS file that refers to the trusted authorities and, if `revocations`, to their revocation lists; they are in `folder`."""
    context: Json = {"trusted_ca": {"filename": f"{folder}/ca.crt"}, "watched_directory": {"path": f"{folder}/"}}
    if revocations:
        context["crl"] = {"filename": f"{folder}/crl.pem"}
    return resources(f"{EXTENSIONS}.transport_sockets.tls.v3.Secret", [{"name": TRUST, "validation_context": context}])


def tls(peer: Json | None, protocols: list[str]) -> Json:
    """TLS 1.3 with our certificate. The peer's certificate must be signed by a trusted authority and have the name `peer`; None: any name.
    `protocols` are the ALPN protocols."""
    authorities = {"name": TRUST, "sds_config": watched(f"{TRUST}.json")}
    return {
        "tls_params": TLS_1_3,
        "alpn_protocols": protocols,
        "tls_certificate_sds_secret_configs": [{"name": IDENTITY, "sds_config": watched(f"{IDENTITY}.json")}],
        "combined_validation_context": {
            "default_validation_context": {"match_typed_subject_alt_names": [peer]} if peer else {},
            "validation_context_sds_secret_config": authorities,
        },
    }


def http2(**more: Any) -> Json:
    return {
        "initial_stream_window_size": _STREAM_WINDOW,
        "initial_connection_window_size": _CONNECTION_WINDOW,
        "connection_keepalive": _KEEPALIVE,
        **more,
    }


def http_upstream(explicit: Json, *, filters: Sequence[Json] = (), **common: Any) -> Json:
    """The options of an upstream cluster with a fixed HTTP version. `filters`: what requests to it pass; the codec is the last."""
    more = {"http_filters": list(filters)} if filters else {}
    options = typed(HTTP_OPTIONS, explicit_http_config=explicit, common_http_protocol_options=common, **more)
    return {"typed_extension_protocol_options": {HTTP_OPTIONS: options}}


def short_queue() -> Json:
    """The options of a listener or cluster with a slow link, on which small messages do not wait for long behind large ones."""
    return {"per_connection_buffer_limit_bytes": _QUEUE}


def short_kernel_queue() -> Json:
    """The same for its sockets."""
    return {"socket_options": [{"description": "unsent bytes", "level": _TCP, "name": _NOTSENT_LOWAT, "int_value": _UNSENT}]}


def small_reads() -> Json:
    """The options of a listener or cluster whose data goes into such a queue."""
    return {"per_connection_buffer_limit_bytes": READ}


def repeatable() -> Json:
    """The option of a route by which a request up to this size can be sent again if no connection could be established. Without it, the
    limit is that of the listener's reads."""
    return {"request_body_buffer_limit": _REPEATABLE}


def unlimited() -> Json:
    """Circuit breakers that never open, because other limits apply."""
    limits = {"max_connections": MANY, "max_pending_requests": MANY, "max_requests": MANY, "max_retries": 100}
    return {"circuit_breakers": {"thresholds": [limits]}}


def connection_limit(most: int) -> Json:
    """Limits the connections of the process, so that clients cannot exhaust its file descriptors."""
    monitor = extension(
        "envoy.resource_monitors.global_downstream_max_connections",
        "resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig",
        max_active_downstream_connections=most,
    )
    return {"overload_manager": {"resource_monitors": [monitor]}}


def log(fields: dict[str, str], condition: Json) -> Json:
    """An access log on standard output for what meets `condition`. Lines are JSON, because names and paths in them come from the peer."""
    form = {"json_format": {"time": "%START_TIME%", **fields}, "omit_empty_values": True}
    written = extension("envoy.access_loggers.stdout", "access_loggers.stream.v3.StdoutAccessLog", log_format=form)
    return written | {"filter": condition}


def condition(expression: str) -> Json:
    """An access log filter in CEL."""
    rule = extension("envoy.access_loggers.extension_filters.cel", "access_loggers.filters.cel.v3.ExpressionFilter", expression=expression)
    return {"extension_filter": rule}


# An access log filter for failed requests. Collaborators poll every few seconds, so successful requests are not logged.
FAILED: Json = {"status_code_filter": {"comparison": {"op": "GE", "value": {"default_value": 400, "runtime_key": "panal.access_log_from"}}}}


def manager(stat_prefix: str, routes: list[Json], *, filters: Iterable[Json] = (), **fields: Any) -> Json:
    """The HTTP connection manager. A stream has no time limit: a model may take minutes, a training phase hours."""
    router = extension("envoy.filters.http.router", "filters.http.router.v3.Router", suppress_envoy_headers=True)
    host = {"name": stat_prefix, "domains": ["*"], "routes": routes}
    settings: Json = {
        "stat_prefix": stat_prefix,
        "stream_idle_timeout": "0s",
        "request_headers_timeout": "30s",
        "generate_request_id": False,
        "server_header_transformation": "PASS_THROUGH",
        "http_filters": [*filters, router],
        "route_config": {"virtual_hosts": [host], **fields.pop("route_config", {})},
    }
    message = "filters.network.http_connection_manager.v3.HttpConnectionManager"
    return extension("envoy.filters.network.http_connection_manager", message, **settings, **fields)
