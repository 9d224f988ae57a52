"""Imports of an app that lead to a file which its bundle lacks."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import pytest

from panal.pod.tools.files import RunError
from panal.pod.tools.flower.control import refuse_incomplete
from panal.pod.tools.flower.left_out import App, error_message, imports, left_out

COMPONENTS = ["app.server", "app.client"]
BASE = {"app/__init__.py": "", "app/server.py": "", "app/client.py": ""}


def missing(sources: dict[str, str], out: set[str], elsewhere: set[str] = frozenset()) -> list[str]:  # type: ignore[assignment]
    """`importer -> path` for each missing file; `out` are the paths that the bundle lacks."""
    found = {**BASE, **sources}
    app = App(found.keys(), found.__getitem__, found.keys() - out, elsewhere.__contains__)
    return [f"{each.module} -> {each.path}" for each in left_out(COMPONENTS, app)]


CLIENT = "app/client.py"
HELPERS = {"lib/__init__.py": "", "lib/helpers.py": ""}


@pytest.mark.parametrize(
    ("client", "more", "out", "expected"),
    [
        ("import numpy, os.path", {}, set(), []),
        ("from lib import helpers", HELPERS, set(HELPERS), ["app/client.py -> lib/__init__.py", "app/client.py -> lib/helpers.py"]),
        ("import lib.helpers as h", HELPERS, set(HELPERS), ["app/client.py -> lib/__init__.py", "app/client.py -> lib/helpers.py"]),
        ("from lib.helpers import f", {"lib/helpers.py": ""}, {"lib/helpers.py"}, ["app/client.py -> lib/helpers.py"]),  # no __init__.py
        ("from .test_utils import f", {"app/test_utils.py": ""}, {"app/test_utils.py"}, ["app/client.py -> app/test_utils.py"]),
        ("from . import ab_test", {"app/ab_test.py": ""}, {"app/ab_test.py"}, ["app/client.py -> app/ab_test.py"]),
        ("from app import ab_test", {"app/ab_test.py": ""}, {"app/ab_test.py"}, ["app/client.py -> app/ab_test.py"]),
        ("def f():\n    import env.a", {"env/a.py": ""}, {"env/a.py"}, ["app/client.py -> env/a.py"]),
        ("import parts", {}, set(), ["app/client.py -> parts/"]),  # the image lacks the folder as well
        ("", HELPERS, set(HELPERS), []),  # not imported
        ("import lib", {"lib/notes.py": ""}, {"lib/notes.py"}, []),  # the imported module is installed: the folder is not a package
        ("try:\n    import lib.helpers\nexcept ImportError:\n    pass", HELPERS, set(HELPERS), []),
        ("if TYPE_CHECKING:\n    import lib.helpers", HELPERS, set(HELPERS), []),
        ("if typing.TYPE_CHECKING:\n    import lib.helpers", HELPERS, set(HELPERS), []),
        ("try:\n    import lib.helpers\nfinally:\n    pass", HELPERS, {"lib/helpers.py"}, ["app/client.py -> lib/helpers.py"]),
        ("this is no Python", HELPERS, set(HELPERS), []),
    ],
)
def test_imports_of_a_client(client: str, more: dict[str, str], out: set[str], expected: list[str]) -> None:
    assert missing({CLIENT: client, **more}, out) == expected


def test_imports_are_followed_through_the_folder() -> None:
    chain = {CLIENT: "from app import a", "app/a.py": "from .deep import b", "app/deep/__init__.py": "", "app/deep/b.py": "import lib.x"}
    assert missing({**chain, "lib/x.py": ""}, {"lib/x.py"}) == ["app/deep/b.py -> lib/x.py"]
    circle = {CLIENT: "import app.a", "app/a.py": "import app.client\nfrom .. import nowhere\nfrom ..... import nowhere"}
    assert missing(circle, set()) == []


def test_a_component_itself_is_left_out() -> None:
    assert missing({}, {"app/client.py"}) == ["pyproject.toml -> app/client.py"]


def test_installed_modules_are_not_missing() -> None:
    sources = {CLIENT: "import lib.helpers, build", **HELPERS}
    assert missing(sources, set(HELPERS), {"lib", "build"}) == []
    assert missing({CLIENT: "import app.test_a", "app/test_a.py": ""}, {"app/test_a.py"}, {"app"}) == ["app/client.py -> app/test_a.py"]


def test_relative_imports_have_their_full_names() -> None:
    assert imports("from . import a\nfrom .b import c\nfrom .. import d\nimport e.f", "p/q/m.py") == [
        "p.q", "p.q.a", "p.q.b", "p.q.b.c", "p", "p.d", "e.f",
    ]  # fmt: skip


def test_the_error_names_the_import_and_the_remedy(tmp_path: Path) -> None:
    for path in ("app/__init__.py", "app/server.py", "lib/helpers.py", "lib/json.py"):
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text("")
    (tmp_path / "app/client.py").write_text("import json\nfrom lib.helpers import f\n")
    project = {"tool": {"flwr": {"app": {"components": {"serverapp": "app.server:app", "clientapp": "app.client:app"}}}}}
    bundle = io.BytesIO()
    with zipfile.ZipFile(bundle, "w") as archive:
        for path in BASE:
            archive.writestr(path, "")
    with pytest.raises(RunError) as caught:
        refuse_incomplete(tmp_path, project, bundle.getvalue())
    assert caught.value.reason == "AppInvalid"
    assert "app/client.py imports lib.helpers (lib/helpers.py). Rename them" in caught.value.message
    (tmp_path / "app/client.py").write_text("import json\n")
    refuse_incomplete(tmp_path, project, bundle.getvalue())
    (tmp_path / "app/client.py").write_text("import gone\n")
    (tmp_path / "gone.py").symlink_to("nowhere")
    with pytest.raises(RunError, match=r"imports gone \(gone.py\)"):
        refuse_incomplete(tmp_path, project, bundle.getvalue())


def test_many_missing_modules_are_counted() -> None:
    sources = {CLIENT: "\n".join(f"import lib.m{n}" for n in range(9))} | {f"lib/m{n}.py": "" for n in range(9)}
    found = {**BASE, **sources}
    app = App(found.keys(), found.__getitem__, set(BASE), lambda _: False)
    assert "and 4 more. Rename" in error_message(left_out(COMPONENTS, app))
