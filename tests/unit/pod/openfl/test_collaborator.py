"""What a site does when the aggregator refuses a request, or is another one."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from panal.pod.tools.openfl import collaborator as module
from panal.pod.tools.openfl.channel import IDENTITY, Channel, RefusedError
from panal.pod.tools.openfl.collaborator import AGAIN, Site


class Plan:
    """A plan whose client offers round 4 again and again, and whose collaborator notes what it does. `script` has what the tasks raise."""

    def __init__(self, *script: BaseException | None) -> None:
        self.config: dict[str, Any] = {"network": {"settings": {}}}
        self.cols_data_paths: dict[str, str] = {}
        self.script = list(script)
        self.done: list[int] = []
        self.tasks: list[str] | RefusedError = ["train"]
        self.number = 4
        self.tensor_db, self.db_store_rounds = SimpleNamespace(clean_up=lambda _: None), 1
        nothing = dict.fromkeys(("on_experiment_begin", "on_round_begin", "on_round_end"), lambda *_: None)
        self.callbacks = SimpleNamespace(**nothing)

    def get_client(self, _cluster: str) -> Any:
        return self

    def get_collaborator(self, _cluster: str, client: Any) -> Any:
        return self

    def get_tasks(self) -> Any:
        if isinstance(self.tasks, RefusedError):
            raise self.tasks
        return self.tasks, self.number, 1, False

    def do_task(self, _task: str, number: int) -> dict[str, Any]:
        if self.script and (error := self.script.pop(0)) is not None:
            raise error
        self.done.append(number)
        return {}


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    found: list[float] = []
    monkeypatch.setenv("PANAL_GATEWAY_PORT", "1")
    monkeypatch.setattr(module.time, "sleep", found.append)
    monkeypatch.setattr(module, "restart", lambda why: found.append(-1))
    monkeypatch.setattr(Channel, "aggregator", "")
    return found


def test_after_a_refusal_the_same_round_is_done_again(pauses: list[float]) -> None:
    plan = Plan(RefusedError("NOT_FOUND: There is no such tensor"))
    site = Site(plan, "site1")
    Channel._learn([(IDENTITY, "first")])
    site.step()
    assert (plan.done, pauses) == ([], [AGAIN])
    site.step()
    site.step()  # it left the participants, and is one again
    assert (plan.done, pauses) == ([4, 4], [AGAIN])


def test_a_refusal_of_the_tasks_does_not_end_the_site(pauses: list[float]) -> None:
    plan = Plan()
    plan.tasks = RefusedError("RESOURCE_EXHAUSTED")
    Site(plan, "site1").step()
    assert pauses == [AGAIN]


@pytest.mark.parametrize(
    ("number", "treatment", "restarted"),
    [(0, "RESET", True), (0, "CONTINUE_GLOBAL", True), (4, "CONTINUE_LOCAL", True), (4, "CONTINUE_GLOBAL", False), (4, "RESET", False)],
)
def test_another_aggregator_gets_a_new_process_or_the_same_without_tensors(
    pauses: list[float], monkeypatch: pytest.MonkeyPatch, number: int, treatment: str, restarted: bool
) -> None:
    forgotten: list[Any] = []
    monkeypatch.setattr(module, "forget", forgotten.append)
    plan = Plan()
    plan.number, plan.config["collaborator"] = number, {"settings": {"opt_treatment": treatment}}
    site = Site(plan, "site1")
    for headers in ([(IDENTITY, "first")], [("other", "x")], []):
        Channel._learn(headers)
        site.step()
    assert (pauses, Channel._meant()) == ([], ((IDENTITY, "first"),))
    Channel._learn([(IDENTITY, "second")])
    site.step()
    assert pauses == [-1] * restarted
    assert restarted or forgotten == [plan.tensor_db]
