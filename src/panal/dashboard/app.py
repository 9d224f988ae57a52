"""The routes, and how each is answered: the page of a view, its updates, an action, signing in."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Collection
from typing import Any
from urllib.parse import quote

from aiohttp import web

from panal.client.problem import Code, Problem, of_api
from panal.dashboard import actions, assets, pages, run_pages
from panal.dashboard.curves import as_csv
from panal.dashboard.feed import TooMany
from panal.dashboard.live import Streams
from panal.dashboard.security import guard, secured
from panal.dashboard.template import render
from panal.dashboard.view import Site, View, digest, named_run
from panal.dashboard.viewer import TOKEN, ManyViewers, OneViewer, Viewer, Viewers
from panal.kube.errors import ApiError, Unauthorized
from panal.kube.kinds import FEDERATED_LEARNING

log = logging.getLogger("panal.dashboard")

RUN = "/runs/{namespace}/{name}"
VIEWS: dict[str, type[View]] = {
    "/": pages.Overview,
    "/runs": pages.Runs,
    "/clusters": pages.Clusters,
    "/clusters/{cluster}": pages.OneCluster,
    RUN: run_pages.RunProgress,
    f"{RUN}/clusters": run_pages.RunClusters,
    f"{RUN}/placement": run_pages.RunPlacement,
    f"{RUN}/events": run_pages.RunEvents,
    f"{RUN}/logs": run_pages.RunLogs,
}
STATUS = {Code.NOT_FOUND: 404, Code.UNREACHABLE: 502, Code.REFUSED: 403, Code.USAGE: 422}
MOST_BODY = 64 << 10  # bytes of a form
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Dashboard:
    def __init__(self, site: Site, viewers: Viewers, hosts: Collection[str] = (), ready: Callable[[], list[str]] = list) -> None:
        self._site, self._viewers, self._ready = site, viewers, ready
        self._streams = Streams()
        self._hosts = hosts

    def app(self) -> web.Application:
        app = web.Application(middlewares=[guard(self._hosts)], client_max_size=MOST_BODY)
        for path, view in VIEWS.items():
            app.router.add_get(path, self._page(view), allow_head=False)
            app.router.add_get(f"/live{path}", self._live(view), allow_head=False)
        app.router.add_get(f"{RUN}/metrics.csv", self._as_viewer(self._csv), allow_head=False)
        app.router.add_get(f"{RUN}/model", self._as_viewer(self._model), allow_head=False)
        app.router.add_get(f"{RUN}/stop", self._as_viewer(self._confirm), allow_head=False)
        app.router.add_post(f"{RUN}/{{action:suspend|resume|stop|rounds}}", self._as_viewer(self._act))
        app.router.add_get("/static/{digest}/{name}", assets.serve)
        app.router.add_get("/healthz", _healthz)
        app.router.add_get("/readyz", self._readyz)
        app.router.add_get("/enter", self._enter, allow_head=False)
        if self._viewers.signs_in:
            app.router.add_get("/sign-in", self._sign_in_form)
            app.router.add_post("/sign-in", self._sign_in)
            app.router.add_post("/sign-out", self._sign_out)
        app.router.add_get("/{nowhere:.*}", self._as_viewer(_nowhere), allow_head=False)
        return app

    # --- who looks --------------------------------------------------------------------------------------------------
    def _as_viewer(self, answer: Callable[[web.Request, Viewer], Awaitable[web.StreamResponse]]) -> Handler:
        async def handler(request: web.Request) -> web.StreamResponse:
            viewer = await self._viewers.of(request)
            if viewer is None:
                return self._stranger(request)
            viewer.used = time.monotonic()
            try:
                return await answer(request, viewer)
            except Unauthorized:
                await self._viewers.refuse(viewer)
                return self._stranger(request, "the API server does not accept your token: it may have expired")
            except ApiError as error:
                return self._problem(of_api(error, ""))
            except Problem as problem:
                return self._problem(problem)
            except OSError as error:
                return self._problem(Problem(Code.PLATFORM, f"the file cannot be read: {error.strerror}"), 404)
            except TooMany:
                return self._problem(
                    Problem(Code.UNREACHABLE, "so many runs are looked at that this one cannot be shown now", "Try again later."), 503
                )
            except web.HTTPClientError as error:
                return self._problem(Problem(Code.USAGE, error.text or error.reason), error.status)

        return handler

    def _stranger(self, request: web.Request, why: str = "") -> web.StreamResponse:
        if not self._viewers.signs_in:
            remedy = "Open the address that `panal dashboard` has printed. It is good for one browser; for another one, start it again."
            return self._problem(Problem(Code.REFUSED, "this browser may not use the dashboard", remedy), 401)
        if request.method == "GET" and not request.path.startswith("/live"):
            asked = f"?next={quote(request.rel_url.raw_path_qs, safe='')}" if request.path != "/" else ""
            if why:
                return self._form(why, request.rel_url.raw_path_qs, 401)
            return web.Response(status=303, headers={"Location": f"/sign-in{asked}"})
        return web.Response(status=401, text="sign in again\n")

    async def _enter(self, request: web.Request) -> web.StreamResponse:
        """The address that `panal dashboard` prints."""
        viewers = self._viewers
        if not isinstance(viewers, OneViewer):
            raise web.HTTPNotFound
        response = web.Response(status=303, headers={"Location": "/"})
        if await viewers.of(request):
            return response
        session = viewers.enter(request.query.get("token", ""))
        if session is None:
            return self._stranger(request)
        viewers.set_cookie(response, session)
        return response

    # --- pages ------------------------------------------------------------------------------------------------------
    def _page(self, made: type[View]) -> Handler:
        async def page(request: web.Request, viewer: Viewer) -> web.StreamResponse:
            view = made(self._site, viewer, request)
            async with view.opened():
                facts = await view.facts()
                parts = view.rendered(facts)
                query = request.rel_url.raw_query_string
                live = f"/live{request.rel_url.raw_path}?{query + '&' if query else ''}v={digest(parts)}"
                around = {
                    "title": view.title,
                    "section": view.section,
                    "parts": parts,
                    "live": live,
                    **self._around(viewer, request.query.get("done", "")),
                }
                return _html(render(view.template, {**facts, **around}))

        return self._as_viewer(page)

    def _around(self, viewer: Viewer | None = None, done: str = "") -> dict[str, Any]:
        """What the page around the parts needs. `done`: the action that led here."""
        return {
            "asset": assets.address,
            "api": self._site.name,
            "signs_in": self._viewers.signs_in,
            "csrf": viewer.csrf if viewer else "",
            "said": actions.SAID.get(done, ""),
        }

    def _live(self, made: type[View]) -> Handler:
        async def live(request: web.Request, viewer: Viewer) -> web.StreamResponse:
            return await self._streams.serve(request, made(self._site, viewer, request))

        return self._as_viewer(live)

    def _problem(self, problem: Problem, status: int = 0) -> web.StreamResponse:
        facts = {"title": "Not possible", "section": "", "message": str(problem), "remedy": problem.remedy, "live": "", **self._around()}
        return _html(render("problem.html", facts), status or STATUS.get(problem.code, 409))

    async def _csv(self, request: web.Request, viewer: Viewer) -> web.StreamResponse:
        view = run_pages.RunProgress(self._site, viewer, request)
        async with view.opened():
            content = await asyncio.to_thread(as_csv, await view.rounds())
        headers = {"Content-Disposition": 'attachment; filename="metrics.csv"'}
        return web.Response(text=content, content_type="text/csv", charset="utf-8", headers=headers)

    async def _model(self, request: web.Request, viewer: Viewer) -> web.StreamResponse:
        """The model of a run, where the process can read it: on the local platform."""
        namespace, name = named_run(request)
        run = await viewer.client.get(FEDERATED_LEARNING, namespace, name)
        if self._site.download is None:
            raise Problem(Code.NOT_FOUND, "the dashboard cannot read models here", f"Use `panal models download {name} -n {namespace}`.")
        async with self._site.download(viewer.client, run) as content:
            response = web.StreamResponse(headers={"Content-Disposition": f'attachment; filename="{name}.safetensors"'})
            response.content_type = "application/octet-stream"
            piece = await anext(content, b"")  # if there is none to read, that is said on a page
            await secured(response).prepare(request)
            while piece:
                await response.write(piece)
                piece = await anext(content, b"")
        return response

    # --- actions ----------------------------------------------------------------------------------------------------
    async def _confirm(self, request: web.Request, viewer: Viewer) -> web.StreamResponse:
        namespace, name = named_run(request)
        run = await viewer.client.get(FEDERATED_LEARNING, namespace, name)
        facts = {"title": f"Stop {name}?", "section": "runs", "namespace": namespace, "name": name, "live": "", **self._around(viewer)}
        return _html(render("confirm.html", {**facts, "ended": (run.get("status") or {}).get("completionTime")}))

    async def _act(self, request: web.Request, viewer: Viewer) -> web.StreamResponse:
        form = {name: value for name, value in (await request.post()).items() if isinstance(value, str)}
        if not self._viewers.is_csrf(viewer, form.get("csrf", "")):
            raise Problem(
                Code.REFUSED, "the form is out of date, or does not come from this dashboard", "Load the page again, then repeat."
            )
        return web.Response(status=303, headers={"Location": await actions.act(viewer, request, form)})

    # --- signing in -------------------------------------------------------------------------------------------------
    def _form(self, message: str, following: str, status: int = 200) -> web.StreamResponse:
        facts = {"title": "Sign in", "section": "", "message": message, "next": following, "live": "", **self._around()}
        return _html(render("sign_in.html", facts), status)

    async def _sign_in_form(self, request: web.Request) -> web.StreamResponse:
        return self._form("", _own(request.query.get("next", "/")))

    async def _sign_in(self, request: web.Request) -> web.StreamResponse:
        assert isinstance(self._viewers, ManyViewers)
        form = await request.post()
        token, following = str(form.get("token", "")).strip(), _own(str(form.get("next", "/")))
        if not TOKEN.fullmatch(token) or not await self._accepted(token):
            return self._form("the API server does not accept this token", following, 401)
        response = web.Response(status=303, headers={"Location": following})
        self._viewers.set_cookie(response, self._viewers.enter(token))
        return response

    async def _accepted(self, token: str) -> bool:
        assert isinstance(self._viewers, ManyViewers)
        viewer = await self._viewers.with_token(token)
        try:
            await viewer.rights.may_list(FEDERATED_LEARNING)
        except ApiError:
            await self._viewers.refuse(viewer)
            return False
        return True

    async def _sign_out(self, request: web.Request) -> web.StreamResponse:
        assert isinstance(self._viewers, ManyViewers)
        self._viewers.forget(request)
        response = web.Response(status=303, headers={"Location": "/sign-in"})
        response.del_cookie(self._viewers.cookie, path="/", secure=True, httponly=True, samesite="Strict")
        return response

    async def _readyz(self, _: web.Request) -> web.StreamResponse:
        found = self._ready()
        return web.Response(text="".join(f"{each}\n" for each in found) or "ok\n", status=503 if found else 200)


async def _healthz(_: web.Request) -> web.StreamResponse:
    return web.Response(text="ok\n")


async def _nowhere(request: web.Request, _: Viewer) -> web.StreamResponse:
    raise Problem(Code.NOT_FOUND, "there is no such page", "Models are on the pages of their runs; `panal models` lists them.")


def _own(address: str) -> str:
    """An address of this server; anything else becomes the first page."""
    good = address.startswith("/") and not address.startswith(("//", "/\\")) and address.isprintable() and address.isascii()
    return address if good else "/"


def _html(content: str, status: int = 200) -> web.Response:
    return web.Response(text=content, status=status, content_type="text/html", charset="utf-8")
