"""Which run a run is compared with, what the page says of it, and what a viewer must be allowed for that."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import pytest

from dashboards import history, row, run
from guarded_api import Right, reading
from panal.api import names
from panal.dashboard.compared import Other, app_of, base_of, comparison, offered, usual
from panal.dashboard.rows import run_row
from panal.dashboard.run import status_of


def at(day: int, name: str, phase: str = "Completed", image: str = "app:1", namespace: str = "ns", **status):
    made = run(name, namespace, phase, completionTime=f"2026-03-{day:02}T12:00:00Z" if phase in ("Completed", "Failed") else None, **status)
    made["metadata"]["creationTimestamp"] = f"2026-03-{day:02}T11:00:00Z"
    made["spec"]["server"]["image"] = image
    return made


def evaluation(made):
    made["spec"]["mode"] = "Evaluate"
    return made


def text(page: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page))


@pytest.mark.parametrize(
    ("others", "wanted"),
    [
        ([at(1, "digits-1"), at(2, "digits-2"), at(9, "digits-9")], "digits-2"),  # the newest earlier one
        ([at(1, "digits-1"), at(2, "digits-2", "Failed")], "digits-1"),
        ([at(1, "digits-1"), at(2, "elsewhere", namespace="other")], "digits-1"),
        ([at(1, "words", image="app:7")], "words"),  # the same app with another tag
        ([at(1, "digits-2026-02-01", image="other:1")], "digits-2026-02-01"),
        ([at(1, "words", image="other:1")], ""),
        ([at(1, "digits-1"), evaluation(at(2, "digits-2"))], "digits-1"),
        ([], ""),
    ],
)
def test_the_usual_one_is_the_last_completed_run_of_the_app(others, wanted):
    this = at(5, "digits-5", "Running")
    rows = [run_row(each) for each in (this, *others)]
    assert usual(this, datetime(2026, 3, 5, 11, tzinfo=UTC), rows) == wanted


def test_runs_that_have_ended_are_offered_with_the_newest_first():
    rows = [
        run_row(each) for each in (at(1, "a"), at(2, "b", "Failed"), at(3, "c", "Running"), at(4, "d", namespace="other"), at(5, "digits"))
    ]
    rows.append(run_row(evaluation(at(4, "e"))))
    assert offered(at(5, "digits"), rows) == ["b", "a"]


def test_names_of_apps_and_runs():
    assert [app_of(each) for each in ("r:5000/a/app:1", "app@sha256:0", "app")] == ["r:5000/a/app", "app", "app"]
    assert [base_of(each) for each in ("digits-2", "digits-2026-03-01", "digits", "42")] == ["digits", "digits", "digits", "42"]


def test_a_comparison_has_all_metrics_and_the_settings_that_differ():
    before, now = at(1, "old", metrics={"accuracy": 0.8, "loss": 0.5}), at(2, "new", metrics={"accuracy": 0.9, "f": 1.0})
    before["spec"]["server"]["runConfig"], now["spec"]["server"]["runConfig"] = {"lr": 0.1, "epochs": 2}, {"lr": 0.5, "epochs": 2}
    found = comparison(now, status_of(now), Other("old", status_of(before), before["spec"], ""))
    assert [(each.metric, each.change) for each in found.metrics] == [("accuracy", "better"), ("f", ""), ("loss", "")]
    assert found.settings == {"lr": ("0.1", "0.5")}


async def test_the_page_compares_with_the_last_run_or_the_chosen_one(api, owner):
    await api.change(
        at(5, "digits", "Running", metrics={"accuracy": 0.91, "loss": 0.3}),
        at(1, "digits-1", metrics={"accuracy": 0.95, "loss": 0.4}),
        at(2, "digits-2", metrics={"accuracy": 0.85}),
        history("digits-2", rounds=[row(1, 0.85)]),
    )
    page = (await owner.get("/runs/ns/digits"))[1]
    assert "accuracy 0.91 0.85 +0.06 (better)" in text(page)
    assert "digits-2 (overall)" in page
    page = (await owner.get("/runs/ns/digits?with=digits-1"))[1]
    assert "accuracy 0.91 0.95 -0.04 (worse)" in text(page)
    assert "loss 0.3 0.4 -0.1 (better)" in text(page)
    assert "<option selected>digits-1</option>" in page


@pytest.mark.parametrize(
    ("name", "said"),
    [("none", "cannot be read"), ("../../x", "There is no such run"), ("<script>", "There is no such run"), ("digits", "not ended")],
)
async def test_a_run_that_cannot_be_compared_with_is_said(owner, name, said):
    answer, page = await owner.get("/runs/ns/digits", params={"with": name})
    assert answer.status == 200
    assert said in text(page)
    assert "<script>" not in page


async def test_the_other_run_is_read_with_the_viewers_rights(api, member):
    await api.change(at(1, "digits-1", metrics={"accuracy": 0.5}), history("digits-1", rounds=[row(1, 0.5)]))
    assert "digits-1 (overall)" in (await member.get("/runs/ns/digits?with=digits-1"))[1]
    assert "There is no such run" in text((await member.get("/runs/ns/digits", params={"with": "other/secret"}))[1])


async def test_without_the_right_to_read_histories_there_are_no_curves_of_the_other_run(api, hub):
    api.rights["half"] = reading(names.PLURAL, namespace="ns") | {Right("get", names.PLURAL, "ns")}
    await api.change(at(1, "digits-1", metrics={"accuracy": 0.5}), history("digits-1", rounds=[row(1, 0.5)]))
    page = text((await hub.with_headers(Authorization="Bearer half").get("/runs/ns/digits?with=digits-1"))[1])
    assert "The history of digits-1 cannot be read" in page
    assert "digits-1 (overall)" not in page
