"""Whoever dials a run's aggregator at its real address: with certificates of real clusters or none, in the right way or a wrong one.

The certificates are those of `site_certificates`; what is sent is made by hand (`raw_http2`).
"""

from __future__ import annotations

import json
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from cryptography import x509

from certificates import Pair
from panal.api import names
from raw_http2 import message, opening, outcome, request_fields, tls_context
from runs import Run
from waiting import eventually

KNOWN_PATH = "/v1/fleet/pull-messages"
PATIENCE = 15.0  # seconds for an answer, on a busy machine
Said = dict[str, Any]


def protocols(run: Run, cluster: str) -> list[str]:
    """What a collaborator of that cluster offers in its handshake with that run's aggregator."""
    return [names.protocol(names.run_id(run.namespace, run.name, run.uid), cluster), "h2"]


@dataclass(frozen=True)
class Aggregator:
    """A run's, as it can be reached from outside."""

    run: Run
    address: tuple[str, int]

    @classmethod
    def of(cls, run: Run) -> Aggregator:
        listener = run.until(lambda s: bool(s.get("listeners")), "the aggregator has its address", 60)["listeners"][0]
        return cls(run, (listener["address"], listener["port"]))

    def context(self, pair: Pair | None, cluster: str, **how: Any) -> ssl.SSLContext:
        """That of a client which claims to be of `cluster`."""
        return tls_context(pair, protocols(self.run, cluster), **how)

    @contextmanager
    def connection(self, context: ssl.SSLContext | None) -> Iterator[socket.socket]:
        """TLS, or plain without a context."""
        with socket.create_connection(self.address, timeout=PATIENCE) as plain:
            if context is None:
                yield plain
                return
            name = names.server_name(self.run.name, self.run.namespace)
            with context.wrap_socket(plain, server_hostname=name) as connection:
                yield connection

    def ask(self, context: ssl.SSLContext | None, path: str = KNOWN_PATH, sent: bytes = b"") -> str:
        """What comes of a request, or of the bytes `sent`: the answer's status, "reset", "closed", or how TLS failed."""
        try:
            with self.connection(context) as connection:
                connection.sendall(sent or request(path))
                return outcome(connection)
        except ssl.SSLError as error:
            return f"tls: {error.reason}"
        except ConnectionError:
            return "closed"

    def certificate(self, pair: Pair, cluster: str, authorities: str) -> x509.Certificate:
        """What the aggregator shows, which must be of one of `authorities` (PEM) and name this very run."""
        context = self.context(pair, cluster)
        context.check_hostname, context.verify_mode = True, ssl.CERT_REQUIRED
        context.load_verify_locations(cadata=authorities)
        with self.connection(context) as connection:
            assert isinstance(connection, ssl.SSLSocket)
            shown = connection.getpeercert(binary_form=True)
        assert shown
        return x509.load_der_x509_certificate(shown)

    # --- the gateway's log ----------------------------------------------------------------------------------------
    def refusals(self) -> list[Said]:
        """The latest lines of the gateway's log that tell of a refusal."""
        logs = "\n".join(self.run.engine.logs(self.run.namespace, pod) for pod in self.run.aggregators())
        found = [_parsed(line) for line in logs.splitlines()]
        return [line for line in found if "refused" in line]

    def refusal(self, before: list[Said], **wanted: str) -> Said:
        """A line that was not there before and whose fields contain these words."""

        def told() -> Said | None:
            new = (r for r in self.refusals() if r not in before)
            return next((r for r in new if all(words in str(r.get(field, "")) for field, words in wanted.items())), None)

        try:
            return eventually(told, f"a line with {wanted}", 20)
        except AssertionError as error:
            raise AssertionError(f"{error} among {self.refusals()}") from None


def refused(came: str) -> bool:
    return came == "closed" or came.startswith("tls: ")


def until_closed(connection: socket.socket, seconds: float) -> None:
    """Returns when the other side has closed it; an error if that takes longer."""
    end = time.monotonic() + seconds
    try:
        while (left := end - time.monotonic()) > 0:
            connection.settimeout(left)
            if not connection.recv(1 << 16):
                return
    except ConnectionError:
        return
    raise AssertionError(f"still open after {seconds} s")


def request(path: str = KNOWN_PATH) -> bytes:
    return opening() + message(request_fields(path), b"x")


def _parsed(line: str) -> Said:
    """Engines put the container's name before each line."""
    try:
        found = json.loads(line[line.index("{") :])
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
