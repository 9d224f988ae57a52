"""Who is not of the Pod and reaches its loopback: refused by the collaborator's gateway, and told apart by the runtime behind the
aggregator's. The secret of a Pod leaves it in no way."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Callable

import pytest

from gateways import HUBS_SECRET, RUN, SITES_SECRET, Hub, Runtime, Spoke, post, wait_for, write
from panal.api import names
from raw_http2 import message, opening, request_fields, talk, tls_context

WRONG = {
    "none": "",
    "another Pod's": HUBS_SECRET,
    "longer": f"{SITES_SECRET[:-1]}A==",
    "of another user": f"Basic {b64encode(b'root:site').decode()}",
    "without a password": f"Basic {b64encode(b'panal:').decode()}",
    "without a user": f"Basic {b64encode(b':site').decode()}",
    "of another scheme": SITES_SECRET.replace("Basic", "Bearer"),
    "no base64": "Basic ?",
    "what the file holds for Envoy": f"Basic {b64encode(b'panal:{SHA}').decode()}",
}


@pytest.mark.parametrize("said", WRONG.values(), ids=WRONG)
def test_who_does_not_know_the_secret_is_refused(hub: Hub, runtime: Runtime, spoke: Callable[..., Spoke], said: str) -> None:
    one = spoke(hub, "c1")
    runtime.reached.clear()
    for path in ("/v1/fleet/x", "/", "/ready"):
        assert post(one.port, path, x_panal_pod=said).status == 401
    assert not runtime.reached
    assert one.envoy.refusal(status="401")["details"].endswith("basic_auth")
    assert post(one.port).status == 200


def test_it_is_not_taken_from_elsewhere(hub: Hub, spoke: Callable[..., Spoke]) -> None:
    one = spoke(hub, "c1")
    assert post(one.port, x_panal_pod="", authorization=SITES_SECRET).status == 401


def test_the_runtime_receives_the_hubs_secret(hub: Hub, runtime: Runtime, spoke: Callable[..., Spoke]) -> None:
    one = spoke(hub, "c1")
    runtime.reached.clear()
    assert post(one.port).status == 200
    [(_, headers, _)] = runtime.reached
    assert headers[names.POD_HEADER] == HUBS_SECRET


def test_the_hub_never_sees_a_sites(own_hub: Hub, runtime: Runtime, spoke: Callable[..., Spoke]) -> None:
    """It is asked here to pass on what it got."""
    one = spoke(own_hub, "c1")
    silent = json.dumps(own_hub.files("c1")["lds.json"]).replace(f'"key": "{names.POD_HEADER}"', '"key": "x-other"')
    write(own_hub.folder, {"lds.json": silent.encode()})

    def reached() -> dict[str, str]:
        runtime.reached.clear()
        assert post(one.port).status == 200
        return runtime.reached[0][1]

    wait_for("the change", lambda: "x-other" in reached())
    assert names.POD_HEADER not in reached()
    assert SITES_SECRET not in reached().values()


def test_what_a_site_says_in_its_place_does_not_count(hub: Hub, runtime: Runtime) -> None:
    context = tls_context(hub.collaborators.collaborator("c1"), [names.protocol(RUN, "c1"), "h2"])
    forged = [(names.POD_HEADER, "Basic x"), (names.POD_HEADER, "Basic y")]
    runtime.reached.clear()
    assert talk(hub.port, opening() + message(request_fields(extra=forged), b"x"), context) == "200"
    [(_, headers, _)] = runtime.reached
    assert headers[names.POD_HEADER] == HUBS_SECRET


def test_no_log_and_no_statistics_have_it(hub: Hub, spoke: Callable[..., Spoke]) -> None:
    one = spoke(hub, "c1")
    for path in ("/v1/fleet/x", "/v1/control/x"):
        post(one.port, path)
        post(one.port, path, x_panal_pod="Basic wrong")
    one.envoy.refusal(status="401")
    hub.envoy.refusal(path="/v1/control/x")
    for secret in (HUBS_SECRET, SITES_SECRET):
        words = secret.split()[1]
        assert words not in one.envoy.said + hub.envoy.said + hub.admin("GET", "/stats?format=json")[1]
        assert words not in json.dumps([one.envoy.bootstrap, hub.envoy.bootstrap, one.files()])
    assert hub.admin("GET", "/config_dump")[0] == 403
