"""The door of a laptop's dashboard: the token that is good once, the cookie, hosts, origins and forms."""

from __future__ import annotations

import socket
from urllib.parse import urlsplit

import pytest

from panal.api import names
from panal.dashboard.security import HEADERS

FIELDS = names.PLURAL, "ns", "digits"


async def test_the_address_is_good_once_and_becomes_a_cookie(laptop):
    async with laptop() as (address, visitor):
        path = address.removeprefix(visitor.base)
        answer, _ = await visitor.get(path)
        assert (answer.status, answer.headers["Location"]) == (303, "/")
        cookie = answer.headers["Set-Cookie"]
        assert all(word in cookie for word in ("HttpOnly", "SameSite=Strict", "Path=/"))
        assert address.split("token=")[1] not in cookie
        again, page = await visitor.get(path)
        assert again.status == 401
        assert "Set-Cookie" not in again.headers
        assert "good for one browser" in page
        owner = visitor.with_headers(Cookie=cookie.split(";")[0])
        assert (await owner.get(path))[0].status == 303  # reloading the first page does no harm


@pytest.mark.parametrize("cookie", ["", "panal-1=x", "{name}=", "{name}=wrong", "{name}=\u00e9"])
@pytest.mark.parametrize(
    "path", ["/", "/runs", "/clusters", "/runs/ns/digits", "/runs/ns/digits/metrics.csv", "/runs/ns/digits/stop", "/live/runs"]
)
async def test_without_the_cookie_nothing_is_shown(laptop, cookie, path):
    async with laptop() as (_, visitor):
        name = f"panal-{urlsplit(visitor.base).port}"
        stranger = visitor.with_headers(Cookie=cookie.format(name=name).encode().decode("latin1"))
        answer, page = await stranger.get(path)
        assert answer.status == 401
        assert "digits" not in page
        answer, _ = await stranger.post("/runs/ns/digits/suspend", {"csrf": ""})
        assert answer.status == 401


@pytest.mark.parametrize("token", ["", "x", "x" * 5000, "\u00e9"])
async def test_another_token_does_not_open(laptop, token):
    async with laptop() as (_, visitor):
        answer, _ = await visitor.get("/enter", params={"token": token})
        assert answer.status == 401
        assert "Set-Cookie" not in answer.headers


@pytest.mark.parametrize("host", ["evil.example", "evil.example:{port}", "127.0.0.1", "127.0.0.1.evil.example:{port}", "[::1]:{port}", ""])
async def test_other_names_of_the_machine_are_not_answered(owner, host):
    port = urlsplit(owner.base).port
    for path in ("/", "/healthz", "/runs/ns/digits"):
        answer, page = await owner.get(path, headers={"Host": host.format(port=port)})
        assert answer.status in (400, 421)
        assert "digits" not in page


async def test_its_own_names_are_answered(owner):
    port = urlsplit(owner.base).port
    for host in (f"127.0.0.1:{port}", f"localhost:{port}", f"LOCALHOST:{port}"):
        assert (await owner.get("/runs", headers={"Host": host}))[0].status == 200


async def test_it_listens_on_the_loopback_address_alone(laptop):
    async with laptop() as (address, _):
        port = urlsplit(address).port
        assert urlsplit(address).hostname == "127.0.0.1"
        with socket.socket() as other:
            other.settimeout(1)
            assert other.connect_ex(("127.0.0.2", port)) != 0


