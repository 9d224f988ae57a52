"""The alerts of the chart, judged by promtool: each fires on its fault, and not without it."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml

from panal.hub.scrape.reference import allow_list, names
from prometheus import promtool

ROOT = Path(__file__).parents[4]
FILE = ROOT / "charts/panal/files/alerts.yaml"
DASHBOARD = ROOT / "charts/panal/files/grafana-dashboard.json"
ALLOW_LIST = ROOT / "charts/panal/files/metrics.yaml"
PAGE = ROOT / "docs/how-to/watch-with-prometheus.md"
RULES = [rule for group in yaml.safe_load(FILE.read_text())["groups"] for rule in group["rules"]]

RUN = 'run_namespace="ns", run="digits"'
ONE = f'{RUN}, managed_cluster="c1"'
DAY = 86400
Series = dict[str, str]


class Case(NamedTuple):
    """Series (one value each minute, in promtool's notation) with the fault and without it, and the labels of the one alert that fires at
    `at` and not yet at `before`."""

    fault: Series
    healthy: Series
    labels: dict[str, str]
    at: str
    before: str = ""


OF_RUN = {"run_namespace": "ns", "run": "digits"}
OF_CLUSTER = OF_RUN | {"managed_cluster": "c1"}
LIFETIMES = {'panal_certificate_lifetime_seconds{certificate="cluster"}': f"{DAY}x200",
             'panal_certificate_lifetime_seconds{certificate="authority"}': f"{365 * DAY}x200"}  # fmt: skip
READY = f'panal_run_cluster_status{{{ONE}, state="Training", reason=""}}'
FAILED = f'panal_run_cluster_status{{{ONE}, state="Failed", reason="Crashing"}}'
OTHER = f'panal_run_cluster_status{{{ONE}, state="Failed", reason="NoReply"}}'
OK, ERROR = 'panal_reconciles_total{result="ok"}', 'panal_reconciles_total{result="error"}'
DEFECT, ADDON_DEFECT = 'panal_reconciles_total{result="defect"}', 'panal_addon_reconciles_total{result="defect"}'
ROUND, TOOK = f"panal_run_last_round_timestamp_seconds{{{RUN}}}", f"panal_run_last_round_duration_seconds{{{RUN}}}"
LOSSES = f"panal_run_aggregator_losses{{{RUN}}}"
GOOD, BAD = 'panal_kube_requests_total{verb="get", code="200"}', 'panal_kube_requests_total{verb="patch", code="503"}'

CASES = {
    "PanalRunWaits": [
        Case(
            {f'panal_run_status{{{RUN}, phase="Waiting", reason="NotEnoughClusters"}}': "1x60"},
            {
                f'panal_run_status{{{RUN}, phase="Waiting", reason="{reason}"}}': values
                for reason, values in {
                    "Suspended": "1x60",
                    "AggregatorStarting": "1x20 _x40",
                    "CollaboratorsStarting": "_x20 1x20",
                    "Training": "0x60",
                }.items()
            },
            OF_RUN | {"phase": "Waiting", "reason": "NotEnoughClusters"},
            "31m",
            "29m",
        ),
    ],
    "PanalRunFailed": [
        Case(
            {f'panal_run_status{{{RUN}, phase="Failed", reason="QuorumLost"}}': "1x60"},
            {
                f'panal_run_status{{{RUN}, phase="Failed", reason="Stopped"}}': "1x60",
                f'panal_run_status{{{RUN}, phase="Completed", reason="Completed"}}': "1x60",
            },
            OF_RUN | {"phase": "Failed", "reason": "QuorumLost"},
            "1m",
        ),
    ],
    "PanalRunStalls": [
        Case({ROUND: "0x60", TOOK: "60x60"}, {ROUND: "0+60x60", TOOK: "60x60"}, OF_RUN, "17m", "14m"),
        Case({ROUND: "0x60", TOOK: "120x60"}, {ROUND: "0x60", TOOK: "3600x60"}, OF_RUN, "22m", "19m"),
    ],
    "PanalAggregatorLost": [Case({LOSSES: "0x4 1x5 2x60"}, {LOSSES: "3x4 4x60"}, OF_RUN, "12m", "8m")],
    "PanalClusterFails": [
        Case({FAILED: "1x60"}, {READY: "1x60"}, OF_CLUSTER, "20m", "14m"),
        Case(
            {FAILED: "1x10 _x10 1x40", READY: "_x10 1x4 _x46", OTHER: "_x15 1x5"},
            {FAILED: "1x5 _x55", READY: "_x5 1x55"},
            OF_CLUSTER,
            "40m",
        ),
    ],
    "PanalRequestsRefused": [
        Case(
            {f"panal_run_cluster_refused_requests_total{{{ONE}}}": "0+1x60"},
            {f"panal_run_cluster_refused_requests_total{{{ONE}}}": "7x60"},
            OF_CLUSTER,
            "15m",
            "8m",
        ),
    ],
    "PanalCertificateNotRenewed": [
        Case(
            LIFETIMES | {'panal_cluster_certificate_expiry_timestamp_seconds{managed_cluster="c1"}': f"{int(DAY * 0.1) + 600}x60"},
            LIFETIMES | {'panal_cluster_certificate_expiry_timestamp_seconds{managed_cluster="c1"}': f"{int(DAY * 0.2)}x60"},
            {"managed_cluster": "c1"},
            "16m",
            "14m",
        ),
    ],
    "PanalAuthorityNotRotated": [
        Case(
            LIFETIMES | {'panal_authority_expiry_timestamp_seconds{authority="servers"}': f"{30 * DAY}x60"},
            LIFETIMES | {'panal_authority_expiry_timestamp_seconds{authority="servers"}': f"{110 * DAY}x60"},
            {"authority": "servers"},
            "6m",
            "4m",
        ),
    ],
    "PanalNotLeading": [
        Case({"panal_leader": "0x60"}, {'panal_leader{pod="a"}': "1x9 0x51", 'panal_leader{pod="b"}': "0x10 1x50"}, {}, "6m", "4m"),
        Case({"other": "1x60"}, {"panal_leader": "1x60"}, {}, "6m", "4m"),
    ],
    "PanalNotReady": [Case({'panal_problems{pod="a"}': "1x60"}, {'panal_problems{pod="a"}': "1x5 0x55"}, {"pod": "a"}, "11m", "9m")],
    "PanalReconcilesLate": [
        Case(
            {'panal_queue_oldest_age_seconds{queue="runs"}': "0+60x60"},
            {'panal_queue_oldest_age_seconds{queue="runs"}': "200x60"},
            {"queue": "runs"},
            "12m",
            "10m",
        ),
    ],
    "PanalReconcilesFail": [
        Case({OK: "0+1x60", ERROR: "0+3x60", DEFECT: "0x60"}, {OK: "0+3x60", ERROR: "0+1x60", DEFECT: "0x60"}, {}, "20m", "14m"),
    ],
    "PanalDefect": [
        Case(
            {OK: "0+1x60", DEFECT: "0x10 1x50", ADDON_DEFECT: "0x60"},
            {OK: "0+1x60", ERROR: "0+5x60", DEFECT: "2x60", ADDON_DEFECT: "0x60"},
            {"result": "defect"},
            "12m",
            "9m",
        ),
        Case({DEFECT: "0x60", ADDON_DEFECT: "0x10 1x50"}, {DEFECT: "0x60", ADDON_DEFECT: "1x60"}, {"result": "defect"}, "12m", "9m"),
    ],
    "PanalApiErrors": [
        Case(
            {GOOD: "0+8x60", BAD: "0+2x60"},
            {GOOD: "0+100x60", BAD: "0+2x60", 'panal_kube_requests_total{verb="apply", code="409"}': "0+50x60"},
            {},
            "15m",
            "9m",
        ),
    ],
    "PanalSeriesLeftOut": [
        Case(
            {'panal_runs_without_series{part="clusters"}': "3x90"},
            {'panal_runs_without_series{part="clusters"}': "0x90"},
            {"part": "clusters"},
            "61m",
            "59m",
        ),
    ],
}
FLAT = [pytest.param(name, case, id=f"{name}-{number}") for name, cases in CASES.items() for number, case in enumerate(cases)]


@pytest.mark.parametrize(("name", "case"), FLAT)
def test_an_alert_fires_on_its_fault_alone(tmp_path: Path, name: str, case: Case) -> None:
    rule = next(rule for rule in RULES if rule["alert"] == name)
    fires = {"exp_labels": case.labels | rule["labels"]}
    tests = [
        _test(case.fault, name, {case.at: [fires]} | ({case.before: []} if case.before else {})),
        _test(case.healthy, name, {f"{minute}m": [] for minute in range(1, 60)}),
    ]
    found = judged(tmp_path, tests)
    assert found == "SUCCESS", found


def test_promtool_sees_a_difference(tmp_path: Path) -> None:
    """The test above can fail."""
    case = CASES["PanalRunFailed"][0]
    assert "FAILED" in judged(tmp_path, [_test(case.fault, "PanalRunFailed", {"1m": []})])
    assert "FAILED" in judged(tmp_path, [_test(case.healthy, "PanalRunFailed", {"1m": [{"exp_labels": case.labels}]})])


def _test(series: Series, name: str, expected: dict[str, list[dict[str, object]]]) -> dict[str, object]:
    known = {"job": "panal-metrics", "instance": "10.0.0.1:8080"}
    return {
        "interval": "1m",
        "input_series": [{"series": _with(known, each), "values": values} for each, values in series.items()],
        "alert_rule_test": [{"eval_time": time, "alertname": name, "exp_alerts": alerts} for time, alerts in expected.items()],
    }


def _with(known: dict[str, str], series: str) -> str:
    name, _, labels = series.partition("{")
    added = ", ".join(f'{key}="{value}"' for key, value in known.items() if f"{key}=" not in labels)
    return f"{name}{{{labels.removesuffix('}')}{', ' if labels else ''}{added}}}"


def judged(folder: Path, tests: list[dict[str, object]]) -> str:
    """What promtool says: SUCCESS, or the differences. Labels that Prometheus adds and the values in texts are not compared."""
    rules = yaml.safe_load(FILE.read_text())
    for group in rules["groups"]:
        for rule in group["rules"]:
            rule["annotations"] = {}
            rule["expr"] = f"max without (job, instance) ({rule['expr']})"
    (folder / "rules.yml").write_text(yaml.safe_dump(rules))
    (folder / "tests.yml").write_text(yaml.safe_dump({"rule_files": ["rules.yml"], "evaluation_interval": "1m", "tests": tests}))
    done = subprocess.run([promtool(), "test", "rules", str(folder / "tests.yml")], capture_output=True, text=True, check=False)
    said = done.stdout + done.stderr
    return "SUCCESS" if done.returncode == 0 and "SUCCESS" in said else said


def test_promtool_finds_nothing_wrong() -> None:
    done = subprocess.run([promtool(), "check", "rules", str(FILE)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"SUCCESS: {len(RULES)} rules found" in done.stdout


def test_every_alert_is_tested_and_has_its_part_of_the_page() -> None:
    alerts = [rule["alert"] for rule in RULES]
    assert sorted(alerts) == sorted(CASES)
    headings = re.findall(r"^### (Panal\w+)$", PAGE.read_text(), re.MULTILINE)
    assert headings == alerts
    for rule in RULES:
        assert rule["annotations"]["runbook"] == f"{PAGE.relative_to(ROOT)}#{rule['alert'].lower()}"
        assert rule["labels"]["severity"] in ("info", "warning", "critical")


def test_the_chart_names_every_metric() -> None:
    assert ALLOW_LIST.read_text() == allow_list(), f"run: python -m panal.hub.scrape.reference {ALLOW_LIST.relative_to(ROOT)}"
    assert yaml.safe_load(allow_list()) == {"names": names()}


@pytest.mark.parametrize("file", [FILE, DASHBOARD], ids=lambda file: file.name)
def test_every_metric_that_is_used_exists(file: Path) -> None:
    used = set(re.findall(r"\bpanal_[a-z_]+[a-z]\b", file.read_text()))
    assert used
    assert used <= set(names())
