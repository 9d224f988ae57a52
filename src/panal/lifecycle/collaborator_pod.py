"""The objects of a collaborator on its cluster: a StatefulSet with one Pod, the ConfigMap of its gateway, and a NetworkPolicy for egress.

The user's container sends plain HTTP to the gateway on loopback. Only the gateway mounts the site's key, and speaks mutual TLS with the
aggregator. The gateway's bootstrap configuration comes with the image of the pod tools (`pod.collaborator`), so that the works stay small.
The Pod has no DNS and reaches one address: the aggregator's, or that of the site's proxy. If the site's data is in a bucket, it reaches
the endpoint that the site's owner announced as well.

At a site with a policy the Pod begins with a scheduling gate, which only the site controller removes, and its gateway asks that controller
about each request. Nothing of the site is mounted before it has decided.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import msgspec

from panal.addon.config import SiteConfig
from panal.api import names
from panal.api.names import ClusterName
from panal.api.types import Mode
from panal.gateway import collaborator as gateway
from panal.gateway import site as site_gateway
from panal.lifecycle import partitions, pods
from panal.lifecycle.metadata import identity, labels
from panal.lifecycle.runtime import runtime_of_run
from panal.lifecycle.world import Address, ClusterView, Images, Object, Run
from panal.placement.data import DataLocation, HostPathLocation, PvcLocation, S3Location
from panal.runtimes import Announced, Partition, framework_of

GATEWAY_RESOURCES = {"requests": {"cpu": "20m", "memory": "64Mi"}}
OPEN_SHIFT_CLAIM = "version.openshift.io"  # on OpenShift, the namespace sets the group that may read the key
POD_UID = {"name": "PANAL_POD_UID", "valueFrom": {"fieldRef": {"fieldPath": "metadata.uid"}}}
SITE_MOUNT = {"name": "site", "mountPath": names.SITE_DIR, "readOnly": True}
_SITE_CONTROLLER = {
    "to": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": names.SITE_CONTROLLER}}}],
    "ports": [{"protocol": "TCP", "port": names.SITE_PORT}],
}
NO_NAMES = {"dnsPolicy": "None", "dnsConfig": {"nameservers": ["127.0.0.1"], "options": [{"name": "attempts", "value": "1"}]}}


@dataclass(frozen=True, slots=True)
class Common:
    """What all collaborators of a run are made from. `run` has only what does not change while it goes on, so that two can be compared."""

    run: Run
    images: Images
    announced: Announced


class Site(NamedTuple):
    """Where a collaborator runs. `address` is the aggregator's address that this site dials, `sni` the name in its TLS handshakes.
    `policy`: whether the site has a policy of its own."""

    cluster: ClusterName
    partition: Partition
    config: SiteConfig
    data: DataLocation | None
    open_shift: bool
    address: Address
    sni: str
    policy: bool = False


def on_open_shift(cluster: ClusterView | None) -> bool:
    return cluster is not None and OPEN_SHIFT_CLAIM in cluster.claims


def has_policy(cluster: ClusterView | None) -> bool:
    return cluster is not None and names.SITE_CLAIM in cluster.claims


def config(common: Common, name: str, site: Site) -> Object:
    """The ConfigMap of the gateway: the aggregator's address and name. It may change during the run."""
    found = _target(common, site)
    files = gateway.files(address=found.address, server_name=found.server_name, sni=found.sni, protocol=found.protocol, proxy=found.proxy)
    data = {file: msgspec.json.encode(content, order="sorted").decode() for file, content in sorted(files.items())}
    return _frame(common, "v1", "ConfigMap", name) | {"data": data}


def _target(common: Common, site: Site) -> gateway.Target:
    run = common.run
    address = site.address.host, site.address.port
    protocol = names.protocol(identity(run), site.cluster)
    return gateway.Target(address, names.server_name(run.name, run.namespace), site.sni, protocol, site.config.proxy)


def egress_policy(common: Common, name: str, site: Site) -> Object:
    """A NetworkPolicy that allows egress to one address and port, or two, and to a site controller. The add-on's policy denies all other
    traffic."""
    reached = [site.config.proxy or (site.address.host, site.address.port)]
    if isinstance(site.data, S3Location):
        reached.append((site.data.address, site.data.port))
    spec = {
        "podSelector": {"matchLabels": {names.LABEL_RUN_UID: common.run.uid}},
        "policyTypes": ["Egress"],
        "egress": [*(_allowed(*each) for each in reached), *([_SITE_CONTROLLER] if site.policy else [])],
    }
    return _frame(common, "networking.k8s.io/v1", "NetworkPolicy", name) | {"spec": spec}


