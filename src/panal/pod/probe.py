"""`python -m panal.pod.probe`: tries the way from a site to the aggregator of a run, hop by hop, and says at which it ends.

`panal doctor --cluster` runs it at the site, in a Pod that has what the collaborator's Pod has. Its termination message is one JSON object:
`{"passed": [HOP, …], "failed": HOP, "message": TEXT}`, without `failed` if all hops are passed. It sends no data of the site: it looks
whether the data can be read, and ends each connection after the handshake.
"""

from __future__ import annotations

import json
import os
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

from cryptography import x509

from panal.api import names
from panal.api.addresses import PORTS
from panal.gateway.collaborator import Target, target

CONNECT = 5.0  # seconds for each answer
SETTINGS = b"\x00\x00\x00\x04\x00\x00\x00\x00\x00"  # an empty frame of HTTP/2, which a server answers with its own
OPENING = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + SETTINGS
LONGEST = 700  # characters of the message

Hop = Callable[["Probe"], None]


class FailedError(Exception):
    """A hop is not passed. The message says why, and the remedy."""


class Probe:
    """`gateway` is the folder with the files of the collaborator's gateway. The data of the site, if the run uses any, is in the folder
    `data`, or in a bucket at the URL `endpoint`."""

    def __init__(self, gateway: Path, data: Path | None, endpoint: str = "") -> None:
        self.gateway, self.data, self.endpoint = gateway, data, endpoint
        self._target: Target | None = None
        self.connection: socket.socket | None = None

    @property
    def target(self) -> Target:
        if self._target is None:
            self._target = target(json.loads((self.gateway / "cds.json").read_text()))
        return self._target

    @property
    def first(self) -> tuple[str, int]:
        """What this Pod connects to."""
        return self.target.proxy or self.target.address


def data(probe: Probe) -> None:
    """Of a bucket, whether its endpoint accepts connections; the credentials are the app's."""
    if probe.endpoint:
        url = urlsplit(probe.endpoint)
        try:
            socket.create_connection((url.hostname or "", url.port or PORTS[url.scheme]), CONNECT).close()
        except OSError as error:
            why = "no answer" if isinstance(error, TimeoutError) else str(error.strerror or error)
            raise FailedError(f"the endpoint {probe.endpoint} does not accept connections: {why}. Check the ClusterClaim.") from error
    if probe.data is None:
        return
    try:
        with os.scandir(probe.data) as entries:
            first = next(entries, None)
    except OSError as error:
        raise FailedError(f"the data cannot be read: {error.strerror}. Let the group {os.getgroups() or os.getgid()} read it.") from error
    if first is None:
        raise FailedError("the data's folder is empty. Check the ClusterClaim's path.")


def certificate(probe: Probe) -> None:
    try:
        found = x509.load_pem_x509_certificate((probe.gateway / "tls.crt").read_bytes())
    except FileNotFoundError as error:
        why = f"there is no Secret {names.IDENTITY_SECRET} with a certificate"
        raise FailedError(f"{why}. Check the cluster's registration agent and `panal certs`.") from error
    except ValueError as error:
        raise FailedError(f"the certificate cannot be read: {error}") from error
    now = datetime.now(UTC)
    if now < found.not_valid_before_utc:
        raise FailedError(
            f"the certificate is valid from {found.not_valid_before_utc:%H:%M:%SZ}, and this node's clock says {now:%H:%M:%SZ}"
        )
    if now > found.not_valid_after_utc:
        raise FailedError(
            f"the certificate expired at {found.not_valid_after_utc:%Y-%m-%d %H:%MZ}. Check the cluster's registration agent."
        )
    if not (probe.gateway / "ca.crt").exists():
        raise FailedError(f"the ConfigMap {names.TRUST} is not there. Check the add-on's work.")


def tcp(probe: Probe) -> None:
    host, port = probe.first
    try:
        probe.connection = socket.create_connection((host, port), CONNECT)
    except OSError as error:
        what = "the proxy" if probe.target.proxy else "the aggregator"
        why = "no answer" if isinstance(error, TimeoutError) else str(error.strerror or error)
        raise FailedError(f"{what} at {host}:{port} does not accept connections: {why}. Check firewalls and NetworkPolicies.") from error


