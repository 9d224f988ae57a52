from __future__ import annotations

from datetime import timedelta

import pytest

from panal.hub.settings import SettingsError, load

ENV = {"PANAL_POD_TOOLS_IMAGE": "tools:1", "PANAL_GATEWAY_IMAGE": "gateway:1", "POD_NAME": "me"}


def test_defaults() -> None:
    settings = load(ENV)
    assert settings.images.pod_tools == "tools:1"
    assert (settings.identity, settings.namespace, settings.port) == ("me", "panal-system", 8080)
    assert (settings.cleanup_limit, settings.policy_delay) == (timedelta(minutes=5), timedelta(seconds=5))


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"PANAL_POD_TOOLS_IMAGE": ""}, "PANAL_POD_TOOLS_IMAGE"),
        ({"PANAL_GATEWAY_IMAGE": ""}, "PANAL_GATEWAY_IMAGE"),
        ({"PANAL_PORT": "http"}, "PANAL_PORT"),
        ({"PANAL_CLEANUP_LIMIT_SECONDS": "-5"}, "PANAL_CLEANUP_LIMIT_SECONDS"),
    ],
)
def test_an_invalid_setting_is_named(change: dict[str, str], name: str) -> None:
    with pytest.raises(SettingsError, match=name):
        load(ENV | change)
