"""A run's files in a bucket of a real S3 server, and what may happen on the way to it."""

from __future__ import annotations

import hashlib
import json
import os
import random
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from aiohttp import web
from cryptography import x509
from safetensors.numpy import save_file

from certificates import SERVER_AUTH, authority
from panal.api.names import INITIAL_PREFIX
from panal.pod.bucket import Bucket, Sums
from panal.pod.initial_model import InitialModel, InitialModelError
from panal.pod.parts import LIMIT
from panal.pod.service import Service, connected
from panal.pod.storage_errors import Address, StorageError
from processes import free_port
from s3 import (
    ACCESS,
    BUCKET,
    CREDENTIALS,
    SECRET,
    Fault,
    Proxy,
    Server,
    Times,
    anything,
    completion,
    download,
    part,
    program,
    serving,
)

pytestmark = [pytest.mark.real]

RUN = "prefix/team/digits/uid"
PARTS = 3
BIG = LIMIT * 2 + 1000  # bytes: two whole parts and a rest


@pytest.fixture(scope="module", autouse=True)
def _programs() -> None:
    if not program().is_file():
        pytest.skip("no versitygw: set KUBEBUILDER_ASSETS to the folder of the programs (docs/design/testing.md)")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("s3")) as found:
        yield found


@pytest.fixture
def proxy(server: Server) -> Iterator[Proxy]:
    with Proxy(server).running() as found:
        yield found


@pytest.fixture
def model(tmp_path: Path) -> Path:
    file = tmp_path / "model"
    file.write_bytes(random.Random(1).randbytes(BIG))
    return file


@pytest.fixture
def run(request: pytest.FixtureRequest) -> str:
    """A prefix of this test's own."""
    return f"{RUN}-{hashlib.sha256(request.node.name.encode()).hexdigest()[:8]}"


def bucket(address: Address, base: str, work: Path, patience: float = 30.0, env: dict[str, str] = CREDENTIALS, **more: Any) -> Bucket:
    return Bucket(Service(address, lambda: connected(address, env), patience=patience, **more), base, work)


def of(file: Path) -> Sums:
    return Sums(file.stat().st_size, hashlib.sha256(file.read_bytes()).hexdigest())


def content(server: Server, base: str, name: str) -> Sums:
    return of(server.root / BUCKET / base / name)


# --- stored and read ----------------------------------------------------------------------------------------------
def test_what_is_stored_is_read(server: Server, run: str, model: Path, tmp_path: Path) -> None:
    at = bucket(server.address(), run, tmp_path)
    small, empty = tmp_path / "small", tmp_path / "empty"
    small.write_bytes(b"metadata")
    empty.touch()
    for name, file in {"model": model, "metadata.json": small, "files/a b+ü.txt": small, "empty": empty}.items():
        assert at.put(name, file) == of(file) == content(server, run, name)
        assert at.get(name, tmp_path / "read") == of(file) == of(tmp_path / "read")
    assert sorted(at.names()) == ["empty", "files/a b+ü.txt", "metadata.json", "model"]
    at.delete("files/a b+ü.txt")
    at.delete("files/a b+ü.txt")
    assert at.names("files/") == []
    assert server.uploads(run) == []
    assert list(tmp_path.glob(".upload*")) == []


def test_a_check_leaves_nothing(server: Server, run: str, tmp_path: Path) -> None:
    bucket(server.address(), run, tmp_path).check()
    assert server.objects(run) == server.uploads(run) == []


def test_more_objects_than_a_page(server: Server, run: str, tmp_path: Path) -> None:
    folder = server.root / BUCKET / run
    folder.mkdir(parents=True)
    for number in range(1005):
        (folder / str(number)).touch()
    assert len(bucket(server.address(), run, tmp_path).names()) == 1005


