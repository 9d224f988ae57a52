"""Whose rights count: on a hub the viewer's own. Nothing is shown or done that the API server would refuse him."""

from __future__ import annotations

import pytest

from guarded_api import GuardedApi, Right, reading
from panal.api import names
from panal.dashboard import viewer
from panal.dashboard.rights import ReviewedRights
from panal.kube import kinds
from panal.kube.errors import Unauthorized, Unavailable

ALL_PAGES = (
    "/",
    "/runs",
    "/clusters",
    "/clusters/site-a",
    *(f"/runs/ns/digits{tab}" for tab in ("", "/clusters", "/placement", "/events", "/logs")),
)
TELLING = ("digits", "secret", "site-a", "site-b", "pvc://", "accuracy", "app:1")  # of runs and clusters


# --- without rights ----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("path", ALL_PAGES)
async def test_who_has_no_token_is_sent_to_sign_in(hub, path):
    answer, page = await hub.get(path)
    assert answer.status == 303
    assert answer.headers["Location"].startswith("/sign-in")
    assert page == ""
    assert (await hub.get(f"/live{path}"))[0].status == 401


@pytest.mark.parametrize("path", ALL_PAGES)
async def test_a_token_that_the_api_server_does_not_know_sees_nothing(hub, path):
    for headers in ({"Authorization": "Bearer forged"}, {"X-Forwarded-Access-Token": "forged"}, {"Authorization": "Bearer dash\u00e9"}):
        answer, page = await hub.with_headers(**headers).get(path)
        assert answer.status in (303, 401)
        assert not [word for word in TELLING if word in page.replace(f'value="{path}"', "")]


@pytest.mark.parametrize("path", ALL_PAGES)
async def test_a_viewer_without_rights_sees_neither_run_nor_cluster_nor_action(nobody, path):
    _, page = await nobody.get(path)
    assert not [word for word in TELLING if word in page and word not in path]
    assert "/suspend" not in page
    assert "<progress" not in page


async def test_filters_tell_nothing_of_what_may_not_be_seen(nobody, member):
    for query in ({"text": "secret"}, {"cluster": "site-a"}, {"namespace": "other"}):
        _, page = await nobody.get("/runs", params=query)
        assert "(of " not in page
    _, page = await member.get("/runs", params={"namespace": "other"})
    assert "No run matches (of 1)" in page
    assert "<option>other</option>" not in (await member.get("/runs"))[1]


@pytest.mark.parametrize("action", ["suspend", "resume", "stop", "rounds"])
async def test_actions_are_asked_of_the_api_server_with_the_viewers_token(api, nobody, member, action):
    api.objects[names.PLURAL, "ns", "digits"]["spec"]["suspend"] = suspended = action == "resume"
    csrf = await member.csrf()
    for visitor, token in ((member, "member"), (nobody, "nobody")):
        form = {"csrf": csrf if visitor is member else "", "rounds": "9"}
        answer, page = await visitor.post(f"/runs/ns/digits/{action}", form)
        assert answer.status == 403
        assert ("cannot patch" if token == "member" else "out of date") in page
    assert {each[0] for each in api.asked if each[1] == "PATCH"} == {"member"}
    assert api.objects[names.PLURAL, "ns", "digits"]["spec"]["suspend"] is suspended
    assert api.objects[names.PLURAL, "ns", "digits"]["spec"]["server"]["rounds"] == 5


# --- with some rights ---------------------------------------------------------------------------------------------------
async def test_a_member_of_a_namespace_sees_its_runs_alone(member):
    _, page = await member.get("/runs")
    assert "digits" in page
    assert "secret" not in page
    _, overview = await member.get("/")
    assert "secret" not in overview
    assert "You may not list clusters" in overview


async def test_clusters_are_shown_to_those_who_may_list_them_and_add_ons_apart(api, hub):
    api.rights["operator"] = reading("managedclusters")
    operator = hub.with_headers(Authorization="Bearer operator")
    _, page = await operator.get("/clusters")
    assert "site-a" in page
    assert "not shown" in page
    assert "2099" not in page
    assert "ns/digits" not in page
    _, page = await operator.get("/clusters", params={"order": "certificate"})
    assert "aria-sort" not in page
    assert "None that you may see" in (await operator.get("/clusters/site-a"))[1]


