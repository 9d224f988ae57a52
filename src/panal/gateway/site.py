"""What a collaborator's gateway has at a site with a policy: each request is first shown to the site controller, which answers 200 if it
may leave the site.

The question is the request itself, with `/v1/check` before its path: the filter ext_authz. Without an answer nothing leaves: 503, which
runtimes take for a gateway that is not ready. Envoy passes a refusal's body to the runtime, but not that of a 5xx, so such an answer is
another status on its way through Envoy. The token is read for each question; it is in no configuration, because the user's container can
read that.
"""

from __future__ import annotations

from typing import NamedTuple

from panal.api import names
from panal.api.addresses import is_ip
from panal.gateway import envoy
from panal.gateway.envoy import Json

CLUSTER = "site"
SERVER_NAME = f"{names.SITE_CONTROLLER}.{names.SITE_CONTROLLER}.svc"
PATH = "/v1/check"
LARGEST = 17 << 20  # bytes of a request whose body is shown: a request of Flower has at most 16 MiB
POD_UID = "x-panal-pod-uid"
REQUIRED, WHOLE = "Required", "Whole"  # values of the variables PANAL_SITE_POLICY and PANAL_SITE_BODIES

_FAILED = 424  # in place of a 5xx
_UNAVAILABLE = 503
_TOKEN_AND_STATUS = """
function envoy_on_request(request)
  local file = io.open("%s/token")
  local token = file and file:read("*l") or ""
  if file then file:close() end
  request:headers():replace("authorization", "Bearer " .. token)
end
function envoy_on_response(response)
  if tonumber(response:headers():get(":status")) >= 500 then response:headers():replace(":status", "%d") end
end
"""

# A request whose body is read carries nothing else: what is in its query, its host or another header would leave unread.
_NOTHING_ELSE = """
local kept = {%s}
function envoy_on_request(request)
  local headers, others = request:headers(), {}
  for name, value in pairs(headers) do
    if name:sub(1, 1) ~= ":" and (not kept[name] or #value > %d) then others[#others + 1] = name end
  end
  for _, name in ipairs(others) do headers:remove(name) end
  headers:replace(":path", headers:get(":path"):match("^[^?]*"))
  headers:replace(":authority", "aggregator")
  headers:replace("x-forwarded-proto", "http")  -- without it Envoy finds no route
end
"""
# What a SuperNode sends: its Pod's uid, the proof of who it is, and its version.
_KEPT = (
    *("accept", "content-length", "content-type", "transfer-encoding", "x-panal-instance"),
    *("flwr-public-key", "flwr-signature", "flwr-timestamp", "flwr-package-name", "flwr-package-version", "flwr-component-name"),
)
_LONGEST_VALUE = 400  # characters


class SiteController(NamedTuple):
    """`folder` has `token` and `ca.crt`, `keys` the site's certificate. `bodies`: whether it sees the bodies of requests, of which each
    must then be complete and have at most LARGEST bytes before it leaves the site."""

    host: str
    port: int
    folder: str
    keys: str
    bodies: bool


def address(text: str) -> tuple[str, int]:
    """Reads `10.0.0.1:8443` or `[fd00::1]:8443`. Raises ValueError."""
    host, _, port = text.strip().rpartition(":")
    host = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if not is_ip(host) or not (port.isascii() and port.isdigit()) or not 0 < int(port) < 1 << 16:
        raise ValueError(f"{text.strip()[:100]!r} is not an IP address and a port, such as 10.0.0.1:{names.SITE_PORT}")
    return host, int(port)


def asks(site: SiteController) -> Json:
    """The filter."""
    body = {"with_request_body": {"max_request_bytes": LARGEST, "allow_partial_message": False}} if site.bodies else {}
    uid = {"key": POD_UID, "value": "%ENVIRONMENT(PANAL_POD_UID)%"}
    return envoy.extension(
        "envoy.filters.http.ext_authz",
        "filters.http.ext_authz.v3.ExtAuthz",
        transport_api_version="V3",
        failure_mode_allow=False,
        status_on_error={"code": _UNAVAILABLE},
        allowed_headers={"patterns": [{"exact": "content-type"}]},
        http_service={
            "server_uri": {"uri": f"https://{SERVER_NAME}", "cluster": CLUSTER, "timeout": "10s"},
            "path_prefix": PATH,
            "authorization_request": {"headers_to_add": [uid]},
        },
        **body,
    )


def filters(site: SiteController) -> list[Json]:
    """The filters before the one that sends the request to the aggregator."""
    if not site.bodies:
        return [asks(site)]
    kept = ", ".join(f'["{name}"] = true' for name in _KEPT)
    code = {"inline_string": _NOTHING_ELSE % (kept, _LONGEST_VALUE)}
    return [envoy.extension("envoy.filters.http.lua", "filters.http.lua.v3.Lua", default_source_code=code), asks(site)]


def refusals() -> Json:
    """The options of the HTTP connection manager by which the runtime gets the status of a refusal."""
    failed = {"status_code_filter": {"comparison": {"op": "EQ", "value": {"default_value": _FAILED, "runtime_key": "panal.site_failed"}}}}
    return {"local_reply_config": {"mappers": [{"filter": failed, "status_code": _UNAVAILABLE}]}}


def cluster(site: SiteController) -> Json:
    """The upstream cluster: TLS 1.3 to the site controller alone, without a certificate of the collaborator."""
    tls = envoy.extension(
        "envoy.transport_sockets.tls",
        "transport_sockets.tls.v3.UpstreamTlsContext",
        sni=SERVER_NAME,
        common_tls_context={
            "tls_params": envoy.TLS_1_3,
            "validation_context": {
                "trusted_ca": {"filename": f"{site.folder}/ca.crt"},
                "match_typed_subject_alt_names": [{"san_type": "DNS", "matcher": {"exact": SERVER_NAME}}],
            },
        },
    )
    code = _TOKEN_AND_STATUS % (site.folder, _FAILED)
    lua = envoy.extension("envoy.filters.http.lua", "filters.http.lua.v3.Lua", default_source_code={"inline_string": code})
    codec = envoy.extension("envoy.filters.http.upstream_codec", "filters.http.upstream_codec.v3.UpstreamCodec")
    return {
        "name": CLUSTER,
        "type": "STATIC",
        "connect_timeout": "5s",
        "load_assignment": envoy.endpoints(CLUSTER, envoy.socket(site.host, site.port)),
        "transport_socket": tls,
        **envoy.unlimited(),
        **envoy.http_upstream({"http_protocol_options": {}}, filters=[lua, codec], idle_timeout="30s"),
    }