# --- faults that pass ---------------------------------------------------------------------------------------------
PASSING: dict[str, Callable[[], Callable[[web.Request], Fault]]] = {
    "two parts answered by 503": lambda: Times(Fault((503, "SlowDown")), part, (1, 2)),
    "an internal error at the end": lambda: Times(Fault((500, "InternalError")), completion),
    "an upload cut in the middle of a part": lambda: Times(Fault(cut=LIMIT // 2), part, (2,)),
    "the answer to a part is lost": lambda: Times(Fault(lose=True), part, (2,)),
    "the answer to the completion is lost": lambda: Times(Fault(lose=True), completion),
    "a download cut twice": lambda: Times(Fault(cut_answer=LIMIT), download, (1, 2)),
    "a download with another byte": lambda: Times(Fault(damage=True), download),
    "too many requests": lambda: Times(Fault((429, "TooManyRequests")), anything, (1, 3)),
    "slow": lambda: Times(Fault(slow=1.5), anything, range(100)),
}


@pytest.mark.parametrize("fault", PASSING)
def test_a_fault_that_passes_costs_time_only(proxy: Proxy, run: str, model: Path, tmp_path: Path, fault: str) -> None:
    proxy.judge = PASSING[fault]()
    said: list[str] = []
    at = bucket(proxy.server.address(endpoint=proxy.url), run, tmp_path, report=said.append)
    assert at.put("model", model) == of(model) == content(proxy.server, run, "model")
    assert said[-1] == ""
    assert all("spec.server.storage.s3.endpoint" in each and each.endswith("; trying again") for each in said if each)
    assert proxy.server.objects(run) == ["model"]


def test_an_outage_is_waited_for(proxy: Proxy, run: str, model: Path, tmp_path: Path) -> None:
    until = time.monotonic() + 10
    proxy.judge = lambda _: Fault((503, "ServiceUnavailable")) if time.monotonic() < until else Fault()
    said: list[str] = []
    touched: list[float] = []
    at = bucket(proxy.server.address(endpoint=proxy.url), run, tmp_path, report=said.append, touch=lambda: touched.append(time.monotonic()))
    at.put("model", model)
    assert "CreateMultipartUpload answers ServiceUnavailable" in said[0]
    assert [t for t in touched if t < until], "the launcher learns that the reporter is not stuck"
    assert content(proxy.server, run, "model") == of(model)


def test_a_server_without_sha256_checks_md5(proxy: Proxy, run: str, model: Path, tmp_path: Path) -> None:
    sums: list[tuple[str, bool]] = []

    def judge(request: web.Request) -> Fault:
        if any(name.lower() in ("x-amz-checksum-sha256", "x-amz-checksum-algorithm") for name in request.headers):
            return Fault((501, "NotImplemented"))
        if request.method == "PUT":
            sums.append((request.path, "Content-MD5" in request.headers))
        return Fault()

    proxy.judge = judge
    at = bucket(proxy.server.address(endpoint=proxy.url), run, tmp_path)
    small = tmp_path / "small"
    small.write_bytes(b"metadata")
    assert at.put("small", small) == content(proxy.server, run, "small")
    assert at.put("model", model) == of(model) == content(proxy.server, run, "model")
    assert len(sums) == 1 + PARTS
    assert all(there for _, there in sums)


# --- ends in the middle -------------------------------------------------------------------------------------------
def fails(at: Bucket, model: Path, words: str) -> None:
    with pytest.raises(StorageError, match=words):
        at.put("model", model)


def parts_sent(proxy: Proxy) -> list[int]:
    return [int(each.split("partNumber=")[1].split("&")[0]) for each in proxy.seen if "partNumber=" in each]


def test_an_upload_that_fails_leaves_no_model_and_goes_on_where_it_was(proxy: Proxy, run: str, model: Path, tmp_path: Path) -> None:
    proxy.judge = Times(Fault(cut=1000), part, range(3, 100))
    address = proxy.server.address(endpoint=proxy.url)
    fails(bucket(address, run, tmp_path, patience=2), model, "cannot be reached")
    assert proxy.server.objects(run) == []
    proxy.judge, proxy.seen = lambda _: Fault(), []
    assert bucket(address, run, tmp_path).put("model", model) == of(model) == content(proxy.server, run, "model")
    assert parts_sent(proxy) == [PARTS]
    assert (proxy.server.objects(run), proxy.server.uploads(run), list(tmp_path.glob(".upload*"))) == (["model"], [], [])


def test_another_model_is_not_mixed_with_what_was_sent(proxy: Proxy, run: str, model: Path, tmp_path: Path) -> None:
    proxy.judge = Times(Fault((403, "AccessDenied")), part, (3,))
    address = proxy.server.address(endpoint=proxy.url)
    fails(bucket(address, run, tmp_path), model, "secretName")
    model.write_bytes(random.Random(2).randbytes(BIG))
    proxy.seen = []
    assert bucket(address, run, tmp_path).put("model", model) == content(proxy.server, run, "model")
    assert parts_sent(proxy) == [1, 2, 3]
    assert proxy.server.uploads(run) == []


def test_an_upload_that_the_server_has_forgotten_begins_again(proxy: Proxy, run: str, model: Path, tmp_path: Path) -> None:
    proxy.judge = Times(Fault((403, "AccessDenied")), part, (3,))
    address = proxy.server.address(endpoint=proxy.url)
    fails(bucket(address, run, tmp_path), model, "secretName")
    elsewhere = tmp_path / "other"
    elsewhere.mkdir()
    bucket(address, run, elsewhere).check()  # as the next Pod of the run does
    assert proxy.server.uploads(run) == []
    proxy.seen = []
    assert bucket(address, run, tmp_path).put("model", model) == content(proxy.server, run, "model")
    assert parts_sent(proxy) == [3, 1, 2, 3]


def test_a_damaged_store_is_not_believed(proxy: Proxy, run: str, model: Path, tmp_path: Path) -> None:
    proxy.judge = Times(Fault(damage=True), download, range(100))
    fails(bucket(proxy.server.address(endpoint=proxy.url), run, tmp_path), model, "returns model not as it was sent")


def test_the_beginning_has_an_end(proxy: Proxy, run: str, tmp_path: Path) -> None:
    proxy.judge = lambda _: Fault((503, "SlowDown"))
    at = bucket(proxy.server.address(endpoint=proxy.url), run, tmp_path, patience=600)
    at.service.until = time.monotonic() + 3
    begun = time.monotonic()
    with pytest.raises(StorageError, match="SlowDown"):
        at.check()
    assert time.monotonic() - begun < 10


def test_an_end_during_an_outage_is_prompt(proxy: Proxy, run: str, model: Path, tmp_path: Path) -> None:
    proxy.judge = lambda _: Fault((503, "SlowDown"))
    at = bucket(proxy.server.address(endpoint=proxy.url), run, tmp_path, patience=600)
    at.service.stop.set()
    begun = time.monotonic()
    fails(at, model, "SlowDown")
    assert time.monotonic() - begun < 10


@pytest.mark.skipif(os.geteuid() != 0, reason="a small file system needs root")
def test_no_space_is_named(tmp_path: Path, run: str, model: Path) -> None:
    (tmp_path / "small").mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(tmp_path / "small")], check=True)
    try:
        with serving(tmp_path / "small") as server:
            said: list[str] = []
            at = bucket(server.address(), run, tmp_path, patience=3, report=said.append)
            fails(at, model, "spec.server.storage.s3.bucketName: bucket models at http.* has no space left; free some")
            assert said, "space may be made meanwhile"
            assert server.objects(run) == []
    finally:
        subprocess.run(["umount", "-l", str(tmp_path / "small")], check=True)


