"""The configuration of a site: the AddOnDeploymentConfig that applies, by the precedence of OCM."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from panal.api import names
from panal.api.addresses import PORTS, is_ip

Object = dict[str, Any]
ConfigKey = tuple[str, str]  # namespace and name
GROUP, RESOURCE = "addon.open-cluster-management.io", "addondeploymentconfigs"
ADDRESS = "AGGREGATOR_HOST"  # customized variable: the address by which this site reaches the hub
LISTENER = "AGGREGATOR_LISTENER"  # customized variable: the name of the listener that this site uses


@dataclass(frozen=True, slots=True)
class SiteConfig:
    """`registries`: prefixes of image names and their mirrors. `proxy`: host and port of the HTTP proxy to the hub. `address_host`: the
    host by which the site reaches the aggregator; empty for the usual one. `problems`: messages about invalid settings, which have no
    effect. `listener`: the name of the listener that the site uses in runs that have it; empty for the first that is ready."""

    node_selector: Mapping[str, str]
    tolerations: tuple[Mapping[str, Any], ...]
    registries: tuple[tuple[str, str], ...]
    proxy: tuple[str, int] | None
    address_host: str
    problems: tuple[str, ...]
    listener: str = ""

    def image(self, name: str) -> str:
        """The image name at this site: the longest source that is the name or a path prefix of it is replaced by its mirror."""
        matching = [(source, mirror) for source, mirror in self.registries if _within(name, source)]
        if not matching:
            return name
        source, mirror = max(matching, key=lambda pair: len(pair[0]))
        rest = name[len(source) :].lstrip("/") if source else name.rpartition("/")[2]
        separator = "" if rest.startswith((":", "@")) or not rest else "/"
        return f"{mirror.rstrip('/')}{separator}{rest}"


NOTHING = SiteConfig({}, (), (), None, "", ())


def _within(name: str, source: str) -> bool:
    """As in OCM, an empty source matches every image; only the last part of the name is kept."""
    rest = name[len(source) :]
    return name.startswith(source) and (not source or source.endswith("/") or not rest or rest[0] in "/:@")


def site_config(mca: Object, cma: Object | None, configs: Mapping[ConfigKey, Object]) -> SiteConfig:
    """The configuration of one cluster. `mca`: its ManagedClusterAddOn. `cma`: the ClusterManagementAddOn. `configs`: those of the hub."""
    key = config_key(mca, cma)
    if key is None:
        return NOTHING
    found = configs.get(key)
    if found is None:
        return SiteConfig({}, (), (), None, "", (f"AddOnDeploymentConfig {key[0]}/{key[1]} does not exist",))
    spec = found.get("spec") or {}
    where = f"AddOnDeploymentConfig {key[0]}/{key[1]}"
    placement = spec.get("nodePlacement") or {}
    proxy, problem = _proxy(spec.get("proxyConfig") or {}, where)
    variables = {v["name"]: (v.get("value") or "").strip() for v in reversed(spec.get("customizedVariables") or ())}
    return SiteConfig(
        node_selector=dict(placement.get("nodeSelector") or {}),
        tolerations=tuple(placement.get("tolerations") or ()),
        registries=tuple((r.get("source") or "", r["mirror"]) for r in spec.get("registries") or ()),
        proxy=proxy,
        address_host=variables.get(ADDRESS, ""),
        problems=(problem,) if problem else (),
        listener=variables.get(LISTENER, ""),
    )


def config_key(mca: Object, cma: Object | None) -> ConfigKey | None:
    """The AddOnDeploymentConfig of one cluster: that of the ManagedClusterAddOn's spec, else that which OCM wrote into its status, else the
    add-on's default. As in OCM, the first of several applies. A reference in the status counts only if the ClusterManagementAddOn names the
    configuration, because the cluster's agent may write that status, and the configuration of another cluster is not for it."""
    spec = (cma or {}).get("spec") or {}
    defaults = _keys(c["defaultConfig"] | _kind(c) for c in spec.get("supportedConfigs") or () if c.get("defaultConfig"))
    placements = (spec.get("installStrategy") or {}).get("placements") or ()
    named = {*defaults, *(key for placement in placements for key in _keys(placement.get("configs") or ()))}
    references = ((r.get("desiredConfig") or r) | _kind(r) for r in (mca.get("status") or {}).get("configReferences") or ())
    own = _keys((mca.get("spec") or {}).get("configs") or ())
    return next(iter([*own, *(key for key in _keys(references) if key in named), *defaults]), None)


def _kind(reference: Object) -> Object:
    return {"group": reference.get("group", ""), "resource": reference.get("resource", "")}


def _keys(references: Iterable[Object]) -> list[ConfigKey]:
    """Of the references to an AddOnDeploymentConfig."""
    matching = (r for r in references if _kind(r) == {"group": GROUP, "resource": RESOURCE} and r.get("name"))
    return [(r.get("namespace") or "", r["name"]) for r in matching]


def _proxy(config: Mapping[str, str], where: str) -> tuple[tuple[str, int] | None, str]:
    """Host and port of the proxy, and the problem with its URL. Other parts of the URL are ignored."""
    url = config.get("httpsProxy") or config.get("httpProxy") or ""
    if not url:
        return None, ""
    try:
        parts = urlsplit(url if "//" in url else f"http://{url}")
        host, port = parts.hostname or "", parts.port or PORTS.get(parts.scheme, 0)
    except ValueError:
        return None, f"the proxy in {where} is not a URL such as http://192.0.2.7:3128"
    if parts.username is not None or parts.password is not None:
        credentials = f"Secret {names.PROXY} in the namespace {names.COLLABORATOR_NAMESPACE} of the site"
        return (
            None,
            f"the proxy in {where} contains credentials, which everyone who can read the object sees. Store them in the {credentials}",
        )
    if parts.scheme != "http" or not host or not port:
        return None, f"the proxy in {where} is not a URL such as http://192.0.2.7:3128"
    if not is_ip(host):
        return None, f"the proxy {host} in {where} is not an IP address. Use one, because the Pods of collaborators cannot resolve names"
    return (host, port), ""
