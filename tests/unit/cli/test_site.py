"""`panal site` at the embedded API server: what the owner of a site sees and decides. The ledger is in tests/real."""

from __future__ import annotations

import json
import sys
from copy import deepcopy
from typing import Any

import pytest

import site_pods
from api import Api, api
from panal.api import names
from panal.cli import site
from panal.cli.main import main
from panal.client.problem import Code
from panal.client.site import Here, Ledger, Site
from panal.kube import kinds
from panal.kube.errors import KubeError
from panal.kube.times import now_utc
from panal.privacy.accountant import epsilon, rounded_up
from panal.site.budgets import Spender, Terms, Usage
from panal.site.crd import crd
from panal.site.policy import SitePolicySpec
from panal.site.request import Asked, asked

RULE = {"name": "research", "data": ["pvc://digits"], "images": ["registry.example.com/app@*"]}
REQUEST = asked(site_pods.pod()).id


@pytest.fixture
def owner(server) -> Api:
    """A site with the CRD, and without a policy."""
    found = api(server.kubeconfig)
    found.apply(crd())
    found.make_namespace(names.COLLABORATOR_NAMESPACE)
    for account in (names.ADDON, "default"):
        found.apply(
            {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": account, "namespace": names.COLLABORATOR_NAMESPACE}}
        )
    for pod in found.list(kinds.POD):
        found.delete(kinds.POD, names.COLLABORATOR_NAMESPACE, pod["metadata"]["name"])
    found.delete(kinds.SITE_POLICY, "", names.SITE_POLICY)
    return found


def write_policy(owner: Api, *rules: dict[str, Any], **fields: Any) -> None:
    spec = {"panalImages": [f"{site_pods.PANAL}/*"], "rules": list(rules)} | fields
    owner.apply({"apiVersion": names.API_VERSION, "kind": names.SITE_KIND, "metadata": {"name": names.SITE_POLICY}, "spec": spec})


def policy(owner: Api) -> dict[str, Any]:
    found: dict[str, Any] = owner.get(kinds.SITE_POLICY, "", names.SITE_POLICY)["spec"]
    return found


def add(owner: Api, pod_name: str, *, gated: bool = True, said: dict[str, Any] | None = None) -> None:
    pod = deepcopy(site_pods.pod(said=said))
    pod["metadata"]["name"] = pod_name
    del pod["metadata"]["uid"]
    if not gated:
        del pod["spec"]["schedulingGates"]
    owner.create(pod)


@pytest.fixture
def panal(server, capsys, monkeypatch):
    """Runs a command; returns its exit code, output and errors."""

    def run(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["panal", *words, "--kubeconfig", str(server.kubeconfig)])
        with pytest.raises(SystemExit) as end:
            main()
        out, err = capsys.readouterr()
        return int(end.value.code or 0), out, err

    return run


def test_without_the_site_controller_the_command_says_what_to_install(server, panal) -> None:
    code, _, err = panal("site")
    assert code == Code.NOT_FOUND
    assert "the site controller is not installed" in err
    assert "deploy/site.yaml" in err


def test_without_a_policy_nothing_may_run(owner, panal) -> None:
    code, out, err = panal("site")
    assert code == Code.OK
    assert "no run is here" in out
    assert "there is no SitePolicy site, so nothing may run here" in err
    assert "the site controller is not ready" in err
    code, _, err = panal("site", "stop")
    assert code == Code.NOT_FOUND


def test_runs_are_shown_with_what_they_ask_and_why_they_wait(owner, panal) -> None:
    write_policy(owner, RULE | {"purposes": ["research"], "approval": "Required"})
    add(owner, "digits-0")
    add(owner, "other-0", said={"name": "other", "purpose": "marketing"})
    add(owner, "works-0", gated=False, said={"name": "works"})
    code, out, _ = panal("site")
    lines = {line.split()[1]: line for line in out.splitlines() if "ns/" in line}
    assert code == Code.OK
    assert "Waits for you" in lines["ns/digits"]
    assert REQUEST[:12] in lines["ns/digits"]
    assert "pvc://digits/train" in lines["ns/digits"]
    assert "Refused" in lines["ns/other"]
    assert "marketing is not in purposes" in lines["ns/other"]
    assert "Running" in lines["ns/works"]
    assert "panal site approve REQUEST" in out


def test_a_pod_that_is_not_recognized_is_shown(owner, panal) -> None:
    write_policy(owner, RULE)
    pod = site_pods.pod()
    pod["spec"]["hostNetwork"] = True
    owner.create({**pod, "metadata": {k: v for k, v in pod["metadata"].items() if k != "uid"}})
    _, out, _ = panal("site")
    assert "spec.hostNetwork is not as in a collaborator of panal" in out


def test_approve_and_refuse_write_the_policy(owner, panal) -> None:
    write_policy(owner, RULE | {"approval": "Required"})
    add(owner, "digits-0")
    assert panal("site", "approve", REQUEST[:12])[0] == Code.OK
    assert policy(owner)["approved"] == [REQUEST]
    code, out, _ = panal("site", "refuse", REQUEST)
    assert (code, "refused:" in out) == (Code.OK, True)
    assert (policy(owner)["approved"], policy(owner)["refused"]) == ([], [REQUEST])
    assert policy(owner)["rules"][0]["name"] == "research"
    code, _, err = panal("site", "approve", "0" * 12)
    assert code == Code.NOT_FOUND
    assert REQUEST[:12] in err


def test_stop_ends_what_works_and_keeps_what_waits(owner, panal) -> None:
    write_policy(owner, RULE)
    add(owner, "works-0", gated=False)
    add(owner, "waits-0")
    owner.create(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "of-the-owner", "namespace": names.COLLABORATOR_NAMESPACE},
            "spec": {"containers": [{"name": "fill", "image": "registry.example.com/tools"}]},
        }
    )
    code, out, _ = panal("site", "stop")
    assert (code, "everything is stopped" in out) == (Code.OK, True)
    assert policy(owner)["suspend"] is True
    assert {pod["metadata"]["name"] for pod in owner.list(kinds.POD)} == {"waits-0", "of-the-owner"}
    assert "Suspended" in panal("site")[1]
    assert "go on" in panal("site", "resume")[1]
    assert policy(owner)["suspend"] is False
    assert "was not suspended" in panal("site", "resume")[1]


