"""The configuration of the collaborator's gateway, which forwards plain HTTP from loopback to the aggregator with mutual TLS.

Envoy starts with `bootstrap` and reads the aggregator's address from `files`. They are in a projected volume with the site's certificate,
which the kubelet updates: address, certificate and authorities may change during the run.

If the site has a proxy, the TLS connection is tunneled through it with CONNECT, by two internal listeners: `tunnel` wraps the connection in
a CONNECT request, and `credentials` adds the proxy credentials and forwards it to the proxy. The credentials are read from a file for each
connection and are not part of the configuration.

At a site with a policy, each request is first shown to the site controller (`gateway.site`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from panal.api import names
from panal.api.addresses import is_ip
from panal.api.names import COLLABORATOR_PORT
from panal.gateway import envoy, limits, site
from panal.gateway.envoy import Json
from panal.gateway.site import SiteController

__all__ = ["ARGUMENTS", "Json", "Target", "bootstrap", "files", "read_target", "target"]

ARGUMENTS = (*envoy.ARGUMENTS, "--concurrency", "1", "--drain-time-s", "2")

_CLUSTER_KIND = "config.cluster.v3.Cluster"
_CONNECTIONS = 1_000
_ABOUT = "panal"  # the namespace of metadata for the log and the tunnel
_ADD_CREDENTIALS = """
function envoy_on_request(request)
  local file = io.open("%s/proxy-authorization")
  if file then
    local value = file:read("*l")
    file:close()
    if value then request:headers():replace("proxy-authorization", value) end
  end
end
"""


def bootstrap(*, loopback: str, port: int = COLLABORATOR_PORT, users: str, asked: SiteController | None = None) -> Json:
    """The bootstrap configuration: a listener at `loopback:port` for clients with the Pod's secret (`users` is the htpasswd file), the
    internal listeners for a proxy, and the source of the clusters. There is no admin interface. `asked`: the site controller that decides
    about each request, if the site has one."""
    queue = {"buffer_size_kb": envoy.READ >> 10}
    internal = envoy.extension("envoy.bootstrap.internal_listener", "bootstrap.internal_listener.v3.InternalListener", **queue)
    return {
        "node": {"id": "collaborator", "cluster": "panal"},
        "dynamic_resources": {"cds_config": envoy.watched("cds.json")},
        "static_resources": {
            "listeners": [_listener(loopback, port, users, asked), _tunnel(), _credentials(asked.keys if asked else ".")],
            "clusters": [_inside("credentials"), *([site.cluster(asked)] if asked else [])],
        },
        "bootstrap_extensions": [internal],
        **envoy.connection_limit(_CONNECTIONS),
    }


def files(
    *, address: tuple[str, int], server_name: str, sni: str, protocol: str, proxy: tuple[str, int] | None = None, keys: str = "."
) -> dict[str, Json]:
    """The files that change during the run. The aggregator is at `address`, reached through `proxy` if given. Its certificate must be for
    `server_name`. The TLS handshake offers `sni` and the ALPN protocol `protocol`.

    The folder `keys` must have `tls.crt`, `tls.key`, `ca.crt` (the server authorities) and, if the proxy requires it, `proxy-authorization`
    with the header's value, such as `Basic dXNlcjpwYXNz`.
    """
    if len(protocol.encode()) > 255:
        raise ValueError(f"a protocol's name has at most 255 bytes in TLS: {protocol}")
    clusters = [_aggregator(address, server_name, sni, protocol, tunnelled=proxy is not None)]
    found = {"identity.json": envoy.identity(keys), "trust.json": envoy.trust(keys, revocations=False)}
    found[limits.LOG_FILE] = limits.bucket_file()
    if proxy is not None:
        clusters.append(_cluster("proxy", proxy) | {"connect_timeout": "10s", **envoy.unlimited()})
    return {"cds.json": envoy.resources(_CLUSTER_KIND, clusters), **found}


@dataclass(frozen=True, slots=True)
class Target:
    """What `files` was given."""

    address: tuple[str, int]
    server_name: str
    sni: str
    protocol: str
    proxy: tuple[str, int] | None = None


NAME = re.compile(r"[0-9A-Za-z]([-0-9A-Za-z.]{0,252}[0-9A-Za-z])?\.?")


def read_target(text: str) -> Target:
    """Reads a Target from JSON, as msgspec writes it. Raises ValueError: what it holds becomes a part of Envoy's configuration."""
    found = msgspec.json.decode(text, type=Target)
    for host, port in (found.address, *([found.proxy] if found.proxy else [])):
        if not (is_ip(host) or NAME.fullmatch(host)) or not 0 < port < 1 << 16:
            raise ValueError(f"{host[:100]!r}, {port} is not a host and a port")
    for name in (found.server_name, found.sni, found.protocol):
        if not NAME.fullmatch(name):
            raise ValueError(f"{name[:100]!r} is not a name")
    return found


