"""A site's configuration: which AddOnDeploymentConfig applies, and how it is read."""

from __future__ import annotations

from typing import Any

import pytest

from panal.addon.config import GROUP, RESOURCE, SiteConfig, site_config
from panal.api.names import PROXY

OWN, FOUND, DEFAULT = ("c1", "own"), ("panal-system", "found"), ("panal-system", "default")


def reference(key: tuple[str, str], **more: Any) -> dict[str, Any]:
    return {"group": GROUP, "resource": RESOURCE, "namespace": key[0], "name": key[1]} | more


def addon(spec: list[Any] | None = None, status: list[Any] | None = None) -> dict[str, Any]:
    return {"metadata": {"namespace": "c1"}, "spec": {"configs": spec or []}, "status": {"configReferences": status or []}}


def desired(key: tuple[str, str], **more: Any) -> dict[str, Any]:
    return {
        "group": GROUP,
        "resource": RESOURCE,
        "name": "",
        "desiredConfig": {"namespace": key[0], "name": key[1], "specHash": "x"},
    } | more


CMA = {
    "spec": {
        "supportedConfigs": [{"group": GROUP, "resource": RESOURCE, "defaultConfig": {"namespace": DEFAULT[0], "name": DEFAULT[1]}}],
        "installStrategy": {"type": "Placements", "placements": [{"name": "all"}, {"name": "some", "configs": [reference(FOUND)]}]},
    }
}
OF_ANOTHER = ("c2", "own")
OTHER_KIND = {"group": "other", "resource": "things", "namespace": "c1", "name": "own"}


def config(key: tuple[str, str], **spec: Any) -> dict[str, Any]:
    return {"metadata": {"namespace": key[0], "name": key[1]}, "spec": spec}


CONFIGS = {
    key: config(key, customizedVariables=[{"name": "AGGREGATOR_HOST", "value": key[1]}]) for key in (OWN, FOUND, DEFAULT, OF_ANOTHER)
}


@pytest.mark.parametrize(
    ("mca", "cma", "host"),
    [
        (addon([reference(OWN)], [desired(FOUND)]), CMA, "own"),
        (addon([OTHER_KIND], [desired(FOUND)]), CMA, "found"),
        (addon([], [reference(FOUND)]), CMA, "found"),
        (addon(), CMA, "default"),
        (addon([], [desired(FOUND, resource="things")]), CMA, "default"),
        (addon([reference(OWN), reference(FOUND)]), CMA, "own"),
        (addon([], [desired(OF_ANOTHER), desired(FOUND)]), CMA, "found"),
        (addon([], [desired(OF_ANOTHER)]), CMA, "default"),
        (addon([], [desired(FOUND)]), None, ""),
        (addon(), {"spec": {"supportedConfigs": [{"group": GROUP, "resource": RESOURCE}]}}, ""),
        (addon(), None, ""),
        ({"metadata": {"namespace": "c1"}}, None, ""),
    ],
    ids=[
        *("own", "by placement", "of an old hub", "default", "of another kind", "the first", "of another cluster"),
        *("only of another cluster", "of no add-on", "no default", "no add-on", "no spec"),
    ],
)
def test_the_most_specific_configuration_applies(mca: dict[str, Any], cma: dict[str, Any] | None, host: str) -> None:
    found = site_config(mca, cma, CONFIGS)
    assert (found.address_host, found.problems) == (host, ())


def of(**spec: Any) -> SiteConfig:
    return site_config(addon([reference(OWN)]), None, {OWN: config(OWN, **spec)})


def test_a_missing_configuration_is_a_problem() -> None:
    found = site_config(addon([reference(OWN)]), CMA, {})
    assert found.problems == ("AddOnDeploymentConfig c1/own does not exist",)


def test_node_placement() -> None:
    toleration = {"key": "gpu", "operator": "Exists"}
    found = of(nodePlacement={"nodeSelector": {"gpu": "yes"}, "tolerations": [toleration]})
    assert (found.node_selector, found.tolerations) == ({"gpu": "yes"}, (toleration,))


REGISTRIES = [
    {"source": "quay.io", "mirror": "mirror.example/quay"},
    {"source": "quay.io/panal", "mirror": "mirror.example/fl/"},
    {"source": "registry.example:5000/", "mirror": "mirror.example"},
]


@pytest.mark.parametrize(
    ("name", "image"),
    [
        ("quay.io/other/app:1", "mirror.example/quay/other/app:1"),
        ("quay.io/panal/app:1", "mirror.example/fl/app:1"),
        ("quay.io/panal/app@sha256:12", "mirror.example/fl/app@sha256:12"),
        ("quay.io/panal:1", "mirror.example/fl:1"),
        ("quay.io/panal-extra/app:1", "mirror.example/quay/panal-extra/app:1"),
        ("quay.io.example/app:1", "quay.io.example/app:1"),
        ("registry.example:5000/app", "mirror.example/app"),
        ("docker.io/app:1", "docker.io/app:1"),
    ],
)
def test_the_longest_matching_source_determines_the_mirror(name: str, image: str) -> None:
    assert of(registries=REGISTRIES).image(name) == image


def test_a_mirror_without_source_applies_to_all_images() -> None:
    assert of(registries=[{"mirror": "mirror.example/all"}]).image("quay.io/panal/app:1") == "mirror.example/all/app:1"


@pytest.mark.parametrize(
    ("proxy", "found"),
    [
        ({"httpsProxy": "http://192.0.2.7:3128"}, ("192.0.2.7", 3128)),
        ({"httpProxy": "http://192.0.2.7:3128"}, ("192.0.2.7", 3128)),
        ({"httpProxy": "http://192.0.2.1:1", "httpsProxy": "http://192.0.2.2:2"}, ("192.0.2.2", 2)),
        ({"httpsProxy": "192.0.2.7:3128"}, ("192.0.2.7", 3128)),
        ({"httpsProxy": "http://192.0.2.7"}, ("192.0.2.7", 80)),
        ({"httpsProxy": "http://[2001:db8::1]:3128"}, ("2001:db8::1", 3128)),
        ({"noProxy": "x"}, None),
    ],
)
def test_a_proxy_has_a_host_and_a_port(proxy: dict[str, str], found: tuple[str, int] | None) -> None:
    assert (of(proxyConfig=proxy).proxy, of(proxyConfig=proxy).problems) == (found, ())


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("http://user:secret@proxy.example:3128", PROXY),
        ("http://user@proxy.example:3128", PROXY),
        ("https://proxy.example:3128", "not a URL such as"),
        ("socks5://proxy.example:3128", "not a URL such as"),
        ("http://proxy.example:3128", "not an IP address"),
        ("http://proxy.example:many", "not a URL such as"),
        ("http://", "not a URL such as"),
    ],
)
def test_an_invalid_proxy_is_a_problem_and_is_ignored(url: str, message: str) -> None:
    found = of(proxyConfig={"httpsProxy": url})
    assert found.proxy is None
    assert message in found.problems[0]
    assert "secret" not in found.problems[0]


def test_a_site_may_name_the_listener_that_it_uses() -> None:
    variables = [{"name": "AGGREGATOR_LISTENER", "value": " internal "}, {"name": "OTHER"}]
    found = site_config(addon([reference(OWN)]), CMA, {OWN: config(OWN, customizedVariables=variables)})
    assert (found.listener, found.address_host, found.problems) == ("internal", "", ())
