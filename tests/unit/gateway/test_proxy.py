"""Through a site's proxy: CONNECT to the aggregator, with credentials from a file that may come, change and go."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from gateways import Hub, Load, Proxy, Runtime, Spoke, post, wait_for
from panal.gateway import collaborator

NAME = "aggregator.example"  # which the proxy alone can look up


def through(proxy: Proxy, hub: Hub, **other: object) -> dict[str, object]:
    return {"address": (NAME, hub.port), "proxy": ("127.0.0.1", proxy.port), **other}


@pytest.mark.parametrize("authorization", ["", "Basic dXNlcjpwYXNz"])
def test_a_model_goes_through_the_proxy(hub: Hub, runtime: Runtime, spoke: Callable[..., Spoke], proxy: Proxy, authorization: str) -> None:
    proxy.authorization = authorization
    one = spoke(hub, "c1", **through(proxy, hub, authorization=authorization.encode() or None))
    runtime.reached.clear()
    body = b"model" * 400_000
    assert post(one.port, body=body).body == b"c1"
    assert runtime.reached[0][2] == body
    assert proxy.asked == [(f"{NAME}:{hub.port}", authorization)]


@pytest.mark.parametrize(
    ("host", "target"), [("127.0.0.1", "127.0.0.1"), ("::1", "[::1]"), ("fl.example.org", "fl.example.org")], ids=["v4", "v6", "name"]
)
def test_the_proxy_receives_the_address(hub: Hub, spoke: Callable[..., Spoke], proxy: Proxy, host: str, target: str) -> None:
    proxy.authorization = "wanted, so that the tunnel ends here"
    one = spoke(hub, "c1", **through(proxy, hub, address=(host, 443)))
    assert post(one.port).status == 503
    assert {asked for asked, _ in proxy.asked} == {f"{target}:443"}


def test_a_refusal_of_the_proxy_is_logged(hub: Hub, spoke: Callable[..., Spoke], proxy: Proxy) -> None:
    proxy.authorization = "Basic right"
    one = spoke(hub, "c1", **through(proxy, hub, authorization=b"Basic wrong"))
    assert post(one.port).status == 503
    said = one.envoy.refusal(refused="tunnel", target=NAME)
    assert (said["target"], said["proxy"], said["status"]) == (f"{NAME}:{hub.port}", f"127.0.0.1:{proxy.port}", 407)
    assert "wrong" not in one.envoy.said


def test_credentials_may_come_change_and_go(hub: Hub, spoke: Callable[..., Spoke], proxy: Proxy) -> None:
    one = spoke(hub, "c1", **through(proxy, hub))
    proxy.authorization = "Basic first"
    assert post(one.port).status == 503
    for content in (b"Basic first", b"Basic second\n", None):
        proxy.authorization = (content or b"").decode().strip()
        one.authorization = content
        one.write()
        proxy.drop()  # what is connected stays so, whatever the file says
        wait_for("a new connection", lambda: post(one.port).status == 200)
        assert proxy.asked[-1][1] == proxy.authorization


def test_a_proxy_may_come_and_go_under_load(hub: Hub, spoke: Callable[..., Spoke], proxy: Proxy) -> None:
    one = spoke(hub, "c1", **through(proxy, hub))
    with Load(one.port) as load:
        load.goes_on()
        before = hub.connections("c1")
        one.address, one.proxy = ("127.0.0.1", hub.port), None
        one.write()
        wait_for("a direct connection", lambda: hub.connections("c1") > before)
        assert len(proxy.asked) == 1
        one.address, one.proxy = (NAME, hub.port), ("127.0.0.1", proxy.port)
        one.write()
        wait_for("one through the proxy", lambda: len(proxy.asked) == 2)
        load.goes_on()
    assert set(load.statuses) == {200}


def test_without_a_proxy_for_now(hub: Hub, spoke: Callable[..., Spoke]) -> None:
    """What the gateway started with need not change when the proxy does not serve for this address."""
    one = spoke(hub, "c1")
    assert post(one.port).status == 200


def test_no_credentials_are_in_the_configuration() -> None:
    found = collaborator.files(address=(NAME, 443), server_name="x", sni="x", protocol="x", proxy=("proxy.example", 3128))
    assert set(found) == {"cds.json", "identity.json", "trust.json", "log.json"}
    assert "authorization" not in str(found)
    assert "Basic " not in str(collaborator.bootstrap(loopback="127.0.0.1", users="users"))
