"""`panal site` at the embedded API server: what the owner of a site sees and decides. The site controller itself is in tests/real."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

import site_pods
from api import Api, api
from panal.api import names
from panal.cli import site, site_ledger
from panal.cli.main import main
from panal.client import site as site_of_client
from panal.client.problem import Code
from panal.client.site import Here
from panal.kube import kinds
from panal.kube.errors import KubeError
from panal.kube.times import now_utc
from panal.privacy.accountant import epsilon, rounded_up
from panal.site.accounts import Accounts
from panal.site.crd import crd
from panal.site.decide import decide
from panal.site.entries import Kind
from panal.site.in_force import InForce, in_force, request_of
from panal.site.policy import SitePolicySpec
from panal.site.request import NotRecognizedError, asked
from panal.site_controller.book import Book
from panal.site_controller.ledger import entries
from panal.site_controller.traffic import Traffic, about_pod

HOURS = {"start": "00:00", "end": "00:01", "days": ["Monday"], "timeZone": "UTC"}
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


def add(owner: Api, pod_name: str, *, gated: bool = True, said: dict[str, Any] | None = None, **spec: Any) -> None:
    pod = deepcopy(site_pods.pod(said=said, **spec))
    pod["metadata"]["name"] = pod_name
    del pod["metadata"]["uid"]
    if not gated:
        del pod["spec"]["schedulingGates"]
    owner.create(pod)
    if not gated:
        owner.patch_status(kinds.POD, names.COLLABORATOR_NAMESPACE, pod_name, phase="Running")


class Controller:
    """The site controller's decisions in a real ledger, which its real program prints. `calls`: how it names a request. `asleep`: it does
    not decide."""

    def __init__(self, folder: Path, owner: Api) -> None:
        self.calls: Callable[[str], str] = lambda id_: id_
        self.asleep = False
        self._folder = folder
        self._owner = owner
        self._key = Ed25519PrivateKey.generate()

    def decide(self) -> None:
        """About each Pod, by the policy that is stored."""
        stored = self._owner.get(kinds.SITE_POLICY, "", names.SITE_POLICY)
        policy = in_force(stored)
        content: list[tuple[Kind, dict[str, Any]]] = []
        entry = {"spec": (stored or {}).get("spec") or {}, "generation": policy.generation}
        if stored and self._accounts().policy.get("spec") != entry["spec"]:
            content.append((Kind.POLICY, entry))
        for pod in self._owner.list(kinds.POD):
            content += self._about(pod, policy)
        self._write(content)

    def _about(self, pod: dict[str, Any], policy: InForce) -> list[tuple[Kind, dict[str, Any]]]:
        request = request_of(pod)
        if isinstance(request, NotRecognizedError):
            about = {"pod": pod["metadata"]["name"], "podUid": pod["metadata"]["uid"]}
            return [(Kind.DECIDED, about | {"verdict": "Refused", "code": "PodNotRecognized", "text": str(request)})]
        about = about_pod(request) | {"request": self.calls(request.id)}
        decision = decide(self._in_own_words(policy.spec), request, now_utc())
        said = {"verdict": decision.verdict.value, "text": decision.text, "policy": policy.generation, "rule": decision.rule}
        said |= {"code": decision.code.value} if decision.code else {}
        return [(Kind.ASKED, request.record() | about), (Kind.DECIDED, about | said)]

    def _in_own_words(self, policy: SitePolicySpec | None) -> SitePolicySpec | None:
        answers = {name: tuple(map(self.calls, getattr(policy, name))) for name in ("approved", "refused")} if policy else {}
        return policy.model_copy(update=answers) if policy else None

    def left(self, pod: str, number: int) -> None:
        """A reply of 1 KiB."""
        reply = {"type": "train", "round": str(number), "digest": "d", "announcement": f"{pod} {number}", "bytes": 1024, "error": False}
        self._write([(Kind.LEFT, self._of(pod) | reply | {"objects": 2, "reply": number})])

    def end(self, pod: str) -> None:
        """It is gone, and the site controller has noticed."""
        found = self._of(pod)
        self._owner.delete(kinds.POD, names.COLLABORATOR_NAMESPACE, pod)

        async def end(book: Book) -> None:
            await Traffic(book, self._folder, lambda _: None).end(found["podUid"], book.accounts.pods[found["podUid"]])

        self._with_book(end)

    def _of(self, pod: str) -> dict[str, Any]:
        return about_pod(next(asked(each) for each in self._owner.list(kinds.POD) if each["metadata"]["name"] == pod))

    def _accounts(self) -> Accounts:
        accounts = Accounts()
        for entry in entries(self._folder):
            accounts.add(entry)
        return accounts

    def _write(self, content: list[tuple[Kind, dict[str, Any]]]) -> None:
        async def write(book: Book) -> None:
            for kind, each in content:
                await book.write(kind, **each)

        self._with_book(write)

    def _with_book(self, work: Callable[[Book], Coroutine[Any, Any, None]]) -> None:
        async def work_on() -> None:
            book = Book(self._folder, self._key, now_utc, "1")
            await book.open()
            await work(book)
            book.close()

        asyncio.run(work_on())

    async def printed(self, _: object, *options: str) -> AsyncIterator[dict[str, Any]]:
        """In place of the program in the Pod."""
        if not self.asleep:
            await asyncio.to_thread(self.decide)
        program = [sys.executable, "-m", "panal.site_controller.ledger", *options]
        done = await asyncio.to_thread(
            subprocess.run, program, env={**os.environ, "PANAL_LEDGER_DIR": str(self._folder)}, capture_output=True, check=True
        )
        for line in done.stdout.splitlines():
            yield json.loads(line)


@pytest.fixture
def controller(owner, tmp_path, monkeypatch) -> Controller:
    found = Controller(tmp_path / "ledger", owner)
    for module in (site_of_client, site_ledger.site_ledger):
        monkeypatch.setattr(module, "entries", found.printed)
    return found


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


def test_runs_are_shown_with_what_they_ask_and_why_they_wait(owner, panal, controller) -> None:
    write_policy(owner, RULE | {"purposes": ["research"], "approval": "Required"})
    add(owner, "digits-0")
    add(owner, "other-0", said={"name": "other", "purpose": "marketing"})
    add(owner, "works-0", gated=False, said={"name": "works"})
    code, out, _ = panal("site")
    lines = {line.split()[1]: line for line in out.splitlines() if "ns/" in line}
    assert code == Code.OK
    assert "Waits for you" in lines["ns/digits"]
    assert REQUEST in lines["ns/digits"]
    assert "pvc://digits/train" in lines["ns/digits"]
    assert "Refused" in lines["ns/other"]
    assert "marketing is not in purposes" in lines["ns/other"]
    assert "Running" in lines["ns/works"]
    assert "panal site approve REQUEST" in out


def test_a_pod_that_is_not_recognized_is_shown(owner, panal, controller) -> None:
    write_policy(owner, RULE)
    pod = site_pods.pod()
    pod["spec"]["hostNetwork"] = True
    owner.create({**pod, "metadata": {k: v for k, v in pod["metadata"].items() if k != "uid"}})
    _, out, _ = panal("site")
    assert "spec.hostNetwork is not as in a collaborator of panal" in out


def test_approve_and_refuse_write_the_policy(owner, panal, controller) -> None:
    write_policy(owner, RULE | {"approval": "Required"})
    add(owner, "digits-0")
    assert panal("site", "approve", REQUEST)[0] == Code.OK
    assert policy(owner)["approved"] == [REQUEST]
    code, out, _ = panal("site", "refuse", REQUEST)
    assert (code, "refused:" in out) == (Code.OK, True)
    assert (policy(owner)["approved"], policy(owner)["refused"]) == ([], [REQUEST])
    assert policy(owner)["rules"][0]["name"] == "research"
    code, _, err = panal("site", "approve", "0" * 12)
    assert code == Code.NOT_FOUND
    assert REQUEST in err


def test_stop_ends_what_works_and_keeps_what_waits(owner, panal, controller) -> None:
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
    assert (code, "everything is stopped" in out, "ended: works-0" in out) == (Code.OK, True, True)
    assert policy(owner)["suspend"] is True
    assert {pod["metadata"]["name"] for pod in owner.list(kinds.POD)} == {"waits-0", "of-the-owner"}
    assert "Suspended" in panal("site")[1]
    assert "go on" in panal("site", "resume")[1]
    assert policy(owner)["suspend"] is False
    assert "was not suspended" in panal("site", "resume")[1]


def test_json_has_everything(owner, panal, controller) -> None:
    write_policy(owner, RULE)
    add(owner, "digits-0")
    content = json.loads(panal("site", "-o", "json")[1])
    (pod,) = content["pods"]
    assert (pod["code"], pod["asked"]["request"], content["policy"]["suspend"]) == ("", REQUEST, False)


PRIVATE = {"differentialPrivacy": {"clippingNorm": 1, "noiseMultiplier": 2}}


def test_budgets_are_shown_with_what_is_spent_and_what_runs_may_still_spend(owner, panal, controller) -> None:
    write_policy(owner, RULE, privacyBudgets=[{"data": "pvc://digits", "epsilon": 4}])
    add(owner, "works-0", gated=False, privacy=PRIVATE)
    controller.decide()
    for number in range(2):
        controller.left("works-0", number + 1)
    code, out, _ = panal("site")
    assert code == Code.OK
    two, three = (f"{rounded_up(epsilon(n, 2.0, 1e-5)):g}" for n in (2, 3))
    row = next(line for line in out.splitlines() if line.startswith("pvc://digits"))
    assert row.split() == ["pvc://digits", two, f"{float(three) - float(two):g}", "4", "1e-05", "2"]
    (record,) = json.loads(panal("site", "-o", "json")[1])["privacyBudgets"]
    assert (record["spent"], record["limit"], record["updates"], record["unprotected"]) == (float(two), 4, 2, 0)


def test_updates_without_noise_are_told(owner, panal, controller) -> None:
    write_policy(owner, RULE)
    add(owner, "works-0", gated=False)
    controller.decide()
    controller.left("works-0", 1)
    write_policy(owner, RULE, privacyBudgets=[{"data": "pvc://digits", "epsilon": 4}])
    assert "updates about pvc://digits without noise: 1 have left" in panal("site")[2]


def test_a_ledger_that_cannot_be_read_is_told_and_nothing_is_shown_as_unspent(owner, panal) -> None:
    write_policy(owner, RULE, privacyBudgets=[{"data": "pvc://digits", "epsilon": 4}])
    add(owner, "digits-0")
    _, out, err = panal("site")
    assert "what has left, is not known: the site controller does not run" in err
    assert "PRIVACY BUDGET" not in out
    assert "Not decided" in out
    assert json.loads(panal("site", "-o", "json")[1])["privacyBudgets"] is None
    code, _, err = panal("site", "approve", REQUEST)
    assert (code, "which requests are here" in err) == (Code.UNHEALTHY, True)
    assert not policy(owner).get("approved")


def test_rounds_and_bytes_are_shown_beside_the_limits(owner, panal, controller) -> None:
    write_policy(owner, RULE | {"maxRounds": 20, "maxBytes": "1Gi"})
    add(owner, "works-0", gated=False)
    controller.decide()
    for number in range(3):
        controller.left("works-0", number + 1)
    (row,) = (line for line in panal("site")[1].splitlines() if "ns/digits" in line)
    assert "3/20" in row
    assert "3.0 KiB of 1Gi" in row
    (pod,) = json.loads(panal("site", "-o", "json")[1])["pods"]
    assert (pod["rounds"], pod["bytes"], pod["asked"]["rounds"]) == (3, 3072, 3)


def test_an_answer_is_for_the_request_that_the_site_controller_knows(owner, panal, controller) -> None:
    """A command of another version may read a Pod differently."""
    write_policy(owner, RULE | {"approval": "Required"})
    add(owner, "digits-0")
    controller.calls = lambda id_: id_[::-1]
    assert panal("site", "approve", REQUEST)[0] == Code.NOT_FOUND
    code, out, _ = panal("site", "approve", REQUEST[::-1])
    assert (code, "digits-0: Starting: rule research" in out) == (Code.OK, True)
    assert policy(owner)["approved"] == [REQUEST[::-1]]


@pytest.mark.parametrize("waits", [{"suspend": True}, {"rules": [RULE | {"hours": HOURS}]}])
def test_a_request_that_waits_is_refused(owner, panal, controller, waits: dict[str, Any]) -> None:
    write_policy(owner, **({"rules": [RULE]} | waits))
    add(owner, "digits-0")
    code, out, _ = panal("site", "refuse", REQUEST)
    assert (code, "digits-0: Refused: the request" in out) == (Code.OK, True)
    code, out, _ = panal("site", "approve", REQUEST)
    assert (code, "digits-0: Suspended" in out or "digits-0: Waits" in out) == (Code.OK, True)


def test_of_an_id_all_digits_are_needed(owner, panal, controller) -> None:
    write_policy(owner, RULE | {"approval": "Required"})
    add(owner, "digits-0")
    code, _, err = panal("site", "approve", REQUEST[:-1])
    assert (code, REQUEST in err) == (Code.NOT_FOUND, True)


CASES: list[tuple[dict[str, Any], str]] = [
    ({"gated": True}, "Not decided"),
    ({"gated": True, "status": "Unknown", "told": "Undisclosed"}, "Waits"),
    ({"gated": True, "status": "Unknown", "told": "ApprovalRequired"}, "Waits for you"),
    ({"gated": True, "status": "False", "told": "Undisclosed"}, "Refused"),
    ({"gated": True, "status": "True", "told": "Allowed"}, "Starting"),
    ({"gated": True, "status": "False", "told": "Undisclosed", "verdict": "Waits", "code": "SiteSuspended"}, "Suspended"),
    ({"gated": False, "phase": "Pending", "verdict": "Allowed"}, "Starting"),
    ({"gated": False, "phase": "Running", "verdict": "Allowed"}, "Running"),
    ({"gated": False, "phase": "Failed", "verdict": "Allowed"}, "Failed"),
    ({"gated": False, "phase": "Running", "verdict": "Stopped", "code": "SiteSuspended"}, "Stopped"),
]


@pytest.mark.parametrize(("found", "word"), CASES)
def test_the_state_of_a_pod(found: dict[str, Any], word: str) -> None:
    assert site.state(Here("digits-0", now_utc(), **found)) == word


def test_what_the_site_controller_tells_since_its_decision_is_shown() -> None:
    blocked = Here(
        "digits-0", now_utc(), gated=False, phase="Running", told="MessageNotRecognized", verdict="Allowed", text="rule research"
    )
    assert site.why(blocked) == "MessageNotRecognized: rule research"
    silent = Here("digits-0", now_utc(), gated=True, told="Undisclosed", verdict="Refused", code="DataNotAllowed", text="why")
    assert site.why(silent) == "why"


def test_an_app_hash_is_shown_where_it_is_checked() -> None:
    asked = {"framework": "flower", "appHash": "ab" * 32, "image": "app"}
    run = {"run": "a/b", "first": "", "last": "", "here": False, "works": False, "allowed": True, "rounds": 0, "bytes": 0, "asked": asked}
    assert site_ledger._run(run)[8] == "abababababab"
    for other in ({"framework": "openfl"}, {"appHash": "513cbc62ed36"}):
        assert site_ledger._run(run | {"asked": asked | other})[8] == ""


def test_an_answer_that_the_site_controller_does_not_heed_fails(owner, panal, controller, monkeypatch) -> None:
    monkeypatch.setattr(site_of_client, "DECIDED_WITHIN", 0.3)
    write_policy(owner, RULE | {"approval": "Required"})
    add(owner, "digits-0")
    controller.decide()
    controller.asleep = True
    code, out, err = panal("site", "approve", REQUEST)
    assert (code, "approved:" in out) == (Code.TIMEOUT, False)
    assert "the answer is in the SitePolicy" in err
    assert policy(owner)["approved"] == [REQUEST]


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
    ({"kind": "left", "type": "train", "round": "", "reply": 2, "bytes": 1, "digest": "d"}, "train, reply 2, 1 B, d"),
    (
        {"kind": "left", "type": "train", "round": "1", "bytes": 1, "digest": "d", "budgets": [{"data": "pvc://a", "epsilon": 1.5}]},
        "train, round 1, 1 B, d, ε 1.5 of pvc://a",
    ),
    ({"kind": "left", "error": True, "type": "train", "round": "3", "bytes": 100}, "an error, 100 B, "),
    ({"kind": "images", "images": {"supernode": "app@sha256:1", "gateway": "g@sha256:2"}}, "gateway g@sha256:2, supernode app@sha256:1"),
    ({"kind": "sent", "requests": 7, "bytes": 100}, "7 sent before this that belong to no reply, 100 B"),
    ({"kind": "ended", "replies": 3, "rounds": 2, "bytes": 0}, "3 replies, 2 rounds, 0 B"),
    ({"kind": "stopped", "code": "SiteSuspended"}, "SiteSuspended"),
]


@pytest.mark.parametrize(("entry", "text"), ENTRIES, ids=[each["kind"] for each, _ in ENTRIES])
def test_entries_of_the_ledger_in_a_line(entry: dict[str, Any], text: str) -> None:
    assert site_ledger.details(entry) == text


def test_the_summary_adds_up_by_run() -> None:
    entries = [{"kind": "left", "run": "a/b", "bytes": 1024}, {"kind": "sent", "run": "a/b", "bytes": 1024}, {"kind": "ended", "bytes": 9}]
    assert site_ledger.summary(entries) == "left the site: 2.0 KiB of a/b"
    assert site_ledger.summary(entries[2:]) == "nothing has left the site"


def test_of_a_policy_the_log_says_what_is_new() -> None:
    first = {"rules": [{"name": "a", "maxRounds": 1}, {"name": "b"}], "approved": ["1"]}
    then = {"rules": [{"name": "a", "maxRounds": 2, "namespaces": ["x"]}, {"name": "c"}], "approved": ["2", "1"], "suspend": True}
    assert site_ledger.changes(None, first) == "rules a, b"
    assert site_ledger.changes(None, {"suspend": True}) == "suspended, rules none"
    told = "rule c is new; rule b is gone; rule a: maxRounds 2, namespaces +x; approved +2; suspend true"
    assert site_ledger.changes(first, then) == told
    assert site_ledger.changes(first, first) == "the same"
    assert site_ledger.changes(first, {}) == "there is no policy"
    assert site_ledger.changes({}, {"privacyBudgets": [{"data": "None"}]}) == 'privacyBudgets [{"data": "None"}]'
    assert site_ledger.changes({"approved": ["1"]}, {"disclosure": "None"}) == 'approved -1; disclosure "None"'
    assert (
        site_ledger.changes({"rules": [{"name": "a"}, {"name": "b"}]}, {"rules": [{"name": "b"}, {"name": "a"}]})
        == "rules in another order"
    )


def test_the_log_compares_each_policy_with_the_one_before_it(owner, panal, controller) -> None:
    write_policy(owner, RULE)
    controller.decide()
    write_policy(owner, RULE | {"maxRounds": 3})
    _, out, _ = panal("site", "log", "--since", "7d")
    told = [line.partition("policy")[2].strip() for line in out.splitlines() if "policy" in line]
    assert told == ["generation 1: rules research", "generation 2: rule research: maxRounds 3"]
    assert "The ledger begins at" in out


def test_runs_are_listed_with_what_was_decided_and_what_has_left(owner, panal, controller) -> None:
    write_policy(owner, RULE | {"purposes": ["research"]})
    add(owner, "works-0", gated=False, said={"name": "works", "uid": "w", "requester": "mara"})
    add(owner, "other-0", said={"name": "other", "uid": "o", "purpose": "marketing"})
    controller.decide()
    controller.left("works-0", 1)
    controller.left("works-0", 2)
    _, out, _ = panal("site", "runs", "--since", "7d")
    works, other = (next(line for line in out.splitlines() if f"ns/{name}" in line) for name in ("works", "other"))
    for word in ("now", "Here", "2.0 KiB", "pvc://digits/train", site_pods.APP_HASH[:12], "mara   ", "research   ", "rule research"):
        assert word in works
    assert "Not allowed now" in other
    assert "PurposeNotAllowed rule research: marketing is not in purposes" in other
    assert "The ledger begins at" in out
    for pod in ("works-0", "other-0"):
        controller.end(pod)
    assert [line.split("Z   ")[2].split("   ")[0] for line in panal("site", "runs")[1].splitlines() if "ns/" in line] == [
        "Never allowed",
        "Ended",
    ]
    other, works = json.loads(panal("site", "runs", "-o", "json")[1])["runs"]  # in the order of their entries
    assert (works["run"], works["here"], works["allowed"], works["rounds"], works["bytes"]) == ("ns/works", False, True, 2, 2048)
    assert (other["allowed"], other["code"], other["rounds"]) == (False, "PurposeNotAllowed", 0)
    _, out, _ = panal("site", "runs", "--since", "2999-01-01")
    assert "no run is in the ledger since then" in out


def test_a_head_that_was_kept_must_be_in_the_ledger(owner, panal, controller) -> None:
    write_policy(owner, RULE)
    controller.decide()
    head = json.loads(panal("site", "verify", "-o", "json")[1])
    write_policy(owner, RULE | {"maxRounds": 3})
    _, out, _ = panal("site", "verify", "--head", head["head"])
    assert f"entry {head['entries']} has the head that you kept" in out
    for wrong in (head["head"][:12], ""):
        code, _, err = panal("site", "verify", "--head", wrong)
        assert (code, "64 hexadecimal digits" in err) == (Code.USAGE, True)
    code, _, err = panal("site", "verify", "--head", "0" * 64)
    assert (code, "none of which has the hash" in err) == (Code.UNHEALTHY, True)


def test_a_saved_log_is_verified_without_the_cluster(owner, panal, controller, tmp_path) -> None:
    write_policy(owner, RULE)
    add(owner, "works-0", gated=False)
    controller.decide()
    controller.left("works-0", 1)
    controller.asleep = True
    saved, key = tmp_path / "log.json", tmp_path / "key.pem"
    saved.write_text(panal("site", "log", "-o", "json")[1])
    head = json.loads(panal("site", "verify", "-o", "json")[1])
    key.write_text(head["key"])
    given = ("site", "verify", "--file", str(saved), "--key", str(key))
    code, out, _ = panal(*given, "--head", head["head"])
    assert code == Code.OK
    assert f"the ledger is whole: {head['entries']} entries, head {head['head']}" in out
    assert f"SHA-256 of the key: {head['fingerprint']}" in out
    entries = json.loads(saved.read_text())
    for changed in (entries[1:], [*entries[:2], *entries[3:]], [*entries[:-1], entries[-1] | {"bytes": 7}]):
        saved.write_text(json.dumps(changed))
        assert panal(*given)[0] == Code.UNHEALTHY
    saved.write_text(json.dumps(entries[:-1]))
    assert panal(*given)[0] == Code.OK
    assert panal(*given, "--head", head["head"])[0] == Code.UNHEALTHY
    for wrong in ("", "[]", "{}", "[1]"):
        saved.write_text(wrong)
        assert panal(*given)[0] in (Code.USAGE, Code.UNHEALTHY)
    key.write_text("no key")
    saved.write_text(json.dumps(entries))
    assert panal(*given)[0] == Code.USAGE
    assert panal(*given[:-2])[0] == Code.USAGE


def test_all_that_a_request_asks_is_shown_before_an_answer(owner, panal, controller) -> None:
    write_policy(owner, RULE | {"approval": "Required"})
    add(owner, "digits-0")
    code, out, _ = panal("site", "show", REQUEST)
    assert code == Code.OK
    for word in (f"appHash: {site_pods.APP_HASH}", "rounds: 3", "aggregator: ", "minimumClusters: 2", "digits-0: Waits for you"):
        assert word in out
    assert json.loads(panal("site", "show", REQUEST, "-o", "json")[1])[0]["asked"]["request"] == REQUEST
    assert not policy(owner).get("approved")


def test_the_limit_of_a_rule_that_does_not_fit_is_none_of_the_run(owner, panal, controller) -> None:
    write_policy(owner, RULE | {"maxRounds": 20, "purposes": ["marketing"]})
    add(owner, "digits-0")
    assert "/20" not in panal("site")[1]
