"""Python's libraries use no proxy for the Pod's own addresses, whatever proxies the user sets."""

from __future__ import annotations

import urllib.request

import pytest

from panal.pod.tools.proxies import exclude_loopback

OWN = ("127.0.0.1", "localhost", "127.41.1.7")
PROXIES = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"), "http://127.0.0.1:9")


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ({}, "127.41.1.7,localhost,127.0.0.1,::1"),
        ({"NO_PROXY": ".example.com"}, ".example.com,127.41.1.7,localhost,127.0.0.1,::1"),
        ({"no_proxy": ".example.com, hub"}, ".example.com,hub,127.41.1.7,localhost,127.0.0.1,::1"),
        ({"NO_PROXY": "upper", "no_proxy": "lower"}, "lower,upper,127.41.1.7,localhost,127.0.0.1,::1"),
        ({"NO_PROXY": "localhost,127.0.0.1"}, "localhost,127.0.0.1,127.41.1.7,::1"),
        ({"NO_PROXY": "*"}, "*"),
        ({"no_proxy": "a, *"}, "*"),  # only as the single entry: among others a star has no meaning
        ({"NO_PROXY": "", "no_proxy": ","}, "127.41.1.7,localhost,127.0.0.1,::1"),
    ],
)
def test_loopback_is_added_to_the_users_settings(said: dict[str, str], expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    env = {**PROXIES, **said, "PANAL_LOOPBACK": "127.41.1.7"}
    exclude_loopback(env)
    assert (env["no_proxy"], env["NO_PROXY"]) == (expected, expected)
    exclude_loopback(env)  # again, in a child process
    assert env["no_proxy"] == expected
    for name in PROXIES.keys() | {"NO_PROXY", "no_proxy"}:
        monkeypatch.setenv(name, env[name])
    assert [bool(urllib.request.proxy_bypass(host)) for host in OWN] == [True] * len(OWN)
    assert bool(urllib.request.proxy_bypass("elsewhere.org")) == (expected == "*")


def test_default_loopback_addresses_are_excluded() -> None:
    env: dict[str, str] = {}
    exclude_loopback(env)
    assert env["no_proxy"] == "localhost,127.0.0.1,::1"