def test_json_has_everything(owner, panal) -> None:
    write_policy(owner, RULE)
    add(owner, "digits-0")
    content = json.loads(panal("site", "-o", "json")[1])
    (pod,) = content["pods"]
    assert (pod["code"], pod["asked"]["request"], content["policy"]["suspend"]) == ("", REQUEST, False)


BUDGETED = SitePolicySpec.model_validate(
    {"panalImages": [f"{site_pods.PANAL}/*"], "rules": [RULE], "privacyBudgets": [{"data": "pvc://digits", "epsilon": 4}]}
)
PRIVATE = asked(site_pods.pod(privacy={"differentialPrivacy": {"clippingNorm": 1, "noiseMultiplier": 2}}))


def here(request: Asked, *, running: bool) -> Here:
    return Here("digits-0", request, "", running, "", now_utc())


def test_budgets_are_shown_with_what_is_spent_and_what_runs_may_still_spend(capsys) -> None:
    others = Usage({("pvc://digits", 2.0): 2, ("pvc://digits", 0.0): 1}, {"other": Spender(2, 2, Terms("pvc://digits", 2.0, 3))})
    found = Site(BUDGETED, "", True, [here(PRIVATE, running=False)], Ledger(others))
    site._print(found)
    out, err = capsys.readouterr()
    budget, row = (line for line in out.splitlines() if "pvc://digits" in line)
    two, three, six = (f"{rounded_up(epsilon(n, 2.0, 1e-5)):g}" for n in (2, 3, 6))
    assert budget.split() == ["pvc://digits", two, f"{float(three) - float(two):g}", "4", "1e-05", "2"]
    assert "updates about pvc://digits without noise: 1 have left" in err
    assert "Refused" in row
    for word in (f"{two} is spent", f"{three} with what other runs here may still spend", f"{six} with 3 more updates of this run"):
        assert word in row
    (record,) = site._content(found)["privacyBudgets"]
    assert (record["spent"], record["limit"], record["updates"], record["unprotected"]) == (float(two), 4, 2, 1)
    assert site._content(found)["pods"][0]["code"] == "PrivacyBudgetSpent"