def _allowed(host: str, port: int) -> dict[str, Any]:
    block = {"cidr": f"{host}/128" if ":" in host else f"{host}/32"}
    return {"to": [{"ipBlock": block}], "ports": [{"protocol": "TCP", "port": port}]}


def stateful_set(common: Common, name: str, site: Site) -> Object:
    run = common.run
    spec = {
        "serviceName": name,
        "replicas": 1,
        "selector": {"matchLabels": {names.LABEL_RUN_UID: run.uid}},
        "template": {"metadata": {"labels": labels(run, "collaborator")} | _request(run, site), "spec": _pod(common, name, site)},
    }
    frame = _frame(common, "apps/v1", "StatefulSet", name)
    frame["metadata"]["annotations"] = partitions.annotation(site.partition)
    return frame | {"spec": spec}


def _request(run: Run, site: Site) -> dict[str, Any]:
    """The annotation by which a site with a policy learns what the hub says about the run."""
    if not site.policy:
        return {}
    spec = run.spec
    said = {
        "namespace": run.namespace,
        "name": run.name,
        "uid": run.uid,
        "framework": framework_of(spec),
        "mode": spec.mode.value,
        "rounds": spec.server.rounds if spec.mode is Mode.TRAIN else None,
        "minimumClusters": spec.server.min_available_clients,
        "purpose": spec.purpose,
        "requester": spec.requester,
    }
    text = msgspec.json.encode({key: value for key, value in said.items() if value}, order="sorted").decode()
    return {"annotations": {names.ANNOTATION_REQUEST: text}}


def _frame(common: Common, api_version: str, kind: str, name: str) -> Object:
    metadata = {"name": name, "namespace": names.COLLABORATOR_NAMESPACE, "labels": labels(common.run, "collaborator")}
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata}


def _pod(common: Common, name: str, site: Site) -> dict[str, Any]:
    run, client = common.run, common.run.spec.client
    data = site.data.uri if isinstance(site.data, S3Location) else names.DATA_DIR if site.data else ""
    container = runtime_of_run(run).collaborator(run.spec, site.cluster, site.partition, data, common.announced)
    volumes = [*pods.empty_dirs("tools", "tmp"), pods.work_dir(), *pods.memory_dirs("pod"), _gateway_volume("" if site.policy else name)]
    if isinstance(site.data, S3Location):
        container = _with_bucket(container, site.data)
    elif site.data:
        container, volumes = _with_data(container, volumes, site.data)
    inits = [pods.tools_container(common.images, "panal.pod.collaborator"), _gateway(common)]
    main = pods.with_settings(container, client)
    gates: dict[str, Any] = {}
    if site.policy:
        inits, volumes, gates = _asking(common, site, inits), [*volumes, _site_volume()], {"schedulingGates": [{"name": names.SITE_GATE}]}
    return {
        "serviceAccountName": names.ADDON,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": 20,
        "securityContext": pods.security(site.open_shift),
        "initContainers": [_mirrored(c, site.config) for c in inits],
        "containers": [_mirrored(main, site.config)],
        "volumes": volumes,
        **NO_NAMES,
        **gates,
        **_known_hosts(site.data),
        **_scheduling(common, site.config),
    }


def _mirrored(container: dict[str, Any], config: SiteConfig) -> dict[str, Any]:
    return {**container, "image": config.image(container["image"])}


def _scheduling(common: Common, config: SiteConfig) -> dict[str, Any]:
    """The scheduling fields of the run and of the site; the site's win."""
    found = pods.scheduling(common.run.spec.client)
    if config.node_selector:
        found["nodeSelector"] = {**found.get("nodeSelector", {}), **config.node_selector}
    if config.tolerations:
        found["tolerations"] = [*found.get("tolerations", []), *config.tolerations]
    return found