# --- what is wrong, by field --------------------------------------------------------------------------------------
WRONG: dict[str, tuple[dict[str, Any], dict[str, str], str]] = {
    "no such bucket": ({"bucket": "absent"}, {}, "bucketName: there is no bucket absent at http"),
    "another secret key": (
        {},
        {"AWS_SECRET_ACCESS_KEY": "other"},
        "secretName: http.* does not accept the credentials in Secret models-s3",
    ),
    "another access key": ({}, {"AWS_ACCESS_KEY_ID": "OTHER"}, "secretName: http.* does not accept the credentials in Secret models-s3"),
    "no keys in the Secret": ({}, {"AWS_ACCESS_KEY_ID": ""}, "secretName: Secret models-s3 has no AWS_ACCESS_KEY_ID"),
    "no authorities": (
        {"authorities": "/nowhere/ca.crt", "bundle": "key ca.crt of ConfigMap s3-ca"},
        {},
        "caBundle: there is no key ca.crt of ConfigMap s3-ca",
    ),
}


def wrong(address: Address, work: Path, base: str = RUN, **env: str) -> str:
    with pytest.raises(StorageError) as caught:
        bucket(address, base, work, patience=3, env={**CREDENTIALS, **env}).check()
    assert SECRET not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("case", WRONG)
def test_the_message_names_the_field(server: Server, tmp_path: Path, case: str) -> None:
    address, env, words = WRONG[case]
    found = wrong(server.address(**address), tmp_path, **env)
    assert re.match(rf"spec\.server\.storage\.s3\.{words}", found), found


def test_another_region_is_corrected_by_the_one_that_the_server_names(server: Server, run: str, model: Path, tmp_path: Path) -> None:
    assert bucket(server.address(region="eu-west-7"), run, tmp_path).put("model", model) == content(server, run, "model")


def test_credentials_without_rights_are_named(tmp_path: Path) -> None:
    (tmp_path / "iam").mkdir()
    with serving(tmp_path, "--iam-dir", str(tmp_path / "iam")) as server:
        common = ["--access", ACCESS, "--secret", SECRET, "--endpoint-url", server.url]
        account = ["--access", "OTHERKEY", "--secret", "another-secret-key", "--role", "user"]
        subprocess.run([program(), "admin", *common, "create-user", *account], check=True, capture_output=True)
        found = wrong(server.address(), tmp_path, AWS_ACCESS_KEY_ID="OTHERKEY", AWS_SECRET_ACCESS_KEY="another-secret-key")
    assert found.startswith("spec.server.storage.s3.secretName: the credentials in Secret models-s3 may not use bucket models; allow s3:")
    assert "another-secret-key" not in found


