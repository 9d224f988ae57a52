"""The certificates of one cluster, made by openssl and kept in its folder."""

from __future__ import annotations

import subprocess
from pathlib import Path


class Pki:
    """A certificate authority in `folder`; what is there already is kept."""

    def __init__(self, folder: Path, name: str) -> None:
        self.folder, self.name = folder, name

    def openssl(self, *args: str) -> None:
        subprocess.run(["openssl", *args], check=True, capture_output=True, cwd=self.folder)

    def authority(self) -> None:
        if (self.folder / "ca.crt").exists():
            return
        self.openssl(
            *("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "ca.key", "-days", "30", "-subj", f"/CN={self.name}-ca"),
            *("-addext", "keyUsage=critical,keyCertSign,cRLSign", "-out", "ca.crt"),
        )
        self.openssl("genrsa", "-out", "sa.key", "2048")

    def certificate(self, name: str, subject: str, san: str = "", usage: str = "clientAuth") -> None:
        if (self.folder / f"{name}.crt").exists():
            return
        extensions = f"extendedKeyUsage={usage}\nkeyUsage=digitalSignature,keyEncipherment\n" + (f"subjectAltName={san}\n" if san else "")
        (self.folder / f"{name}.ext").write_text(extensions)
        self.openssl("req", "-newkey", "rsa:2048", "-nodes", "-keyout", f"{name}.key", "-subj", subject, "-out", f"{name}.csr")
        self.openssl(
            *("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-days", "30"),
            *("-extfile", f"{name}.ext", "-out", f"{name}.crt"),
        )
