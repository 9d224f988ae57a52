"""Every page, as whoever started the dashboard sees it; and what its texts cannot do."""

from __future__ import annotations

import asyncio
import json
import re
import threading
from contextlib import asynccontextmanager
from html.parser import HTMLParser

import pytest

from dashboards import HOSTILE, addon, cluster, event, history, progress, row, run
from panal.api import names
from panal.dashboard import assets
from panal.dashboard.app import RUN, VIEWS
from panal.dashboard.chart import Chart
from panal.dashboard.run import conditions, status_of
from panal.dashboard.security import POLICY

TABS = ("", "/clusters", "/placement", "/events", "/logs", "/stop")
PAGES = ("/", "/runs", "/clusters", "/clusters/site-a", *(f"/runs/ns/digits{tab}" for tab in TABS))


class Elements(HTMLParser):
    """Of a page: elements, attributes, and the problems of its structure."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self._open: list[str] = []
        self.feed(page)
        assert self._open == [], f"not closed: {self._open}"

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attributes]
        if tag not in ("meta", "link", "input", "br", "img"):
            self._open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attributes]

    def handle_endtag(self, tag):
        assert self._open, f"</{tag}> without a beginning"
        assert self._open.pop() == tag

    def values(self, name: str) -> list[str]:
        return [value for _, found, value in self.attributes if found == name]


@pytest.mark.parametrize("path", PAGES)
async def test_pages(owner, path):
    answer, page = await owner.get(path)
    assert answer.status == 200
    found = Elements(page)
    assert not [each for each in found.attributes if each[1] == "style" or (each[1].startswith("on") and each[0] != "svg")]
    assert found.tags.count("h1") == 1
    assert found.tags.count("main") == 1
    ids = found.values("id")
    assert sorted(ids) == sorted(set(ids)), "an id twice"
    assert set(re.findall(r"<script[^>]*>(.*?)</script>", page)) == {""}  # none has a content
    fields = [each for each in re.findall(r"<(?:input|select)[^>]*>", page) if 'type="hidden"' not in each]
    assert page.count("<label") >= len(fields)


@pytest.mark.parametrize("path", [*PAGES, "/runs/ns/none", "/nowhere", "/static/x/panal.css"])
async def test_every_answer_has_the_headers(owner, path):
    answer, _ = await owner.get(path)
    assert answer.headers["Content-Security-Policy"] == POLICY
    assert "unsafe" not in POLICY
    assert answer.headers["X-Frame-Options"] == "DENY"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Cross-Origin-Opener-Policy"] == "same-origin"


async def test_what_the_pages_say(owner):
    said = {path: re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", (await owner.get(path))[1])) for path in PAGES}
    assert "digits ns Running" in said["/"]
    assert "2 can take part" in said["/"]
    assert "digits ns Running 2 of 5 2/5 about 36 s left" in said["/runs"].replace("&nbsp;", " ")
    assert "data =pvc://digits 8 16.0 GiB 2" in said["/clusters"]
    assert "ns/digits" in said["/clusters"]
    assert "data pvc://digits" in said["/clusters/site-a"]
    run_page = said["/runs/ns/digits"]
    for words in ("about 36 s left", "accuracy 0.91", "train: 11 s", "There is no stored model yet"):
        assert words in run_page, words
    clusters = said["/runs/ns/digits/clusters"]
    for words in ("site-a Training Connected 2 3.0 s 2.0 KiB 1.0 KiB", "2 requests refused", "site-c Pending Waiting"):
        assert words in clusters, words
    assert "RoundCompleted round 2 of 5 completed" in said["/runs/ns/digits/events"]


async def test_a_private_run_shows_what_its_sites_have_spent(api, owner):
    _, page = await owner.get("/runs/ns/digits")
    assert "Privacy" not in page
    await api.change(run(privacy={"delta": 1e-5, "plannedEpsilon": 28.3735, "epsilon": 4.37718, "updates": 1}))
    _, page = await owner.get("/runs/ns/digits")
    assert "ε at most 4.377 for a site" in page
    assert "δ 1e-05, planned ε 28.37" in page


async def test_a_run_with_secure_aggregation_shows_who_has_dropped_out(api, owner):
    await api.change(run(privacy={"secureAggregation": {"threshold": 3, "dropped": ["site-b"]}}))
    _, page = await owner.get("/runs/ns/digits")
    assert "3 clusters had to stay in the last round" in page
    assert "site-b dropped out" in page
    assert "ε" not in page
    await api.change(run(privacy={"secureAggregation": {}}))
    assert "no round yet" in (await owner.get("/runs/ns/digits"))[1]


async def test_the_log_is_that_of_the_apps_container(api, owner):
    api.logs["digits-aggregator-x"] = "INFO :      [ROUND 1]\n\x1b[2Jclear\nplain\n"
    _, page = await owner.get("/runs/ns/digits/logs")
    assert "container superlink" in page
    assert "plain" in page
    assert "\x1b" not in page


async def test_the_values_as_csv(api, owner):
    await api.change(history(rounds=[row(1, 0.8, metrics={"=cmd()": 1.0, "accuracy": 0.8})]))
    answer, content = await owner.get("/runs/ns/digits/metrics.csv")
    assert answer.headers["Content-Disposition"] == 'attachment; filename="metrics.csv"'
    assert "1,,'=cmd(),1.0\r\n" in content
    assert "1,site-a,loss,1.0\r\n" in content


async def test_charts_are_drawn_beside_the_event_loop(api, owner, monkeypatch):
    drawn_by, draw = [], Chart.svg
    monkeypatch.setattr(Chart, "svg", lambda chart, name: drawn_by.append(threading.current_thread()) or draw(chart, name))
    await api.change(history(rounds=[row(1, 0.8), row(2, 0.9)]))
    _, page = await owner.get("/runs/ns/digits")
    assert '<svg class="chart"' in page
    assert drawn_by
    assert threading.current_thread() not in drawn_by


@pytest.mark.parametrize("text", HOSTILE)
async def test_texts_of_apps_and_sites_stay_texts(api, owner, text):
    rounds = [row(1, 0.8, metrics={text: 0.8}, clusters={"site-a": {"metrics": {text: 1.0}, "reason": "Odd", "message": text}})]
    collaborators = [{"cluster": "site-a", "state": "Failed", "reason": text, "message": text, "metrics": {text: 1.0}}]
    conditions = [{"type": "Odd", "status": "True", "reason": text, "message": text, "lastTransitionTime": "2026-03-01T11:00:00Z"}]
    status = {"message": text, "headlineMetric": text, "collaborators": collaborators, "conditions": conditions}
    changed = run(phase="Failed", **status)
    changed["spec"]["server"]["image"] = text
    await api.change(changed, history(rounds=rounds), progress(), event(text, reason=text), cluster("site-a", **{text: text}))
    api.logs["digits-aggregator-x"] = f"{text}\n"
    for path in PAGES:
        answer, page = await owner.get(path)
        assert answer.status == 200, path
        found = Elements(page)
        assert "img" not in found.tags, path
        assert found.tags.count("script") == 3, path
        assert not [each for each in found.attributes if each[1].startswith("on")], path
        assert "alert(1)" not in "".join(found.values("href")), path
        assert "\u202e" not in page, path
        assert "Set-Cookie" not in answer.headers, path


@pytest.mark.parametrize(
    "path",
    [
        "/runs/ns/%3Cscript%3E",
        "/runs/ns/x%0d%0aSet-Cookie:%20a=b",
        "/runs/..%2f..%2fapi/x",
        "/runs/ns/..",
        "/runs/%2e%2e/x",
        "/runs/ns/a,b%3Dc",
    ],
)
async def test_an_address_that_names_no_run_reaches_nothing(api, owner, path):
    before = len(api.asked)
    for method in ("GET", "POST"):
        answer, page = await owner.ask(method, path if method == "GET" else f"{path}/suspend", headers={"Sec-Fetch-Site": "same-origin"})
        assert answer.status in (403, 404, 405)
        assert "<script>" not in page
        assert "Set-Cookie" not in answer.headers
    assert not [each for each in api.asked[before:] if each[1] != "GET" or "federatedlearnings/" in each[2]]


async def test_filters_are_in_the_page_as_text(owner):
    _, page = await owner.get("/runs", params={"text": '"><script>alert(1)</script>', "order": "name"})
    assert Elements(page).tags.count("script") == 3
    assert "No run matches (of 2)" in page


async def test_assets_are_kept_by_browsers_and_only_those_that_exist(owner):
    for name in assets.assets():
        answer, _ = await owner.get(assets.address(name))
        assert answer.status == 200
        assert "immutable" in answer.headers["Cache-Control"]
    for path in ("/static/x/panal.css", "/static/000000000000/..%2fmain.py", f"{assets.address('panal.css')}x"):
        answer, _ = await owner.get(path)
        assert answer.status == 404


async def test_a_run_that_does_not_exist(owner):
    answer, page = await owner.get("/runs/ns/none")
    assert answer.status == 404
    assert "Check the name and the namespace" in page


async def test_a_history_that_cannot_be_read_is_said(api, owner):
    broken = history()
    broken["binaryData"]["history"] = "bm90IGd6aXA="
    await api.change(broken)
    _, page = await owner.get("/runs/ns/digits")
    assert "The history cannot be read" in page


def words(page: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page))


async def test_an_address_without_a_page_has_a_page_that_says_so(owner, laptop):
    answer, page = await owner.get("/models")
    assert answer.status == 404
    assert "There is no such page" in words(page).replace("there", "There")
    assert 'href="/runs"' in page
    async with laptop() as (_, visitor):
        assert (await visitor.get("/models"))[0].status == 401


async def test_why_a_cluster_failed_is_in_the_rounds_and_beside_the_cluster(api, owner):
    told = {
        "site-a": {"seconds": 3.0},
        "site-b": {"reason": "FileNotFoundError", "message": "no labels.csv"},
        "site-c": {"reason": "OSError"},
    }
    failed = {"site-b": "FileNotFoundError", "site-c": "OSError"}
    await api.change(history(rounds=[row(1, 0.8), row(2, 0.9, failures=2, failed=failed, clusters=told), row(3, 0.9)]))
    page = (await owner.get("/runs/ns/digits"))[1]
    assert "site-b : FileNotFoundError no labels.csv" in words(page)
    assert 'href="/runs/ns/digits/clusters#run-cluster-site-b"' in page
    said = words((await owner.get("/runs/ns/digits/clusters"))[1])
    assert "2 FileNotFoundError no labels.csv Connected" in said
    assert "2 OSError Its text stays at the site: panal logs digits -n ns --cluster site-c" in said


async def test_a_slow_cluster_is_marked_and_comes_after_the_failed(api, owner):
    clusters = {"site-a": {"seconds": 30.0}, "site-b": {"seconds": 3.0}, "site-c": {"seconds": 3.0}}
    failing = {**clusters, "site-c": {"reason": "OSError"}}
    await api.change(
        history(rounds=[row(1, 0.8, clusters=clusters), row(2, 0.9, failures=1, failed={"site-c": "OSError"}, clusters=failing)])
    )
    page = (await owner.get("/runs/ns/digits/clusters"))[1]
    assert re.findall(r'id="run-cluster-([^"]+)"', page) == ["site-c", "site-a", "site-b"]
    assert "median in rounds 1" in page


async def test_a_cluster_says_how_long_it_trained_in_each_run(api, owner):
    await api.change(run(collaborators=[{"cluster": "site-a", "state": "Failed", "seconds": 14.0}, {"cluster": "site-b", "state": "Done"}]))
    assert "2/5 14 s Failed" in words(await eventually_has(owner, "/clusters/site-a", "14 s"))
    assert 'href="/runs/ns/digits/clusters#run-cluster-site-a"' in (await owner.get("/clusters/site-a"))[1]


async def test_the_round_that_goes_on_is_shown_with_what_it_waits_for(api, owner):
    told = progress()
    told["data"]["progress"] = json.dumps({"started": True, "roundsCompleted": 2, "waiting": "waits for site-b"})
    await api.change(told)
    assert re.search(r"3 going on for [^<]+ waits for site-b", words((await owner.get("/runs/ns/digits"))[1]))
    await api.change(run(phase="Failed"))
    assert "going on" not in await eventually_has(owner, "/runs/ns/digits", "badge failed")


async def test_the_facts_of_a_run_have_its_settings(api, owner):
    made = run()
    made["spec"]["server"] |= {"minAvailableClients": 2, "runConfig": {"learning-rate": 0.05}}
    await api.change(made)
    said = words((await owner.get("/runs/ns/digits"))[1])
    assert "2 clusters (minAvailableClients)" in said
    assert "learning-rate = 0.05" in said


def condition(kind: str, status: str, message: str = "") -> dict[str, str]:
    return {"type": kind, "status": status, "reason": "R", "message": message, "lastTransitionTime": "2026-03-01T11:00:00Z"}


@pytest.mark.parametrize(
    ("phase", "found", "marks", "expected"),
    [
        ("Failed", condition("Failed", "True"), "bad", False),
        ("Failed", condition("Complete", "False"), "neutral", True),
        ("Failed", condition("AggregatorReady", "False"), "neutral", True),
        ("Running", condition("AggregatorReady", "False"), "warn", False),
        ("Running", condition("Failed", "False"), "neutral", True),
        ("Running", condition("ClustersSelected", "True"), "good", True),
        ("Running", condition("SpecAccepted", "True", "no effect: x"), "good", False),
        ("Completed", condition("ModelSuspect", "True"), "warn", False),
        ("Completed", condition("Validated", "False"), "bad", False),
        ("Completed", condition("Exported", "True"), "good", False),
        ("Completed", condition("Published", "True"), "good", False),
        ("Completed", condition("Published", "False"), "bad", False),
        ("Completed", condition("Countersigned", "True"), "good", False),
        ("Completed", condition("Countersigned", "False"), "warn", False),
        ("Completed", condition("Countersigned", "Unknown") | {"reason": "Countersigning"}, "neutral", False),
        ("Completed", condition("Complete", "True"), "good", True),
    ],
)
def test_conditions_are_coloured_by_their_meaning(phase, found, marks, expected):
    (told,) = conditions(status_of(run(phase=phase, conditions=[found])))
    assert (told.mark, told.expected) == (marks, expected)


async def test_certificates_that_are_fine_take_one_line(api, owner):
    said = words((await owner.get("/"))[1])
    assert re.search(r"All 2 certificates are valid ; the first ends in \d+ d", said), said
    late = addon("site-a")
    issued = [{"serial": "1f", "notBefore": "2026-03-01T00:00:00+00:00", "notAfter": "2026-03-02T00:00:00+00:00"}]
    late["metadata"]["annotations"] = {names.ANNOTATION_CERTIFICATES: json.dumps(issued)}
    await api.change(late)
    assert "Certificates that are overdue" in await eventually_has(owner, "/", "overdue")


async def eventually_has(owner, path: str, text: str) -> str:
    """The page once it has the text: the lists follow the watch."""
    async with asyncio.timeout(10):
        while text not in (page := (await owner.get(path))[1]):
            await asyncio.sleep(0.02)
    return page


MODEL = {"uri": "pvc://models/x/model.safetensors", "digest": "sha256:" + "0" * 64, "size": 6, "round": 5}


async def test_the_export_and_the_publication_of_a_model_are_on_the_page(api, owner):
    digest = "sha256:" + "0" * 64
    files = [{"name": "model.onnx", "size": 2048, "digest": digest, "check": "<b>loaded by onnxruntime 1.2"}]
    export = {"uri": "pvc://models/x/export", "files": files, "count": 1, "size": 2048, "digest": digest, "time": "2026-01-01T00:00:00Z"}
    registry = {"name": "digits", "version": "digits-a-b", "id": "4", "uri": "model-registry://registry/digits/digits-a-b"}
    mlflow = {"name": "digits", "version": "1", "uri": "models:/digits/1"}
    publish = {"mlflow": mlflow, "modelRegistry": registry, "time": "2026-01-01T00:00:00Z"}
    await api.change(run(phase="Completed", model=MODEL, export=export, publish=publish))
    page = (await owner.get("/runs/ns/digits"))[1]
    assert "<code>model.onnx</code> 2.0 KiB" in page
    assert "&lt;b&gt;loaded by onnxruntime 1.2" in page
    assert "Published to MLflow: <code>models:/digits/1</code>" in page
    assert "Published to the Model Registry: <code>model-registry://registry/digits/digits-a-b</code>" in page


async def test_a_model_that_the_process_can_read_is_downloaded(api, laptop):
    @asynccontextmanager
    async def download(client, obj):
        yield pieces(obj["metadata"]["name"])

    async def pieces(name):
        if name == "broken":
            raise FileNotFoundError(2, "No such file or directory")
        yield b"abc"
        yield b"def"

    await api.change(run(phase="Completed", model=MODEL), run("broken", phase="Completed", model=MODEL))
    async with laptop(download=download) as (address, visitor):
        answer, _ = await visitor.get(address.removeprefix(visitor.base))
        owner = visitor.with_headers(Cookie=answer.headers["Set-Cookie"].split(";")[0])
        assert 'href="/runs/ns/digits/model"' in (await owner.get("/runs/ns/digits"))[1]
        answer, content = await owner.get("/runs/ns/digits/model")
        assert content == "abcdef"
        assert answer.headers["Content-Disposition"] == 'attachment; filename="digits.safetensors"'
        assert answer.headers["Content-Security-Policy"] == POLICY
        answer, page = await owner.get("/runs/ns/broken/model")
        assert answer.status == 404
        assert "No such file" in page
        assert (await visitor.get("/runs/ns/digits/model"))[0].status == 401


async def test_elsewhere_the_page_has_the_command(api, owner):
    await api.change(run(phase="Completed", model=MODEL))
    _, page = await owner.get("/runs/ns/digits")
    assert "panal models download digits -n ns" in page
    assert 'id="download"' not in page
    assert (await owner.get("/runs/ns/digits/model"))[0].status == 404


def test_every_view_has_a_page_and_updates():
    assert len(VIEWS) == 9
    assert {f"{RUN}{tab}" for tab in TABS if tab != "/stop"} <= set(VIEWS)


EVALUATION = {
    "uri": "pvc://models/x/evaluation.json", "digest": "sha256:" + "0" * 64, "metric": "accuracy", "goal": "Maximize", "sites": 1,
    "without": 1, "examples": 20, "weightedMean": 0.7, "worstSite": "site-a", "worst": 0.71234, "spread": 0.0,
    "standardDeviation": 0.0, "compared": 1,
    "better": 1,
    "table": [
        {"cluster": "site-b", "reason": " ".join(HOSTILE)},
        {"cluster": "site-a", "examples": 20, "globalModel": {"accuracy": 0.71234}, "localModel": {"accuracy": 0.5}, "difference": 0.21234},
    ],
}  # fmt: skip


def evaluating(**status):
    made = run(initialModel={"uri": "pvc://models/y/model.safetensors", "digest": "sha256:1", "run": "before"}, **status)
    made["spec"]["mode"] = "Evaluate"
    return made


async def test_an_evaluation_is_a_table_with_the_worst_site_first(api, owner):
    await api.change(evaluating(phase="Completed", evaluation=EVALUATION))
    _, page = await owner.get("/runs/ns/digits")
    elements = Elements(page)
    assert "/runs/ns/before" in elements.values("href")
    assert not {"t-model", "t-compared", "do-rounds"} & set(elements.values("id"))
    said = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page))
    assert "Worst site site-a: accuracy 0.7123 (higher is better)" in said
    assert "site-a 20 0.7123 0.5 0.2123" in said
    assert "Better than local at 1 of 1 site" in said
    assert "Without a value 1 site" in said
    assert "Curves" not in said
    assert said.index("Evaluation at the sites") < said.index("Stragglers and failures")
    assert not [each for each in HOSTILE if each in page and "<" in each]


async def test_an_evaluation_that_goes_on_has_no_table_and_takes_no_more_rounds(api, owner):
    await api.change(evaluating())
    _, page = await owner.get("/runs/ns/digits")
    found = Elements(page).values("id")
    assert "do-suspend" in found
    assert "do-rounds" not in found
    assert "The table of the sites is there when all rounds are complete." in page
    await api.change(evaluating(phase="Failed"))
    _, page = await owner.get("/runs/ns/digits")
    assert "There is no result." in page
