"""`panal dashboard`: started only where its libraries are, and nothing of it is loaded by other commands."""

from __future__ import annotations

import importlib.util
import socket
import subprocess
import sys

import pytest

from panal.cli import dashboard
from panal.client.access import Access
from panal.client.problem import Code, Problem


@pytest.mark.parametrize("missing", dashboard.NEEDED)
def test_without_the_extra_it_says_how_to_install_it(monkeypatch, missing):
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == missing else real(name))
    with pytest.raises(Problem) as raised:
        dashboard.dashboard()
    assert raised.value.code == Code.USAGE
    assert missing in str(raised.value)
    assert "pip install '.[cli,dashboard]' ./local`" in raised.value.remedy  # the local platform is installed here
    monkeypatch.setattr(dashboard, "installed", lambda: None)
    with pytest.raises(Problem) as raised:
        dashboard.dashboard()
    assert "pip install '.[cli,dashboard]'`" in raised.value.remedy


def loaded(code: str, *modules: str) -> str:
    """Which of the modules the code loads."""
    words = [sys.executable, "-c", f"{code}; import sys; print([each for each in {modules} if each in sys.modules])"]
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()


def test_other_commands_load_nothing_of_it():
    assert loaded("import panal.cli.main", "jinja2", "django_htmx", "panal.dashboard") == "[]"


def test_the_dashboard_loads_nothing_of_django_or_of_a_terminal():
    start = "import panal.dashboard.main as main; main.assets.assets()"
    assert loaded(start, "django", "django_htmx", "rich", "typer") == "[]"


def test_models_are_read_on_the_local_platform_alone(tmp_path):
    assert dashboard._models(Access(tmp_path / "config", None, "a hub")) is None
    assert dashboard._models(Access(tmp_path / "config", None, "the local platform", local=True)) is not None


def test_a_port_that_is_in_use_is_said(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        config = tmp_path / "config"
        config.write_text(
            '{"current-context": "c", "clusters": [{"name": "c", "cluster": {"server": "http://127.0.0.1:1"}}], '
            '"users": [{"name": "u", "user": {"token": "t"}}], "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}]}'
        )
        with pytest.raises(Problem, match="in use"):
            dashboard._serve(Access(config, None, "test"), taken.getsockname()[1], "", False)