def proxy(probe: Probe) -> None:
    if probe.target.proxy is None:
        return
    assert probe.connection
    host, port = probe.target.address
    where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    credentials = probe.gateway / "proxy-authorization"
    given = f"Proxy-Authorization: {credentials.read_text().splitlines()[0]}\r\n" if credentials.exists() else ""
    probe.connection.sendall(f"CONNECT {where} HTTP/1.1\r\nHost: {where}\r\n{given}\r\n".encode())
    answer = b""
    try:
        while b"\r\n\r\n" not in answer and len(answer) < 16384 and (piece := probe.connection.recv(1)):
            answer += piece
    except OSError as error:
        raise FailedError(f"the proxy does not answer CONNECT {where}: {error}") from error
    status = answer.split(b"\r\n", 1)[0].decode("ascii", "replace")
    if b" 200" not in answer[:13]:
        hint = {"407": "It asks for credentials", "403": "It does not allow this"}.get(status[9:12], "It does not connect")
        raise FailedError(f"the proxy answers CONNECT {where} with {status[:80] or 'nothing'}. {hint}: ask its administrator.")


def tls(probe: Probe) -> None:
    """The server's certificate, by the authorities that the hub published and the run's name."""
    assert probe.connection
    context = client(probe)
    try:
        probe.connection = context.wrap_socket(probe.connection, server_hostname=probe.target.sni)
    except ssl.SSLCertVerificationError as error:
        raise FailedError(
            f"what answers has a certificate that no authority of the hub signed ({error.verify_message}){_hint(probe)}"
        ) from error
    except OSError as error:
        raise FailedError(f"what answers does not speak TLS 1.3 as the aggregator does: {error}{_hint(probe)}") from error
    if probe.target.server_name not in (found := _names(probe.connection.getpeercert(binary_form=True))):
        raise FailedError(f"what answers is {', '.join(found) or 'nameless'}, not {probe.target.server_name}{_hint(probe)}")


def authorization(probe: Probe) -> None:
    """In TLS 1.3 a server refuses a client's certificate after the client's handshake has ended."""
    assert probe.connection
    try:
        probe.connection.sendall(OPENING)
        answer = probe.connection.recv(9)
    except ssl.SSLError as error:
        raise FailedError(f"the aggregator refuses this cluster's certificate: {error.reason or error}. See `panal certs`.") from error
    except OSError as error:
        raise FailedError(f"the aggregator ends the connection: {error.strerror or error}. {_not_admitted(probe)}") from error
    if answer[3:4] != b"\x04":
        raise FailedError(f"the aggregator ends the connection. {_not_admitted(probe)}")


HOPS: dict[str, Hop] = {
    "data": data,
    "certificate": certificate,
    "TCP": tcp,
    "proxy": proxy,
    "TLS": tls,
    "authorization": authorization,
}


def _hint(probe: Probe) -> str:
    where = ":".join(map(str, probe.target.address))
    return f". The name in the handshake is {probe.target.sni}: check what is in front of the aggregator at {where}."


def _not_admitted(probe: Probe) -> str:
    return f"Its gateway does not admit {probe.target.protocol}: see the run's status.collaborators and `panal certs`."


def client(probe: Probe) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False  # the name in the handshake may be another than the server's
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_verify_locations(probe.gateway / "ca.crt")
    context.load_cert_chain(probe.gateway / "tls.crt", probe.gateway / "tls.key")
    context.set_alpn_protocols([probe.target.protocol, "h2"])
    return context


def _names(der: bytes | None) -> list[str]:
    with suppress(x509.ExtensionNotFound):
        found = x509.load_der_x509_certificate(der or b"").extensions.get_extension_for_class(x509.SubjectAlternativeName)
        return found.value.get_values_for_type(x509.DNSName)
    return []


def run(probe: Probe) -> dict[str, object]:
    passed: list[str] = []
    for name, hop in HOPS.items():
        try:
            hop(probe)
        except FailedError as error:
            return {"passed": passed, "failed": name, "message": str(error)[:LONGEST]}
        except (OSError, ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
            return {"passed": passed, "failed": name, "message": f"{type(error).__name__}: {error}"[:LONGEST]}
        passed.append(name)
    return {"passed": passed}


def main() -> None:
    found = os.environ.get("PANAL_DATA_DIR")
    probe = Probe(Path(names.GATEWAY_DIR), Path(found) if found else None, os.environ.get("PANAL_DATA_ENDPOINT", ""))
    result = json.dumps(run(probe))
    if probe.connection:
        probe.connection.close()
    Path(os.environ.get("PANAL_TERMINATION_LOG", "/dev/termination-log")).write_text(result)


if __name__ == "__main__":
    main()
