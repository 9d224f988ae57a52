"""The configuration of the aggregator's gateway: which clusters reach the runtime, and with which requests.

Envoy starts with `bootstrap` and reads the listener for clusters from `files`, which the reporter updates during the run. The listener has
a filter chain for each participant, selected by the ALPN protocol that the collaborator offers (`names.protocol`). A chain accepts only the
certificate of its cluster, and adds the cluster's name to every request. When a cluster leaves the run, its chain is removed, which closes
only its connections. Other clients get the default chain, which verifies the certificate, to name it in the log, and refuses the client.

Paths are normalized before they are matched, and paths with escaped slashes or dot segments are refused, so that no spelling of
`/v1/control` matches an allowed prefix.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from panal.api import names
from panal.api.names import GATEWAY_HEALTH_PORT, GATEWAY_PORT, ClusterName
from panal.gateway import envoy, limits, refusals
from panal.gateway.envoy import Json
from panal.gateway.stats import LISTENER, STATS_PATH, STRANGERS, parse_stats, stat_prefix

__all__ = ["ARGUMENTS", "EMPTY", "STATS_PATH", "Rules", "bootstrap", "files", "parse_stats"]

# The connections of a cluster that has left the run are closed after the drain time.
ARGUMENTS = (*envoy.ARGUMENTS, "--concurrency", "2", "--drain-time-s", "2")
EVERY_PATH = ("/",)
EMPTY: dict[str, Json] = {"lds.json": {"resources": []}, limits.LOG_FILE: limits.bucket_file()}

_LISTENER_KIND = "config.listener.v3.Listener"
_GROUP_MAY = 0o660  # the reporter may run as another user of the volume's group
# Headers that a proxy sets, or that control Envoy's router. Collaborators may not set them.
_NOT_TRUSTED = [
    "forwarded", "x-forwarded-for", "x-forwarded-host", "x-forwarded-port", "x-forwarded-proto", "x-forwarded-client-cert", "x-real-ip",
    "x-envoy-expected-rq-timeout-ms", "x-envoy-hedge-on-per-try-timeout", "x-envoy-max-retries", "x-envoy-original-host",
    "x-envoy-original-path", "x-envoy-retry-grpc-on", "x-envoy-retry-on", "x-envoy-upstream-alt-stat-name",
    "x-envoy-upstream-rq-per-try-timeout-ms", "x-envoy-upstream-rq-timeout-alt-response", "x-envoy-upstream-rq-timeout-ms",
]  # fmt: skip


def bootstrap(
    upstream_port: int, *, protocol: str = "HTTP/1.1", listen_health: str, health_port: int = GATEWAY_HEALTH_PORT, loopback: str
) -> Json:
    """The bootstrap configuration: `/ready` at `listen_health` for the kubelet's probes, the runtime at `loopback:upstream_port`, which
    speaks `protocol` (HTTP/1.1 or HTTP/2), and the source of the listener. The admin socket `./admin.sock` serves only statistics."""
    return {
        "node": {"id": "aggregator", "cluster": "panal"},
        "admin": {
            "address": {"pipe": {"path": "./admin.sock", "mode": _GROUP_MAY}},
            "allow_paths": [{"prefix": "/stats?"}],
        },
        "dynamic_resources": {"lds_config": envoy.watched("lds.json")},
        "static_resources": {"listeners": [_health(listen_health, health_port)], "clusters": [_runtime(loopback, upstream_port, protocol)]},
        **envoy.connection_limit(limits.CONNECTIONS_OF_ALL),
    }


@dataclass(frozen=True, slots=True)
class Rules:
    """The rules for all clusters of the run `run_id`. The gateway listens at `listen:port`, and forwards requests with one of `methods`, a
    path that begins with one of `paths`, and a body of at most `largest_request` bytes (None: any length). It adds the Pod's `secret`,
    which the runtime requires."""

    run_id: str
    paths: tuple[str, ...]
    largest_request: int | None
    listen: str
    secret: str = field(repr=False)
    port: int = GATEWAY_PORT
    methods: tuple[str, ...] = ("POST",)

    def __post_init__(self) -> None:
        prefixes = bool(self.paths) and all(p.startswith("/") and p.endswith("/") and p != "/" for p in self.paths)
        if not prefixes and self.paths != EVERY_PATH:
            raise ValueError(f"gateway paths must be prefixes such as /v1/fleet/, or / alone, not {self.paths}")
        if not self.methods or not all(m.isalpha() and m.isupper() for m in self.methods):
            raise ValueError(f"gateway methods must be methods such as POST, not {self.methods}")


def files(participants: Iterable[ClusterName], rules: Rules) -> dict[str, Json]:
    """The files that change during the run. They contain the Pod's secret.

    The folder must also have `tls.crt`, `tls.key`, `ca.crt` (the collaborator authorities) and `crl.pem` (a revocation list of each), all
    PEM, before `lds.json` is written.
    """
    routes = [route for prefix in rules.paths for route in limits.routes(prefix, rules.methods, rules.largest_request, _to_runtime())]
    chains = [_participant(cluster, rules, routes) for cluster in sorted(set(participants))]
    listener = {
        "name": LISTENER,
        "stat_prefix": LISTENER,
        "address": envoy.socket(rules.listen, rules.port),
        **envoy.short_queue(),
        **envoy.short_kernel_queue(),
        "listener_filters": [
            envoy.extension("envoy.filters.listener.tls_inspector", "filters.listener.tls_inspector.v3.TlsInspector"),
        ],
        "listener_filters_timeout": limits.HANDSHAKE,
        "filter_chains": chains,
        "default_filter_chain": _stranger(),
        "access_log": [refusals.connections()],
    }
    return {
        "lds.json": envoy.resources(_LISTENER_KIND, [listener]),
        "identity.json": envoy.identity(),
        "trust.json": envoy.trust(revocations=True),
    }


def _participant(cluster: ClusterName, rules: Rules, routes: list[Json]) -> Json:
    added = [_header(names.CLUSTER_HEADER, cluster), _header(names.POD_HEADER, rules.secret)]
    uri = {"san_type": "URI", "matcher": {"exact": names.cluster_uri(cluster)}}
    prefix = stat_prefix(cluster)
    changes = {"request_headers_to_add": added, "request_headers_to_remove": _NOT_TRUSTED}
    return {
        "name": cluster,
        "filter_chain_match": {"application_protocols": [names.protocol(rules.run_id, cluster)]},
        "filters": [
            limits.connections(prefix),
            _manager(prefix, routes, filters=[limits.refusals(prefix), limits.requests()], route_config=changes),
        ],
        **_transport(uri),
    }


def _header(name: str, value: str) -> Json:
    """Replaces the value that a collaborator sent."""
    return {"header": {"key": name, "value": value}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}


def _stranger() -> Json:
    """The chain for clients outside the run. It refuses after the handshake, when the certificate is known."""
    refuse_all = envoy.extension(
        "envoy.filters.network.rbac", "filters.network.rbac.v3.RBAC", stat_prefix=f"{STRANGERS}.", rules={"action": "ALLOW", "policies": {}}
    )
    return {
        "name": STRANGERS,
        "filters": [limits.connections(STRANGERS), refuse_all, _manager(STRANGERS, [], idle="5s")],
        **_transport(None),
    }


def _transport(uri: Json | None) -> Json:
    """TLS for clients with the name `uri`, or any name. Sessions are not resumed, because that would skip the check for revocation."""
    socket = envoy.extension(
        "envoy.transport_sockets.tls",
        "transport_sockets.tls.v3.DownstreamTlsContext",
        require_client_certificate=True,
        disable_stateless_session_resumption=True,
        disable_stateful_session_resumption=True,
        common_tls_context=envoy.tls(uri, ["h2"]),
    )
    return {"transport_socket": socket, "transport_socket_connect_timeout": limits.HANDSHAKE}


def _manager(
    prefix: str, routes: list[Json], *, filters: Iterable[Json] = (), idle: str = "3600s", route_config: Json | None = None
) -> Json:
    return envoy.manager(
        prefix,
        routes,
        filters=filters,
        codec_type="HTTP2",
        http2_protocol_options=envoy.http2(max_concurrent_streams=limits.STREAMS),
        request_timeout=limits.WHOLE_REQUEST,
        normalize_path=True,
        merge_slashes=False,
        path_with_escaped_slashes_action="REJECT_REQUEST",
        # `max_connection_duration` limits the use of an expired or replaced certificate; open streams are completed.
        common_http_protocol_options={
            "headers_with_underscores_action": "REJECT_REQUEST", "idle_timeout": idle, "max_connection_duration": "3600s",
        },
        use_remote_address=True,
        skip_xff_append=True,
        access_log=[refusals.requests()],
        route_config=route_config or {},
    )  # fmt: skip


def _to_runtime() -> Json:
    return {
        **envoy.repeatable(),
        "route": {
            "cluster": "runtime",
            "timeout": "0s",
            "idle_timeout": "0s",
            "retry_policy": {"retry_on": "connect-failure,reset-before-request", "num_retries": 2},
        },
    }


def _health(address: str, port: int) -> Json:
    method = {"name": ":method", "string_match": {"safe_regex": {"regex": "GET|HEAD"}}}
    ready = {"match": {"path": "/ready", "headers": [method]}, "direct_response": {"status": 200, "body": {"inline_string": "ready\n"}}}
    other = {"match": {"prefix": "/"}, "direct_response": {"status": 401}}
    return {
        "name": "health",
        "address": envoy.socket(address, port),
        "filter_chains": [{"filters": [envoy.manager("health", [ready, other])]}],
    }


def _runtime(address: str, port: int, protocol: str) -> Json:
    spoken: dict[str, Json] = {"HTTP/1.1": {"http_protocol_options": {}}, "HTTP/2": {"http2_protocol_options": envoy.http2()}}
    return {
        "name": "runtime",
        "type": "STATIC",
        "connect_timeout": "2s",
        **envoy.small_reads(),
        **envoy.unlimited(),
        # Shorter than the server's keep-alive (5 s), so that no request is sent on a connection that the server closes.
        **envoy.http_upstream(spoken[protocol], idle_timeout="3s"),
        "load_assignment": envoy.endpoints("runtime", envoy.socket(address, port)),
    }