async def test_what_belongs_to_a_run_is_read_with_the_viewers_token(api, member):
    for path in ALL_PAGES[4:]:
        assert (await member.get(path))[0].status == 200
    of_run = [each for each in api.asked if "/namespaces/ns/" in each[2]]
    assert {token for token, _, _ in of_run} == {"member"}
    assert {path.rsplit("/", 1)[1] for _, _, path in of_run} >= {"configmaps", "events", "pods", "digits", "log"}


async def test_a_kind_of_a_run_that_may_not_be_listed_is_said(api, hub):
    api.rights["half"] = reading(names.PLURAL, namespace="ns")
    half = hub.with_headers(Authorization="Bearer half")
    answer, page = await half.get("/runs/ns/digits")
    assert answer.status == 200
    assert "ou may not list configmaps in the namespace ns" in page
    assert "polyline points" not in page.split("<figure")[0] or "<figure" not in page
    _, events = await half.get("/runs/ns/digits/events")
    assert "round 2 of 5 completed" not in events


async def test_a_member_does_not_see_the_certificates_of_clusters(member):
    _, page = await member.get("/runs/ns/digits/clusters")
    assert "site-b" in page
    assert "2099" not in page
    assert 'href="/clusters/site-b"' not in page


async def test_who_may_patch_suspends_with_his_own_token(api, hub):
    api.rights["editor"] = reading(names.PLURAL, namespace="ns") | {Right("patch", names.PLURAL, "ns")}
    editor = hub.with_headers(**{"X-Forwarded-Access-Token": "editor"})
    answer, _ = await editor.post("/runs/ns/digits/suspend", {"csrf": await editor.csrf()})
    assert (answer.status, answer.headers["Location"]) == (303, "/runs/ns/digits?done=suspend")
    assert api.objects[names.PLURAL, "ns", "digits"]["spec"]["suspend"] is True
    assert [each[0] for each in api.asked if each[1] == "PATCH"] == ["editor"]


async def test_a_form_of_another_viewer_is_not_ones_own(api, hub, member):
    api.rights["editor"] = reading(names.PLURAL, namespace="ns") | {Right("patch", names.PLURAL, "ns")}
    editor = hub.with_headers(Authorization="Bearer editor")
    answer, page = await editor.post("/runs/ns/digits/suspend", {"csrf": await member.csrf()})
    assert answer.status == 403
    assert "out of date" in page


# --- signing in ---------------------------------------------------------------------------------------------------------
async def test_signing_in_keeps_the_token_at_the_server(api, hub, member):
    answer, _ = await hub.post("/sign-in", {"token": " member\n", "next": "/runs"})
    assert (answer.status, answer.headers["Location"]) == (303, "/runs")
    cookie = answer.headers["Set-Cookie"]
    assert "member" not in cookie
    assert all(word in cookie for word in ("__Host-panal=", "HttpOnly", "Secure", "SameSite=Strict", "Path=/"))
    signed_in = hub.with_headers(Cookie=cookie.split(";")[0])
    assert "digits" in (await signed_in.get("/runs"))[1]
    assert (await signed_in.post("/sign-out", {}))[0].status == 303
    assert (await signed_in.get("/runs"))[0].status == 303


@pytest.mark.parametrize("token", ["", "forged", "a b", "x" * 20000, "a\r\nX: y", "\u202e"])
async def test_what_is_no_token_does_not_sign_in(hub, token):
    answer, page = await hub.post("/sign-in", {"token": token})
    assert answer.status == 401
    assert "Set-Cookie" not in answer.headers
    assert token not in page or token in ("", "a b")


@pytest.mark.parametrize(
    "following", ["https://evil.example", "//evil.example", "/\\evil.example", "javascript:alert(1)", "/a\r\nX: y", ""]
)
async def test_signing_in_leads_to_a_page_of_this_server(hub, member, following):
    answer, _ = await hub.post("/sign-in", {"token": "member", "next": following})
    assert answer.headers["Location"] == "/"


