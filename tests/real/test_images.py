"""The images run as any user on a read-only root, hold compiled code, and say nothing of the machine that built them."""

import json
import os
import subprocess
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from panal.gateway import aggregator, collaborator, limits

pytestmark = [pytest.mark.real, pytest.mark.nodes]

ROOT = Path(__file__).parents[2]
OURS = ("controller", "pod-tools", "gateway")
MEGABYTES = {"controller": 70, "pod-tools": 150, "gateway": 120}  # beyond the base image
ANY_USER = 1000770000  # as OpenShift assigns them


class Image:
    """One archive, as `docker load` reads it."""

    def __init__(self, archive: Path) -> None:
        self.archive = archive
        with tarfile.open(archive) as tar:
            (self.manifest,) = json.load(self.member(tar, "manifest.json"))
            self.config = json.load(self.member(tar, self.manifest["Config"]))
            self.layers = {name: tar.getmember(tar.getmember(name).linkname or name).size for name in self.manifest["Layers"]}

    @staticmethod
    def member(tar: tarfile.TarFile, name: str):
        file = tar.extractfile(name)
        assert file
        return file

    def own_layers(self) -> list[str]:
        """Those on top of the base, which one ADD step made."""
        return self.manifest["Layers"] if "gateway" in self.archive.name else self.manifest["Layers"][1:]

    def files(self) -> Iterator[tuple[str, bytes]]:
        with tarfile.open(self.archive) as tar:
            for layer in self.own_layers():
                with tarfile.open(fileobj=self.member(tar, layer)) as files:
                    for entry in files:
                        if entry.isfile():
                            yield entry.name, self.member(files, entry.name).read()


@pytest.fixture(scope="module", params=OURS)
def image(request: pytest.FixtureRequest, images: Path) -> Image:
    return Image(images / f"{request.param}.tar")


