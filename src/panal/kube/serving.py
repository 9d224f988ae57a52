"""The certificate with which a process of ours serves HTTPS: one of a folder, which is followed, or one that it makes itself."""

from __future__ import annotations

import asyncio
import logging
import os
import ssl
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

log = logging.getLogger(__name__)

LOOK_AGAIN = 60.0  # seconds between two looks whether the certificate is another one
OWN_LIFE = timedelta(days=3650)  # nobody verifies it, and the next process makes another one
PEM = serialization.Encoding.PEM


class CertificateError(ValueError):
    """The folder has no certificate that can be used. The message names the setting."""


class Certificate:
    """Of a folder with tls.crt and tls.key. A new one counts for further connections. `setting`: what errors call the folder."""

    def __init__(self, folder: Path, setting: str) -> None:
        self._folder = folder
        self._setting = setting
        self.context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self._read = b""
        self.read()

    def read(self) -> bool:
        """Whether it is another one. Raises CertificateError if it cannot be used."""
        certificate, key = self._folder / "tls.crt", self._folder / "tls.key"
        try:
            found = key.read_bytes() + b"\n" + certificate.read_bytes()
            if found == self._read:
                return False
            load_pem(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), found)  # a pair that does not match would stay in the context
            load_pem(self.context, found)
        except (OSError, ssl.SSLError) as error:
            raise CertificateError(f"{self._setting}: {error}") from error
        self._read = found
        return True

    async def keep(self) -> None:
        """Until cancelled. One that cannot be used is passed over."""
        while True:
            await asyncio.sleep(LOOK_AGAIN)
            try:
                if self.read():
                    log.info("using a new certificate")
            except CertificateError as error:
                log.warning("%s", error)


def self_signed(name: str, now: datetime) -> ssl.SSLContext:
    """With a new key and a certificate for the DNS name `name`. The key is in memory only."""
    key, subject = ec.generate_private_key(ec.SECP256R1()), x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "panal")])
    made = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number(), now - timedelta(hours=1), now + OWN_LIFE)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    load_pem(context, private + made.public_bytes(PEM))
    return context


def load_pem(context: ssl.SSLContext, pem: bytes) -> None:
    """The library takes files only, and a Pod's are read-only. Raises OSError."""
    with os.fdopen(os.memfd_create("certificate"), "wb") as file:
        file.write(pem)
        file.flush()
        context.load_cert_chain(f"/proc/self/fd/{file.fileno()}")