def target(clusters: Mapping[str, Any]) -> Target:
    """Reads the content of `cds.json` back. Raises KeyError, IndexError or TypeError if `files` did not make it."""
    found = {each["name"]: each for each in clusters["resources"]}
    aggregator, proxy = found["aggregator"], found.get("proxy")
    about, socket = aggregator["metadata"]["filter_metadata"][_ABOUT], aggregator["transport_socket"]["typed_config"]
    if proxy:
        socket = socket["transport_socket"]["typed_config"]
        host, _, port = _endpoint(aggregator)["metadata"]["filter_metadata"][_ABOUT]["target"].rpartition(":")
        address = host.strip("[]"), int(port)
    else:
        address = _socket(aggregator)
    return Target(address, about["server_name"], socket["sni"], about["protocol"], _socket(proxy) if proxy else None)


def _endpoint(cluster: Json) -> Json:
    found: Json = cluster["load_assignment"]["endpoints"][0]["lb_endpoints"][0]
    return found


def _socket(cluster: Json) -> tuple[str, int]:
    found = _endpoint(cluster)["endpoint"]["address"]["socket_address"]
    return found["address"], found["port_value"]


def _listener(address: str, port: int, users: str, asked: SiteController | None) -> Json:
    """Forwards all paths, because the aggregator's gateway decides which are allowed. Removes the Pod's secret."""
    route = {
        "match": {"prefix": "/"},
        **envoy.repeatable(),
        "route": {
            "cluster": "aggregator",
            "timeout": "0s",
            "idle_timeout": "0s",
            "retry_policy": {"retry_on": "connect-failure", "num_retries": 2},
        },
    }
    authentication = envoy.extension(
        "envoy.filters.http.basic_auth",
        "filters.http.basic_auth.v3.BasicAuth",
        users={"filename": users},
        authentication_header=names.POD_HEADER,
    )
    config = {"validate_clusters": False, "request_headers_to_remove": [names.POD_HEADER]}  # the cluster is added later
    filters, more = ([authentication, *site.filters(asked)], site.refusals()) if asked else ([authentication], {})
    manager = envoy.manager("runtime", [route], filters=filters, access_log=[_failed_requests()], route_config=config, **more)
    return {"name": "runtime", "address": envoy.socket(address, port), **envoy.small_reads(), "filter_chains": [{"filters": [manager]}]}


def _failed_requests() -> Json:
    fields = {
        "refused": "request",
        "protocol": f"%METADATA(CLUSTER:{_ABOUT}:protocol)%",  # contains the run and the cluster
        "expected": f"%METADATA(CLUSTER:{_ABOUT}:server_name)%",
        "server": "%UPSTREAM_HOST%",
        "method": "%REQ(:METHOD):20%",
        "path": "%PATH(NQ:ORIG_OR_PATH):200%",
        "status": "%RESPONSE_CODE%",
        "reason": "%UPSTREAM_TRANSPORT_FAILURE_REASON%",
        "details": "%RESPONSE_CODE_DETAILS%",
        "flags": "%RESPONSE_FLAGS%",
        "milliseconds": "%DURATION%",
    }
    return envoy.log(fields, limits.bounded(envoy.FAILED))