def _gateway(common: Common) -> dict[str, Any]:
    mount = {"name": "gateway", "mountPath": names.GATEWAY_DIR, "readOnly": True}
    arguments = [*gateway.ARGUMENTS, "--config-path", f"$(PANAL_POD_DIR)/{names.POD_GATEWAY}"]
    container = pods.gateway_container(common.images, arguments, mount, pods.POD_MOUNT)
    return {**container, "env": [*container["env"], pods.POD_ENV], "resources": GATEWAY_RESOURCES}


def _gateway_volume(name: str) -> dict[str, Any]:
    """A projected volume with the key and certificate from OCM's agent, the server authorities from the add-on, the proxy credentials of
    the site, if any, and the run's files, which are in the ConfigMap `name`."""
    sources: list[dict[str, Any]] = [
        {"secret": {"name": names.IDENTITY_SECRET, "items": [{"key": k, "path": k} for k in ("tls.crt", "tls.key")]}},
        {"secret": {"name": names.PROXY, "optional": True, "items": [{"key": k, "path": k} for k in ("proxy-authorization",)]}},
        {"configMap": {"name": names.TRUST, "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
        *([{"configMap": {"name": name}}] if name else []),
    ]
    return {"name": "gateway", "projected": {"defaultMode": 0o440, "sources": sources}}


def _asking(common: Common, site: Site, inits: list[Object]) -> list[Object]:
    """The init containers of a gateway that asks the site controller. It sees bodies if the runtime's requests declare their length. Where
    the aggregator is, is a part of the Pod: the hub cannot change it after the site controller has decided."""
    tools, envoy = inits
    largest = runtime_of_run(common.run).gateway(common.run.spec).largest_request
    target = msgspec.json.encode(_target(common, site)).decode()
    told = {"PANAL_SITE_POLICY": site_gateway.REQUIRED, "PANAL_SITE_TARGET": target.replace("$", "$$")}
    if largest is not None and largest <= site_gateway.LARGEST:
        told["PANAL_SITE_BODIES"] = site_gateway.WHOLE
    env = [*tools["env"], *({"name": name, "value": value} for name, value in sorted(told.items()))]
    return [
        {**tools, "env": env, "volumeMounts": [*tools["volumeMounts"], SITE_MOUNT]},
        {**envoy, "workingDir": names.POD_DIR, "env": [*envoy["env"], POD_UID], "volumeMounts": [*envoy["volumeMounts"], SITE_MOUNT]},
    ]


def _site_volume() -> Object:
    """A projected volume with the address and the authority of the site controller, and the token for it. The site's owner writes both."""
    sources = [
        {"configMap": {"name": names.SITE_CONTROLLER, "items": [{"key": k, "path": k} for k in ("address", "ca.crt")]}},
        {"secret": {"name": names.SITE_CONTROLLER, "items": [{"key": "token", "path": "token"}]}},
    ]
    return {"name": "site", "projected": {"defaultMode": 0o440, "sources": sources}}


def _with_bucket(container: Object, location: S3Location) -> Object:
    """The variables that libraries for S3 read. Those with the credentials are in a Secret of the site."""
    told = {"AWS_ENDPOINT_URL_S3": location.endpoint} | ({"AWS_REGION": location.region} if location.region else {})
    env = [*container.get("env", []), *({"name": name, "value": value} for name, value in told.items())]
    return {**container, "env": env, "envFrom": [{"secretRef": {"name": names.DATA_ACCESS}}]}


def _known_hosts(location: DataLocation | None) -> dict[str, Any]:
    if isinstance(location, S3Location) and location.host:
        return {"hostAliases": [{"ip": location.address, "hostnames": [location.host]}]}
    return {}


def _with_data(container: Object, volumes: list[Object], location: PvcLocation | HostPathLocation) -> tuple[Object, list[Object]]:
    """Mounts the site's data read-only into the user's container."""
    mount: dict[str, Any] = {"name": "data", "mountPath": names.DATA_DIR, "readOnly": True}
    match location:
        case PvcLocation(claim, sub_path):
            volume: Object = {"name": "data", "persistentVolumeClaim": {"claimName": claim, "readOnly": True}}
            if sub_path:
                mount["subPath"] = sub_path
        case HostPathLocation(path):
            volume = {"name": "data", "hostPath": {"path": path, "type": "Directory"}}
    return {**container, "volumeMounts": [*container["volumeMounts"], mount]}, [*volumes, volume]
