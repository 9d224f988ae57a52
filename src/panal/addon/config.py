"""What the platform engineer has configured for a site, from the add-on's AddOnDeploymentConfigs, with OCM's precedence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from panal.api import names
from panal.api.addresses import is_ip

Object = dict[str, Any]
ConfigKey = tuple[str, str]  # namespace and name
GROUP, RESOURCE = "addon.open-cluster-management.io", "addondeploymentconfigs"
ADDRESS = "AGGREGATOR_HOST"  # the customized variable: how a site reaches the hub, where it is not as everybody else
DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class SiteConfig:
    """`registries` are prefixes of images with what takes their place. `proxy` is host and port on the way to the hub. `address_host`, if
    not empty, is the host by which the site reaches the aggregator. `problems` are sentences for the platform engineer: what
    they speak of is left out."""

    node_selector: Mapping[str, str]
    tolerations: tuple[Mapping[str, Any], ...]
    registries: tuple[tuple[str, str], ...]
    proxy: tuple[str, int] | None
    address_host: str
    problems: tuple[str, ...]

    def image(self, name: str) -> str:
        """The name under which this site finds an image: the longest source that is the name or a folder above it is replaced."""
        fitting = [(source, mirror) for source, mirror in self.registries if _within(name, source)]
        if not fitting:
            return name
        source, mirror = max(fitting, key=lambda pair: len(pair[0]))
        rest = name[len(source) :].lstrip("/") if source else name.rpartition("/")[2]
        separator = "" if rest.startswith((":", "@")) or not rest else "/"
        return f"{mirror.rstrip('/')}{separator}{rest}"


NOTHING = SiteConfig({}, (), (), None, "", ())


def _within(name: str, source: str) -> bool:
    """An empty source is every image: its last part alone is kept, as OCM has it."""
    rest = name[len(source) :]
    return name.startswith(source) and (not source or source.endswith("/") or not rest or rest[0] in "/:@")


def site_config(mca: Object, cma: Object | None, configs: Mapping[ConfigKey, Object]) -> SiteConfig:
    """`configs` are the AddOnDeploymentConfigs of the hub by namespace and name."""
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
    return SiteConfig(
        node_selector=dict(placement.get("nodeSelector") or {}),
        tolerations=tuple(placement.get("tolerations") or ()),
        registries=tuple((r.get("source") or "", r["mirror"]) for r in spec.get("registries") or ()),
        proxy=proxy,
        address_host=next((v.get("value") or "" for v in spec.get("customizedVariables") or () if v["name"] == ADDRESS), "").strip(),
        problems=(problem,) if problem else (),
    )


def config_key(mca: Object, cma: Object | None) -> ConfigKey | None:
    """The AddOnDeploymentConfig for one cluster: the ManagedClusterAddOn's own, else that which OCM has found by placement, else the
    add-on's default. Of several the first, as OCM has it."""
    own = _first((mca.get("spec") or {}).get("configs"))
    references = [(r.get("desiredConfig") or r) | _kind(r) for r in (mca.get("status") or {}).get("configReferences") or ()]
    defaults = ((cma or {}).get("spec") or {}).get("supportedConfigs") or ()
    default = _first([c["defaultConfig"] | _kind(c) for c in defaults if c.get("defaultConfig")])
    return own or _first(references) or default


def _kind(reference: Object) -> Object:
    return {"group": reference.get("group", ""), "resource": reference.get("resource", "")}


def _first(references: Any) -> ConfigKey | None:
    fitting = (r for r in references or () if _kind(r) == {"group": GROUP, "resource": RESOURCE} and r.get("name"))
    return next(((r.get("namespace") or "", r["name"]) for r in fitting), None)


def _proxy(config: Mapping[str, str], where: str) -> tuple[tuple[str, int] | None, str]:
    """Host and port, and what is wrong with it; of a URL of a proxy nothing else is used."""
    url = config.get("httpsProxy") or config.get("httpProxy") or ""
    if not url:
        return None, ""
    try:
        parts = urlsplit(url if "//" in url else f"http://{url}")
        host, port = parts.hostname or "", parts.port or DEFAULT_PORTS.get(parts.scheme, 0)
    except ValueError:
        return None, f"the proxy in {where} is not a URL such as http://192.0.2.7:3128"
    if parts.username is not None or parts.password is not None:
        credentials = f"Secret {names.PROXY} in the namespace {names.COLLABORATOR_NAMESPACE} of the site"
        return None, f"the proxy in {where} holds credentials, which everybody who may read it sees: they belong into the {credentials}"
    if parts.scheme != "http" or not host or not port:
        return None, f"the proxy in {where} is not a URL such as http://192.0.2.7:3128"
    if not is_ip(host):
        return None, f"the proxy {host} in {where} is no IP address: Pods of collaborators resolve no names"
    return (host, port), ""