def _aggregator(address: tuple[str, int], server_name: str, sni: str, protocol: str, *, tunnelled: bool) -> Json:
    dns = {"san_type": "DNS", "matcher": {"exact": server_name}}
    tls = envoy.extension(
        "envoy.transport_sockets.tls",
        "transport_sockets.tls.v3.UpstreamTlsContext",
        sni=sni,
        max_session_keys=0,
        common_tls_context=envoy.tls(dns, [protocol, "h2"]),
    )
    cluster = _through_tunnel(address, tls) if tunnelled else _cluster("aggregator", address) | {"transport_socket": tls}
    about = {"protocol": protocol, "server_name": server_name}
    return cluster | {
        "connect_timeout": "10s",
        "metadata": {"filter_metadata": {_ABOUT: about}},
        **envoy.unlimited(),
        **envoy.http_upstream({"http2_protocol_options": envoy.http2()}),
    }


def _cluster(name: str, address: tuple[str, int]) -> Json:
    """An upstream cluster. A host name is resolved by DNS, if the site permits it; an IP address is used as is."""
    kind = {"type": "STATIC"} if is_ip(address[0]) else {"type": "STRICT_DNS", "dns_lookup_family": "ALL"}
    queue = {**envoy.short_queue(), "upstream_bind_config": envoy.short_kernel_queue()}
    return {"name": name, **kind, **queue, "load_assignment": envoy.endpoints(name, envoy.socket(*address))}


def _through_tunnel(address: tuple[str, int], tls: Json) -> Json:
    host, port = address
    target = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    inside = envoy.extension(
        "envoy.transport_sockets.internal_upstream",
        "transport_sockets.internal_upstream.v3.InternalUpstreamTransport",
        passthrough_metadata=[{"kind": {"host": {}}, "name": _ABOUT}],
        transport_socket=tls,
    )
    metadata = {"filter_metadata": {_ABOUT: {"target": target}}}
    return _inside("aggregator", "tunnel", metadata=metadata) | {"transport_socket": inside}


def _inside(name: str, listener: str | None = None, **endpoint: Json) -> Json:
    """An upstream cluster that is an internal listener of this process."""
    address = {"envoy_internal_address": {"server_listener_name": listener or name}}
    return {"name": name, "type": "STATIC", **envoy.small_reads(), "load_assignment": envoy.endpoints(name, address, **endpoint)}


def _tunnel() -> Json:
    connect = envoy.extension(
        "envoy.filters.network.tcp_proxy",
        "filters.network.tcp_proxy.v3.TcpProxy",
        stat_prefix="tunnel",
        cluster="credentials",
        tunneling_config={"hostname": f"%DYNAMIC_METADATA({_ABOUT}:target)%"},
    )
    return {"name": "tunnel", "internal_listener": {}, **envoy.small_reads(), "filter_chains": [{"filters": [connect]}]}


def _failed_tunnels() -> Json:
    fields = {
        "refused": "tunnel",
        "target": "%REQ(:AUTHORITY):200%",
        "proxy": "%UPSTREAM_HOST%",
        "status": "%RESPONSE_CODE%",
        "reason": "%UPSTREAM_TRANSPORT_FAILURE_REASON%",
        "details": "%RESPONSE_CODE_DETAILS%",
        "flags": "%RESPONSE_FLAGS%",
    }
    return envoy.log(fields, limits.bounded(envoy.FAILED))


def _credentials(keys: str) -> Json:
    """Between the tunnel and the proxy: forwards CONNECT with the current credentials, which are in the folder `keys`."""
    code = {"inline_string": _ADD_CREDENTIALS % keys}
    lua = envoy.extension("envoy.filters.http.lua", "filters.http.lua.v3.Lua", default_source_code=code)
    route = {
        "match": {"connect_matcher": {}},
        "route": {"cluster": "proxy", "timeout": "0s", "idle_timeout": "0s", "upgrade_configs": [{"upgrade_type": "CONNECT"}]},
    }
    comes_later = {"validate_clusters": False}  # the proxy
    manager = envoy.manager("credentials", [route], filters=[lua], access_log=[_failed_tunnels()], route_config=comes_later)
    return {"name": "credentials", "internal_listener": {}, **envoy.small_reads(), "filter_chains": [{"filters": [manager]}]}
