"""The controller's settings, as its Deployment sets them."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from panal.addon.authority import Times
from panal.hub.settings import Metrics, SettingsError, load

ENV = {"PANAL_POD_TOOLS_IMAGE": "tools:1", "PANAL_GATEWAY_IMAGE": "gateway:1", "POD_NAME": "me"}


def test_defaults() -> None:
    settings = load(ENV)
    assert (settings.images.pod_tools, settings.images.gateway, settings.images.pull_policy) == ("tools:1", "gateway:1", "IfNotPresent")
    assert (settings.identity, settings.namespace, settings.port, settings.log_level) == ("me", "panal-system", 8080, "INFO")
    assert (settings.cleanup_limit, settings.policy_delay) == (timedelta(minutes=5), timedelta(seconds=5))
    assert settings.resync == timedelta(minutes=15)
    assert settings.times == Times()


def test_the_identity_is_unique_outside_a_pod() -> None:
    identity = load({name: value for name, value in ENV.items() if name != "POD_NAME"}).identity
    assert identity == f"{os.uname().nodename}-{os.getpid()}"


@pytest.mark.parametrize(
    ("name", "value", "field", "expected"),
    [
        ("POD_NAMESPACE", "fl", "namespace", "fl"),
        ("PANAL_PORT", "9090", "port", 9090),
        ("PANAL_PORT", "0", "port", None),
        ("PANAL_PORT", "", "port", 8080),
        ("PANAL_METRICS_AUTHENTICATION", "false", "metrics", None),
        ("PANAL_METRICS_AUTHENTICATION", "", "metrics", Metrics(8443, None)),
        ("PANAL_METRICS_PORT", "9443", "metrics", Metrics(9443, None)),
        ("PANAL_METRICS_TLS", "/tls", "metrics", Metrics(8443, Path("/tls"))),
        ("PANAL_LOG_LEVEL", "debug", "log_level", "DEBUG"),
        ("PANAL_CLEANUP_LIMIT_SECONDS", "60", "cleanup_limit", timedelta(minutes=1)),
        ("PANAL_POLICY_DELAY_SECONDS", "1", "policy_delay", timedelta(seconds=1)),
        ("PANAL_RESYNC_SECONDS", "60", "resync", timedelta(minutes=1)),
        ("PANAL_GRPC_SERVER_ACCOUNT", "system:serviceaccount:hub-1:grpc.sa", "grpc_server", "system:serviceaccount:hub-1:grpc.sa"),
        ("PANAL_GRPC_SERVER_ACCOUNT", "", "grpc_server", ""),
        ("PANAL_AUTHORITY_LIFE_SECONDS", "3600", "times", Times(life=timedelta(hours=1))),
        ("PANAL_CERTIFICATE_LIFE_SECONDS", "3600", "times", Times(leaf=timedelta(hours=1))),
        ("PANAL_AUTHORITY_SPREAD_SECONDS", "3600", "times", Times(spread=timedelta(hours=1))),
    ],
)
def test_a_variable_sets_its_field_alone(name: str, value: str, field: str, expected: Any) -> None:
    default, settings = load(ENV), load(ENV | {name: value})
    assert getattr(settings, field) == expected
    others = [each for each in settings.__dataclass_fields__ if each != field]
    assert [getattr(settings, each) for each in others] == [getattr(default, each) for each in others]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PANAL_POD_TOOLS_IMAGE", ""),
        ("PANAL_GATEWAY_IMAGE", ""),
        ("PANAL_PORT", "http"),
        ("PANAL_GRPC_SERVER_ACCOUNT", "grpc-server-sa"),
        ("PANAL_GRPC_SERVER_ACCOUNT", "system:serviceaccount:hub:"),
        ("PANAL_GRPC_SERVER_ACCOUNT", "system:serviceaccount:*:grpc-server-sa"),
        ("PANAL_GRPC_SERVER_ACCOUNT", "system:serviceaccount:hub:grpc-server-sa\n"),
        ("PANAL_GRPC_SERVER_ACCOUNT", "system:open-cluster-management:c1:agent"),
        ("PANAL_PORT", "-1"),
        ("PANAL_METRICS_AUTHENTICATION", "off"),
        ("PANAL_METRICS_PORT", "0"),
        ("PANAL_LOG_LEVEL", "loud"),
        ("PANAL_CLEANUP_LIMIT_SECONDS", "-5"),
        ("PANAL_CLEANUP_LIMIT_SECONDS", "0"),
        ("PANAL_POLICY_DELAY_SECONDS", "1.5"),
        ("PANAL_RESYNC_SECONDS", "0"),
        ("PANAL_AUTHORITY_LIFE_SECONDS", "a year"),
    ],
)
def test_an_invalid_variable_is_named(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=name):
        load(ENV | {name: value})
