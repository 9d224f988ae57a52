"""The gateway's files are complete before a cluster is admitted, match the key, and are replaced atomically."""

from __future__ import annotations

import json
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from panal.gateway import aggregator as gateway
from panal.pod.gatekeeper import Gatekeeper

SECRET = "Basic cGFuYWw6aHVi"
NAME = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])


def gatekeeper(folder: Path) -> Gatekeeper:
    rules = gateway.Rules("abcdef0123", ("/v1/fleet/",), 1 << 20, "127.0.0.1", secret=SECRET)
    (folder / "run").mkdir(exist_ok=True)
    return Gatekeeper(folder, rules, folder / "run")


def certificate(request: str) -> str:
    """A certificate for the key of `request`, signed by an arbitrary key."""
    now = datetime.now(UTC)
    key = x509.load_pem_x509_csr(request.encode()).public_key()
    made = x509.CertificateBuilder().subject_name(NAME).issuer_name(NAME).serial_number(1).public_key(key)  # type: ignore[arg-type]
    made = made.not_valid_before(now).not_valid_after(now + timedelta(hours=1))
    return made.sign(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256()).public_bytes(Encoding.PEM).decode()


def data(request: str, *participants: str) -> dict[str, str]:
    return {"participants": json.dumps(participants), "trust": "CA", "crl": "CRL", "certificate": certificate(request)}


def test_the_key_is_private_and_survives_a_restart(tmp_path: Path) -> None:
    first = gatekeeper(tmp_path)
    assert stat.S_IMODE((tmp_path / "tls.key").stat().st_mode) == 0o600
    again = gatekeeper(tmp_path)
    keys = [x509.load_pem_x509_csr(g.request.encode()).public_key() for g in (first, again)]
    assert keys[0] == keys[1]


@pytest.mark.parametrize("missing", ["certificate", "trust", "crl"])
def test_no_participant_is_admitted_while_a_file_is_missing(tmp_path: Path, missing: str) -> None:
    keeper = gatekeeper(tmp_path)
    whole = data(keeper.request, "c1")
    keeper.update({k: v for k, v in whole.items() if k != missing})
    assert not (tmp_path / "lds.json").exists()
    assert not (tmp_path / "run/participants.json").exists()
    keeper.update({missing: whole[missing], "participants": whole["participants"]})
    assert "abcdef0123.c1" in (tmp_path / "lds.json").read_text()


def test_participants_are_admitted_when_all_files_exist(tmp_path: Path) -> None:
    keeper = gatekeeper(tmp_path)
    whole = data(keeper.request, "c1", "c2")
    keeper.update(whole)
    text = (tmp_path / "lds.json").read_text()
    assert "abcdef0123.c1" in text
    assert "abcdef0123.c2" in text
    keeper.update({**whole, "participants": '["c2"]'})
    assert "abcdef0123.c1" not in (tmp_path / "lds.json").read_text()
    assert json.loads((tmp_path / "run/participants.json").read_text()) == {"clusters": ["c2"]}  # read by the runtime
    assert (tmp_path / "ca.crt").read_text() == "CA"
    assert (tmp_path / "crl.pem").read_text() == "CRL"
    assert not list(tmp_path.glob("*.part"))


@pytest.mark.parametrize("text", ["", "no certificate", "another key's"])
def test_a_certificate_for_another_key_is_ignored(tmp_path: Path, text: str) -> None:
    keeper = gatekeeper(tmp_path)
    good = data(keeper.request, "c1")
    keeper.update(good)
    other = gatekeeper_of_another(tmp_path).request
    keeper.update({**good, "certificate": certificate(other) if text == "another key's" else text})
    assert (tmp_path / "tls.crt").read_text() == good["certificate"]


def gatekeeper_of_another(tmp_path: Path) -> Gatekeeper:
    (tmp_path / "other").mkdir()
    return gatekeeper(tmp_path / "other")


def test_it_is_configured_by_the_environment(tmp_path: Path) -> None:
    (tmp_path / "gateway").mkdir()
    (tmp_path / "secret").write_text(f"{SECRET}\n")
    env = {
        "PANAL_GATEWAY_DIR": str(tmp_path / "gateway"), "PANAL_POD_DIR": str(tmp_path), "PANAL_RUN_DIR": str(tmp_path),
        "PANAL_GATEWAY_PATHS": "/v1/fleet/", "PANAL_GATEWAY_METHODS": "POST",
        "PANAL_GATEWAY_LARGEST_REQUEST": "1000", "PANAL_RUN_ID": "abcdef0123", "POD_IP": "127.0.0.1",
    }  # fmt: skip
    keeper = Gatekeeper.of(env)
    keeper.update(data(keeper.request, "c1"))
    text = (tmp_path / "gateway/lds.json").read_text()
    assert json.dumps({"key": "x-panal-pod", "value": SECRET}) in text
    assert json.dumps({"start": 0, "end": 1001}) in text


def test_files_with_the_pods_secret_are_readable_by_the_group_only(tmp_path: Path) -> None:
    keeper = gatekeeper(tmp_path)
    (tmp_path / "lds.json").write_text(json.dumps(gateway.EMPTY["lds.json"]))  # as the init container writes it, readable by all
    keeper.update(data(keeper.request, "c1"))
    assert SECRET in (tmp_path / "lds.json").read_text()
    assert stat.S_IMODE((tmp_path / "lds.json").stat().st_mode) == 0o640


def test_unchanged_files_are_not_written(tmp_path: Path) -> None:
    keeper = gatekeeper(tmp_path)
    whole = data(keeper.request, "c1")
    keeper.update(whole)
    before = {p.name: p.stat().st_mtime_ns for p in tmp_path.iterdir()}
    keeper.update(whole)
    assert {p.name: p.stat().st_mtime_ns for p in tmp_path.iterdir()} == before