async def test_another_site_cannot_sign_a_browser_in(hub, member):
    assert (await hub.post("/sign-in", {"token": "member"}, site="cross-site"))[0].status == 403


async def test_forged_tokens_do_not_take_the_room_of_others(hub, member, monkeypatch):
    monkeypatch.setattr(viewer, "MOST_VIEWERS", 3)
    for number in range(10):
        forged = f"forged-{number}"
        assert (await hub.with_headers(Authorization=f"Bearer {forged}").get("/runs"))[0].status == 401
        assert (await hub.post("/sign-in", {"token": forged}))[0].status == 401
    assert (await member.get("/runs"))[0].status == 200


async def test_tokens_are_in_no_log(hub, member, caplog):
    caplog.set_level("DEBUG")
    await hub.post("/sign-in", {"token": "member"})
    await member.get("/runs/ns/digits")
    await hub.with_headers(Authorization="Bearer forged").get("/runs")
    assert not [record for record in caplog.records if "forged" in record.getMessage() or "Bearer" in record.getMessage()]


# --- reviews ------------------------------------------------------------------------------------------------------------
class Reviewing:
    def __init__(self, answer):
        self.answer, self.asked = answer, 0

    async def create(self, body, kind):
        self.asked += 1
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.mark.parametrize(
    ("answer", "allowed"),
    [
        ({"status": {"allowed": True}}, True),
        ({"status": {"allowed": False}}, False),
        ({"status": {"allowed": True, "denied": True}}, False),
        ({"status": {"allowed": "yes"}}, False),
        ({}, False),
        (Unavailable(0, "Timeout", "no answer"), False),
    ],
)
async def test_what_is_not_a_yes_is_a_no(answer, allowed):
    assert await ReviewedRights(Reviewing(answer)).may_list(kinds.MANAGED_CLUSTER) is allowed


async def test_an_answer_counts_for_half_a_minute():
    now, api = [0.0], Reviewing({"status": {"allowed": True}})
    rights = ReviewedRights(api, lambda: now[0])
    assert await rights.may_list(kinds.MANAGED_CLUSTER)
    api.answer = {"status": {"allowed": False}}
    now[0] = 29
    assert await rights.may_list(kinds.MANAGED_CLUSTER)
    now[0] = 31
    assert not await rights.may_list(kinds.MANAGED_CLUSTER)
    assert api.asked == 2


async def test_a_token_that_is_not_accepted_is_not_remembered():
    api = Reviewing(Unauthorized(401, "Unauthorized", "no"))
    rights = ReviewedRights(api)
    for _ in range(2):
        with pytest.raises(Unauthorized):
            await rights.may_list(kinds.MANAGED_CLUSTER)
    assert api.asked == 2


# --- on a laptop --------------------------------------------------------------------------------------------------------
async def test_a_kubeconfig_with_few_rights_is_told_what_it_may_not_list(api, laptop):
    api.rights["few"] = reading(names.PLURAL, namespace="ns")
    async with laptop("few") as (address, visitor):
        answer, _ = await visitor.get(address.removeprefix(visitor.base))
        owner = visitor.with_headers(Cookie=answer.headers["Set-Cookie"].split(";")[0])
        _, page = await owner.get("/runs")
        assert "of all namespaces: use `panal dashboard -n NAMESPACE`" in page
        assert "You may not list managedclusters" in (await owner.get("/clusters"))[1]
    async with laptop("few", namespace="ns") as (address, visitor):
        answer, _ = await visitor.get(address.removeprefix(visitor.base))
        owner = visitor.with_headers(Cookie=answer.headers["Set-Cookie"].split(";")[0])
        _, page = await owner.get("/runs")
        assert "digits" in page
        assert "may not" not in page


def test_the_api_server_of_these_tests_refuses():
    api = GuardedApi()
    api.rights["member"] = reading("pods", namespace="ns")
    assert api.may("member", "list", "pods", "ns")
    assert not api.may("member", "list", "pods", "")
    assert not api.may("member", "list", "pods", "other")
    assert not api.may("member", "patch", "pods", "ns")