# --- forms --------------------------------------------------------------------------------------------------------------
async def test_an_action_changes_the_spec_and_says_so(api, owner):
    answer, _ = await owner.post("/runs/ns/digits/suspend", {"csrf": await owner.csrf()})
    assert (answer.status, answer.headers["Location"]) == (303, "/runs/ns/digits?done=suspend")
    assert api.objects[FIELDS]["spec"]["suspend"] is True
    _, page = await owner.get("/runs/ns/digits?done=suspend")
    assert "The run is being suspended" in page
    await owner.post("/runs/ns/digits/resume", {"csrf": await owner.csrf()})
    assert api.objects[FIELDS]["spec"]["suspend"] is False
    await owner.post("/runs/ns/digits/rounds", {"csrf": await owner.csrf(), "rounds": "9"})
    assert api.objects[FIELDS]["spec"]["server"] == {"image": "app:1", "rounds": 9}
    _, page = await owner.get("/runs/ns/digits/stop")
    assert "cannot go on" in page
    await owner.post("/runs/ns/digits/stop", {"csrf": await owner.csrf("/runs/ns/digits/stop")})
    assert api.objects[FIELDS]["spec"]["stop"] is True


@pytest.mark.parametrize("csrf", [None, "", "x", "\u00e9"])
async def test_a_form_without_its_token_does_nothing(api, owner, csrf):
    answer, _ = await owner.post("/runs/ns/digits/suspend", {} if csrf is None else {"csrf": csrf})
    assert answer.status == 403
    assert api.objects[FIELDS]["spec"]["suspend"] is False


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "none"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {},
    ],
)
async def test_a_form_of_another_origin_does_nothing(api, owner, headers):
    answer, _ = await owner.post("/runs/ns/digits/suspend", {"csrf": await owner.csrf()}, site="", **headers)
    assert answer.status == 403
    assert api.objects[FIELDS]["spec"]["suspend"] is False


async def test_a_browser_without_fetch_metadata_shows_its_origin(api, owner):
    answer, _ = await owner.post("/runs/ns/digits/suspend", {"csrf": await owner.csrf()}, site="", Origin=owner.base)
    assert answer.status == 303


async def test_an_address_alone_does_nothing(api, owner):
    for action in ("suspend", "resume", "rounds"):
        assert (await owner.get(f"/runs/ns/digits/{action}"))[0].status in (404, 405)
    await owner.get("/runs/ns/digits/stop")
    assert not [each for each in api.asked if each[1] == "PATCH"]


@pytest.mark.parametrize("rounds", ["", "0", "-3", "1.5", "x", "9" * 30, "²", "1e3"])
async def test_what_is_no_number_of_rounds_is_refused_with_its_field(api, owner, rounds):
    answer, page = await owner.post("/runs/ns/digits/rounds", {"csrf": await owner.csrf(), "rounds": rounds})
    assert answer.status == 422
    assert "spec.server.rounds" in page
    assert not [each for each in api.asked if each[1] == "PATCH"]


async def test_what_the_api_server_refuses_is_shown_with_its_field_and_a_remedy(api, owner):
    csrf = await owner.csrf()
    api.refusals["PATCH"] = (422, "spec.server.rounds: Invalid value: a run that has started can get more rounds, not fewer")
    answer, page = await owner.post("/runs/ns/digits/rounds", {"csrf": csrf, "rounds": "1"})
    assert answer.status == 403
    assert "spec.server.rounds: Invalid value" in page
    assert "Correct the field that the message names" in page


async def test_a_run_that_has_ended_cannot_be_changed(api, owner):
    answer, page = await owner.post("/runs/other/secret/suspend", {"csrf": await owner.csrf()})
    assert answer.status == 403
    assert "already Completed" in page
    assert "do-suspend" not in (await owner.get("/runs/other/secret"))[1]


async def test_a_form_that_is_too_large_is_refused(owner):
    answer, _ = await owner.post("/runs/ns/digits/suspend", {"csrf": "x" * 100_000})
    assert answer.status == 413


async def test_errors_of_the_library_have_the_headers_too(owner):
    for method in ("PUT", "DELETE", "OPTIONS"):
        answer, _ = await owner.ask(method, "/runs", headers={"Sec-Fetch-Site": "same-origin"})
        assert answer.status == 405
        assert all(answer.headers[name] == value for name, value in HEADERS.items())
