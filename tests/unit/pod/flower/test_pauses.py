"""The intervals at which our programs poll, with a fake clock."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from panal.pod.tools.flower import launcher, poll_hook


class Clock:
    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []
        self.during: Callable[[], None] = lambda: None

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.slept.append(round(seconds, 3))
        self.during()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    for module in (launcher, poll_hook):
        monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=clock.monotonic, sleep=clock.sleep))
    return clock


def test_the_launcher_polls_sooner_after_a_model(clock: Clock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PANAL_RUN_DIR", str(tmp_path))
    paused = launcher.Launcher(control=None)  # type: ignore[arg-type]

    def rests(times: int) -> list[float]:
        found = []
        for _ in range(times):
            before = clock.now
            paused._rest()
            found.append(clock.now - before)
        return found

    assert rests(2) == pytest.approx([1.0, 1.0], abs=launcher.FILES)
    model = tmp_path / "models/1/model.json"
    model.parent.mkdir(parents=True)
    clock.during = lambda: model.write_text("{}") if not model.exists() else None  # type: ignore[assignment]
    (found,) = rests(1)
    assert found <= 2 * launcher.FILES
    later = rests(12)
    assert later[0] == pytest.approx(launcher.SOON, abs=launcher.FILES)
    assert later == sorted(later)
    assert later[-1] == pytest.approx(1.0, abs=launcher.FILES)  # an app that continues long after its model


def test_the_poll_intervals_of_a_node(clock: Clock) -> None:
    def push(**_: object) -> None:
        for _ in range(3):
            module.time.sleep(0.5)
            clock.now += 4.0
        module.time.sleep(0.5)

    held = 0.0

    def pull(**_: object) -> None:
        clock.now += held

    module = SimpleNamespace(_push_messages=push, _pull_and_store_message=pull)
    poll_hook.patch(module)  # type: ignore[arg-type]
    for _ in range(14):
        module._pull_and_store_message()
        module.time.sleep(3)
    assert clock.slept[:3] == [0.2, 0.25, 0.312]
    assert clock.slept[-1] == 3
    clock.slept.clear()
    module._push_messages()
    module.time.sleep(3)
    assert clock.slept == [0.02, 0.201, 0.411, 0.5, 0.2]
    clock.slept.clear()
    held = 10.0  # by the hub
    for _ in range(3):
        module._pull_and_store_message()
        module.time.sleep(3)
    assert clock.slept == [0.2, 0.2, 0.2]


def test_without_acceleration_a_node_polls_like_flower(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PANAL_ACCELERATION", "Off")
    module = SimpleNamespace()
    poll_hook.patch(module)  # type: ignore[arg-type]
    assert vars(module) == {}