def test_budgets_that_cannot_be_read_are_not_shown_as_unspent(capsys) -> None:
    found = Site(BUDGETED, "", False, [])
    site._print(found)
    out, err = capsys.readouterr()
    assert "what is spent of the privacy budgets is not known" in err
    assert "pvc://digits" not in out
    assert site._content(found)["privacyBudgets"] is None


def test_a_run_that_has_reached_a_limit_is_shown_as_refused(capsys) -> None:
    limited = SitePolicySpec.model_validate({"panalImages": [f"{site_pods.PANAL}/*"], "rules": [RULE | {"maxRounds": 2}]})
    site._print(Site(limited, "", True, [here(PRIVATE, running=False)], Ledger(Usage(), {PRIVATE.key: (10, 3, 0)})))
    assert "Refused" in capsys.readouterr().out


@pytest.mark.parametrize("wrong", [{"epsilon": 0}, {"delta": 0}])
def test_a_budget_of_nothing_is_refused(owner, wrong: dict[str, Any]) -> None:
    with pytest.raises(KubeError, match=next(iter(wrong))):
        write_policy(owner, RULE, privacyBudgets=[{"data": "pvc://digits", "epsilon": 1} | wrong])


def test_answers_move_between_the_lists() -> None:
    assert site.decided({}, "a", True) == {"approved": ["a"], "refused": []}
    assert site.decided({"approved": ["a", "b"]}, "a", True) == {"approved": ["a", "b"], "refused": []}
    assert site.decided({"approved": ["a", "b"], "refused": ["c"]}, "a", False) == {"approved": ["b"], "refused": ["c", "a"]}


ENTRIES: list[tuple[dict[str, Any], str]] = [
    ({"kind": "asked", "request": "1", "data": "pvc://digits", "image": "app"}, "1, pvc://digits, app"),
    ({"kind": "decided", "verdict": "Refused", "code": "DataNotAllowed", "text": "why"}, "Refused DataNotAllowed why"),
    ({"kind": "left", "type": "train", "round": "3", "bytes": 2048, "digest": "a" * 64}, "train, round 3, 2.0 KiB, " + "a" * 16),
    (
        {"kind": "left", "type": "train", "round": "1", "bytes": 1, "digest": "d", "budgets": [{"data": "pvc://a", "epsilon": 1.5}]},
        "train, round 1, 1 B, d, ε 1.5 of pvc://a",
    ),
    ({"kind": "left", "error": True, "type": "train", "round": "3", "bytes": 100}, "an error, 100 B, "),
    ({"kind": "sent", "requests": 7, "bytes": 100}, "7 requests, 100 B"),
    ({"kind": "ended", "replies": 3, "rounds": 2, "bytes": 0}, "3 replies, 2 rounds, 0 B"),
    ({"kind": "policy", "generation": 2, "spec": {"suspend": True}}, "suspended, generation 2, rules none"),
    ({"kind": "stopped", "code": "SiteSuspended"}, "SiteSuspended"),
]


@pytest.mark.parametrize(("entry", "text"), ENTRIES, ids=[each["kind"] for each, _ in ENTRIES])
def test_entries_of_the_ledger_in_a_line(entry: dict[str, Any], text: str) -> None:
    assert site.details(entry) == text


def test_the_summary_adds_up_by_run() -> None:
    entries = [{"kind": "left", "run": "a/b", "bytes": 1024}, {"kind": "sent", "run": "a/b", "bytes": 1024}, {"kind": "ended", "bytes": 9}]
    assert site.summary(entries) == "left the site: 2.0 KiB of a/b"
    assert site.summary(entries[2:]) == "nothing has left the site"
