"""Promises of the project itself: dependencies locked by hash, layers complete, launchers that run in any user's image."""

import ast
import re
import sys
import tomllib
from importlib.metadata import entry_points
from itertools import chain
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

from panal.api.crd import crd
from panal.pod.tools.flower.known import VERSIONS, WORKING, minor

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
LOCAL = tomllib.loads((ROOT / "local/pyproject.toml").read_text())
EXTRAS = PROJECT["project"]["optional-dependencies"]
OURS = f"panal[cli]=={PROJECT['project']['version']}"
PLATFORM = [line for line in LOCAL["project"]["dependencies"] if line != OURS]
ASKED = [*PROJECT["project"]["dependencies"], *chain(*EXTRAS.values()), *PLATFORM, *PROJECT["dependency-groups"]["dev"]]
LOCKS = sorted((ROOT / "requirements").glob("*.txt"))
FLOWERS = [lock for lock in LOCKS if lock.name.startswith("flower-")]
LAUNCHERS = sorted((ROOT / "src/panal/pod/tools").rglob("*.py"))
COMPONENTS = {f"flare/{name}.py": {"nvflare"} for name in ("launchers", "operator", "recorder")}
PAGES = sorted(page for where in ("*.md", "local/*.md", "docs/**/*.md", "findings/*.md", "examples/**/*.md") for page in ROOT.glob(where))


def locked(lock: Path) -> dict[str, list[str]]:
    """Name -> versions (one for each marker) that a lock file pins."""
    found: dict[str, list[str]] = {}
    for name, version in re.findall(r"^([a-z0-9._-]+)(?:\[[^\]]*\])?==([^\s;\\]+)", lock.read_text(), re.MULTILINE):
        found.setdefault(name, []).append(version)
    return found


@pytest.mark.parametrize("lock", LOCKS, ids=lambda p: p.name)
def test_locks_carry_hashes_and_no_addresses(lock: Path) -> None:
    requirements = lock.read_text().replace("\\\n", " ").splitlines()
    assert requirements
    for line in requirements:
        assert re.search(r"==\S+ .*--hash=sha256:[0-9a-f]{64}", line), line
        assert not re.search(r"://|file:|--(index|extra|find)", line), line


@pytest.mark.parametrize(
    ("lock", "wanted"),
    [
        ("runtime.txt", PROJECT["project"]["dependencies"]),
        ("reporter.txt", PROJECT["project"]["dependencies"] + EXTRAS["reporter"]),
        ("dev.txt", ASKED),
        *((lock.name, (ROOT / "requirements/flower.in").read_text().splitlines()) for lock in FLOWERS),
        ("gateway.txt", (ROOT / "requirements/gateway.in").read_text().splitlines()),
    ],
)
def test_locks_satisfy_what_the_project_asks_for(lock: str, wanted: list[str]) -> None:
    pinned = locked(ROOT / "requirements" / lock)
    for requirement in [Requirement(line) for line in wanted if not line.startswith("#")]:
        versions = pinned.get(requirement.name.lower(), [])
        assert versions, f"{requirement} is not in {lock}: run `make lock`"
        assert all(requirement.specifier.contains(v) for v in versions), f"{lock} has {versions}, wanted {requirement}: run `make lock`"


def test_the_example_has_the_newest_version_of_flower_that_panal_knows() -> None:
    example, newest = locked(ROOT / "examples/mnist/requirements.txt"), locked(FLOWERS[-1])
    assert newest.items() <= example.items()
    assert example.keys() - newest.keys() == {"ml-dtypes", "onnx"}  # for the export of the model


def test_the_documents_name_the_versions_of_flower_that_work() -> None:
    assert f"| {WORKING.replace(' and', ',')} | yes |" in (ROOT / "docs/reference/flower.md").read_text()
    assert f"Flower {minor(VERSIONS[0])} to {minor(VERSIONS[-1])}." in (ROOT / "README.md").read_text()


def prose(page: Path) -> str:
    """A page without its code blocks, where a # is a comment."""
    return re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)


