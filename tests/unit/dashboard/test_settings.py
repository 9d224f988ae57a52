"""The settings of a hub's dashboard, and its certificate."""

from __future__ import annotations

import asyncio
import ssl
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from panal.dashboard.main import on_hub
from panal.dashboard.settings import TLS, Settings, SettingsError, load
from panal.kube.client import Client
from panal.kube.serving import Certificate, CertificateError
from panal.kube.times import now_utc


def test_without_variables_there_are_defaults():
    assert load({}) == Settings("0.0.0.0", 8080, (), None, "INFO")


def test_variables():
    found = load(
        {"PANAL_DASHBOARD_HOSTS": "Panal.example.com, localhost:8080,", "PANAL_DASHBOARD_TLS": "/tls", "PANAL_DASHBOARD_PORT": "0"}
    )
    assert (found.hosts, found.tls, found.port) == (("panal.example.com", "localhost:8080"), Path("/tls"), 0)


@pytest.mark.parametrize(
    ("name", "value"),
    [("PANAL_DASHBOARD_PORT", "x"), ("PANAL_DASHBOARD_PORT", "99999"), ("PANAL_DASHBOARD_PORT", "-1"), ("PANAL_LOG_LEVEL", "loud")],
)
def test_a_wrong_variable_is_named(name, value):
    with pytest.raises(SettingsError, match=name):
        load({name: value})


def write(folder: Path) -> str:
    """A new certificate for localhost; returns it in PEM."""
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = now_utc()
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now - timedelta(days=1), now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    (folder / "tls.crt").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "tls.key").write_bytes(private)
    return made.public_bytes(serialization.Encoding.PEM).decode()


async def test_it_serves_https_with_the_certificate_of_the_folder_and_takes_a_new_one(api, tmp_path):
    first = write(tmp_path)
    certificate = Certificate(tmp_path, TLS)
    assert not certificate.read()
    client = Client.from_kubeconfig(api.kubeconfig(tmp_path, "administrator"))
    async with client, on_hub(client, Settings("127.0.0.1", 0, tls=tmp_path)) as port:
        served = await asyncio.to_thread(ssl.get_server_certificate, ("127.0.0.1", port))
    assert served.strip() == first.strip()
    write(tmp_path)
    assert certificate.read()


def test_a_certificate_that_cannot_be_used_is_named_and_the_former_one_stays(tmp_path):
    with pytest.raises(CertificateError, match="PANAL_DASHBOARD_TLS"):
        Certificate(tmp_path, TLS)
    write(tmp_path)
    certificate = Certificate(tmp_path, TLS)
    (tmp_path / "tls.key").write_text("broken")
    with pytest.raises(CertificateError, match="PANAL_DASHBOARD_TLS"):
        certificate.read()


async def test_while_only_half_of_a_pair_is_new_the_former_one_is_served(tmp_path):
    first = write(tmp_path)
    certificate = Certificate(tmp_path, TLS)
    former_key = (tmp_path / "tls.key").read_bytes()
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0, ssl=certificate.context)

    async def served() -> str:
        return (await asyncio.to_thread(ssl.get_server_certificate, server.sockets[0].getsockname())).strip()

    async with server:
        second, new_key = write(tmp_path), (tmp_path / "tls.key").read_bytes()
        (tmp_path / "tls.key").write_bytes(former_key)
        with pytest.raises(CertificateError, match="PANAL_DASHBOARD_TLS"):
            certificate.read()
        assert await served() == first.strip()
        (tmp_path / "tls.key").write_bytes(new_key)
        assert certificate.read()
        assert await served() == second.strip()