def test_no_identity_is_named(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert wrong(server.address(secret=""), tmp_path).startswith("spec.server.storage.s3.secretName: not set, and the cloud gives")


def test_files_of_the_user_s_containers_are_no_settings(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".aws").mkdir()
    for name in ("config", "credentials"):
        (tmp_path / ".aws" / name).write_text(f"[default]\ncredential_process = touch {tmp_path}/run\nendpoint_url = http://127.0.0.1:1\n")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert "no identity" in wrong(server.address(secret=""), tmp_path)
    assert not (tmp_path / "run").exists()
    amazon = connected(Address(BUCKET, secret="models-s3"), CREDENTIALS)
    assert amazon.meta.endpoint_url == "https://s3.amazonaws.com"


def test_the_identity_of_the_pod_is_used(server: Server, run: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    bucket(server.address(secret=""), run, tmp_path, env={}).check()


def test_an_endpoint_that_is_not_there_is_named(server: Server, tmp_path: Path) -> None:
    found = wrong(server.address(endpoint=f"http://127.0.0.1:{free_port()}"), tmp_path)
    assert "spec.server.storage.s3.endpoint: http://127.0.0.1" in found
    assert "cannot be reached: " in found


def test_an_object_in_place_of_a_folder_is_named(server: Server, run: str, model: Path, tmp_path: Path) -> None:
    bucket(server.address(), run, tmp_path).put("model", model)
    at = bucket(server.address(), f"{run}/model", tmp_path)
    fails(at, model, "spec.server.storage.s3.prefix: an object in the bucket has the name of a folder")


@contextmanager
def with_tls(folder: Path) -> Iterator[Server]:
    trusted = authority("test")
    pair = trusted.issue("s3", x509.IPAddress(ip_address("127.0.0.1")), usages=[SERVER_AUTH])
    (folder / "ca.crt").write_bytes(trusted.certificate)
    (folder / "tls.crt").write_bytes(pair.certificate)
    (folder / "tls.key").write_bytes(pair.key)
    with serving(folder, "--cert", str(folder / "tls.crt"), "--key", str(folder / "tls.key"), scheme="https") as server:
        yield server


def test_only_the_given_authority_is_trusted(tmp_path: Path, run: str, model: Path) -> None:
    other = tmp_path / "other.crt"
    other.write_bytes(authority("another").certificate)
    with with_tls(tmp_path) as server:
        given = {"authorities": str(tmp_path / "ca.crt"), "bundle": "key ca.crt of ConfigMap s3-ca"}
        assert bucket(server.address(**given), run, tmp_path).put("model", model) == content(server, run, "model")
        found = wrong(server.address(), tmp_path)
        assert found.startswith(f"spec.server.storage.s3.caBundle: the certificate of {server.url} is not trusted")
        assert "the public authorities" in found
        found = wrong(server.address(**{**given, "authorities": str(other)}), tmp_path)
        assert "it is checked against key ca.crt of ConfigMap s3-ca" in found


# --- the model with which a run begins ---------------------------------------------------------------------------
def initial(server: Server, key: str, **address: Any) -> InitialModel:
    found = server.address(**address)
    content = {
        "bucket": found.bucket,
        "region": found.region,
        "endpoint": found.endpoint,
        "pathStyle": True,
        "bundle": "",
        "secret": "theirs",
    }
    text = json.dumps({"run": "before", "uri": f"s3://{BUCKET}/{key}", "digest": "", "key": key, "bucket": content})
    model = InitialModel.read({"PANAL_INITIAL_MODEL": text})
    assert model is not None
    return model


def test_a_run_begins_with_a_model_of_a_bucket(server: Server, tmp_path: Path) -> None:
    theirs = {f"{INITIAL_PREFIX}{name}": value for name, value in CREDENTIALS.items()}
    save_file({"w": np.array([1.5, 2.5])}, tmp_path / "model.safetensors")
    server.client().put_object(Bucket=BUCKET, Key=f"{RUN}/model.safetensors", Body=(tmp_path / "model.safetensors").read_bytes())
    status = initial(server, f"{RUN}/model.safetensors").bring(tmp_path / "run", tmp_path / "place", theirs, lambda: None)
    assert status.digest == f"sha256:{hashlib.sha256((tmp_path / 'model.safetensors').read_bytes()).hexdigest()}"
    with np.load(tmp_path / "run/initial/model.npz") as archive:
        assert archive["0"].tolist() == [1.5, 2.5]
    for key, credentials, words in (
        (f"{RUN}/other.safetensors", theirs, "does not exist any more"),
        (f"{RUN}/model.safetensors", dict.fromkeys(theirs, "wrong"), "Secret theirs"),
    ):
        with pytest.raises(InitialModelError, match=words):
            initial(server, key).bring(tmp_path / "run", tmp_path / "place", credentials, lambda: None)