def anchors(page: Path) -> set[str]:
    """What a link to a heading of the page may end in, as GitHub makes it."""
    headings = re.findall(r"^#+ (.*)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_between_pages_lead_to_a_file_and_a_heading(page: Path) -> None:
    text = re.sub(r"`[^`\n]*`", "", prose(page))
    for file, anchor in re.findall(r"\]\((?!\w+:)([^)#\s]*)#?([^)\s]*)\)", text):
        target = page.parent / file if file else page
        assert target.exists(), file
        assert not anchor or anchor in anchors(target), f"{file}#{anchor}"


@pytest.mark.parametrize(
    "page", [page for page in PAGES if page.parent.name in (ROOT.name, "docs", "design", "compliance")], ids=lambda page: page.name
)
def test_source_files_that_pages_name_exist(page: Path) -> None:
    for name in re.findall(r"(?<![\w/])\w+/[\w/]+\.py\b", prose(page)):
        assert any((ROOT / place / name).exists() for place in ("", "src/panal", "local/src/panal_local")), name


def test_there_is_a_lock_for_each_version_of_flower_that_panal_knows() -> None:
    assert [version for lock in FLOWERS for version in locked(lock)["flwr"]] == list(VERSIONS)
    makefile = (ROOT / "Makefile").read_text()
    assert f"FLOWERS := {' '.join(map(minor, VERSIONS))}\n" in makefile


def test_locks_agree_with_each_other() -> None:
    runtime, reporter, dev = (locked(ROOT / "requirements" / f"{name}.txt") for name in ("runtime", "reporter", "dev"))
    assert runtime.items() <= reporter.items()
    assert reporter.items() <= dev.items()
    assert locked(ROOT / "requirements/dashboard.txt").items() <= dev.items()


def test_every_dependency_has_one_row_that_says_what_for() -> None:
    rows = re.findall(r"^\| ([^|]+) \|", (ROOT / "docs/design/dependencies.md").read_text(), re.MULTILINE)
    named = [name.strip().lower() for row in rows for name in row.split(",")]
    asked = {Requirement(line).name.lower() for line in ASKED}
    assert {name: named.count(name) for name in asked} == dict.fromkeys(asked, 1)


def test_every_package_has_a_layer() -> None:
    roots = (ROOT / "src/panal", ROOT / "local/src/panal_local")
    packages = {f"{p.parents[1].name}.{p.parent.name}" for root in roots for p in root.glob("*/__init__.py")}
    contracts = PROJECT["tool"]["importlinter"]["contracts"]
    assert packages <= {source for c in contracts for source in c.get("source_modules", ())}


@pytest.mark.parametrize("package", ["cli", "client", "dashboard", "hub/scrape", "pod", "pod/tracking", "sdk"])
def test_a_package_lists_its_modules(package: str) -> None:
    folder = ROOT / "src/panal" / package
    text = ast.get_docstring(ast.parse((folder / "__init__.py").read_text())) or ""
    listed = set(re.findall(r"(?:^|  )(\w+) ", text, re.MULTILINE))
    assert {module.stem for module in folder.glob("[!_]*.py")} <= listed


def test_the_chart_has_the_crd_that_the_types_make() -> None:
    assert yaml.safe_load((ROOT / "charts/panal/files/crd.yaml").read_text()) == crd(), "run `make manifest`"


def test_the_local_platform_is_released_with_the_product() -> None:
    assert LOCAL["project"]["version"] == PROJECT["project"]["version"]
    assert OURS in LOCAL["project"]["dependencies"]
    for name in ("LICENSE", "NOTICE"):
        assert (ROOT / "local" / name).read_bytes() == (ROOT / name).read_bytes()


@pytest.mark.parametrize("script", ["panal", "panal-controller", "panal-dashboard", "panal-reporter", "kubectl-fl", "kubectl_complete-fl"])
def test_scripts_lead_to_functions(script: str) -> None:
    (found,) = entry_points(group="console_scripts", name=script)
    assert callable(found.load())


def test_runtimes_are_found_by_their_entry_points() -> None:
    assert {"flower"} <= {e.name for e in entry_points(group="panal.runtimes") if callable(e.load())}


@pytest.mark.parametrize("path", LAUNCHERS, ids=lambda p: p.name)
def test_launchers_need_python_3_10_and_its_standard_library_alone(path: Path) -> None:
    """They run in users' images: another library may be imported inside a function, never when the module is. COMPONENTS are classes that
    the framework imports by their names, in its own processes."""
    tree = ast.parse(path.read_text(), feature_version=(3, 10))
    for imported in imports_at_load(tree.body):
        allowed = sys.stdlib_module_names | COMPONENTS.get("/".join(path.parts[-2:]), set())
        assert imported.split(".")[0] in allowed or imported.startswith("panal.pod.tools"), f"{path.name} imports {imported}"


def imports_at_load(body: list[ast.stmt]) -> list[str]:
    found = []
    for node in body:
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level:
            found.append(node.module or "")
        elif not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
                continue
            for block in ("body", "orelse", "finalbody"):
                found += imports_at_load(getattr(node, block, []))
            for handler in getattr(node, "handlers", []):
                found += imports_at_load(handler.body)
    return found