@pytest.fixture
def container(images: Path, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator["Container"]:
    started = Container(images / "store", request.param, tmp_path)
    yield started
    started.remove()


class Container:
    """A program of an image, run by runc with a read-only root as a user that the image does not know."""

    def __init__(self, store: Path, name: str, folder: Path) -> None:
        self.buildah = ["buildah", f"--root={store}/root", f"--runroot={store}/run", "--storage-driver=overlay"]
        self.folder, self.name = folder, f"panal-test-{os.getpid()}-{name}"
        self.container = self.ask("from", "--pull-never", f"localhost/panal/{name}:0.1.0")
        self.root = self.ask("mount", self.container)
        config = json.loads(self.ask("inspect", self.container))["OCIv1"]["config"]
        self.env, self.command = config["Env"], config["Cmd"]

    def ask(self, *args: str) -> str:
        return subprocess.run([*self.buildah, *args], check=True, capture_output=True, text=True).stdout.strip()

    def remove(self) -> None:
        self.ask("umount", self.container)
        self.ask("rm", self.container)

    def run(self, *command: str, mounts: dict[str, Path] | None = None) -> subprocess.CompletedProcess[str]:
        (self.folder / "config.json").unlink(missing_ok=True)
        subprocess.run(["runc", "spec"], cwd=self.folder, check=True)
        spec = json.loads((self.folder / "config.json").read_text())
        spec["root"] = {"path": self.root, "readonly": True}
        process = {"args": list(command), "env": self.env, "user": {"uid": ANY_USER, "gid": 0}, "terminal": False, "noNewPrivileges": True}
        spec["process"] |= process | {"capabilities": {}, "rlimits": []}
        binds = [{"destination": to, "source": str(at), "type": "bind", "options": ["bind", "rw"]} for to, at in (mounts or {}).items()]
        spec["mounts"] += binds
        (self.folder / "config.json").write_text(json.dumps(spec))
        start = ["runc", "run", f"--bundle={self.folder}", f"{self.name}-{time.monotonic_ns()}"]
        return subprocess.run(start, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False)


def test_runs_as_a_number_that_is_not_root(image: Image) -> None:
    assert image.config["config"]["User"] == "65532:65532"


def test_says_what_it_is(image: Image) -> None:
    labels = image.config["config"]["Labels"]
    assert labels["org.opencontainers.image.licenses"] == "Apache-2.0"
    assert labels["org.opencontainers.image.version"] == "0.1.0"
    assert labels["org.opencontainers.image.title"].startswith("panal ")


def test_is_small(image: Image) -> None:
    own = sum(image.layers[layer] for layer in image.own_layers()) / 1e6
    assert own < MEGABYTES[image.archive.stem]


def test_holds_licenses_compiled_code_and_no_word_of_where_it_came_from(image: Image) -> None:
    files = dict(image.files())
    assert any(name.startswith("licenses/") for name in files)
    sources = [n for n in files if n.startswith("opt/panal/") and n.endswith(".py")]
    compiled = {f"{Path(n).parent.parent}/{Path(n).name.split('.')[0]}.py" for n in files if n.endswith(".pyc")}
    assert not [n for n in sources if n not in compiled]
    settings = [name for name in files if Path(name).name in ("pip.conf", "direct_url.json", ".netrc")]
    assert not [name for name in settings if files[name]]


@pytest.mark.parametrize(
    ("container", "module"), [("controller", "panal.hub.main"), ("pod-tools", "panal.pod.reporter")], indirect=["container"]
)
def test_python_programs_load_from_compiled_code(container: Container, module: str) -> None:
    done = container.run("python", "-v", "-c", f"import {module}, os; print(os.getuid())")
    assert done.stdout.strip() == str(ANY_USER), done.stderr[-2000:]
    assert not [line for line in done.stderr.splitlines() if line.startswith("# wrote") or "could not create" in line]
    assert f"code object from '/opt/panal/lib/python3.11/site-packages/{module.replace('.', '/')}.py'" not in done.stderr


@pytest.mark.parametrize("container", ["pod-tools"], indirect=True)
def test_the_launchers_are_copied_where_the_apps_container_finds_them(container: Container, tmp_path: Path) -> None:
    tools = tmp_path / "tools"
    tools.mkdir(mode=0o777)
    tools.chmod(0o777)
    done = container.run("python", "-m", "panal.pod.tools.install", "/panal/tools", mounts={"/panal/tools": tools})
    assert done.returncode == 0, done.stderr
    assert list(tools.rglob("*.py"))


@pytest.mark.parametrize("container", ["gateway"], indirect=True)
def test_the_gateway_accepts_its_configuration(container: Container, tmp_path: Path) -> None:
    assert container.command == ["envoy"]
    hub = aggregator.bootstrap(8000, listen_health="127.0.0.1", loopback="127.0.0.1") | {"dynamic_resources": {}}  # its files are not there
    files = {"/pod/users": "panal:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=\n", f"/{limits.LOG_FILE}": json.dumps(limits.bucket_file())}
    mounts = {where: tmp_path / Path(where).name for where in files}
    for where, text in files.items():
        mounts[where].write_text(text)
        mounts[where].chmod(0o644)
    spoke = collaborator.bootstrap(loopback="127.0.0.1", users="/pod/users") | {"dynamic_resources": {}}
    for config in (hub, spoke):
        done = container.run(*container.command, "--mode", "validate", "--config-yaml", json.dumps(config), mounts=mounts)
        assert done.returncode == 0, done.stderr
        assert "OK" in done.stdout + done.stderr


@pytest.mark.parametrize("container", ["pod-tools"], indirect=True)
def test_the_reporter_has_what_it_needs_of_the_storage_library(container: Container) -> None:
    clients = "from botocore.session import Session; [Session().create_client(name, 'eu-west-1') for name in ('s3', 'sts')]"
    done = container.run("python", "-c", clients)
    assert done.returncode == 0, done.stderr[-2000:]
