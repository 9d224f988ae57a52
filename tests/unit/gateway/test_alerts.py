"""What a peer that is refused learns: docs/design/gateway.md says that it is the TLS alert, which names the kind of reason."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from datetime import timedelta

import pytest

from certificates import Pair, authority
from gateways import RUN, Hub, wait_for
from panal.api import names
from raw_http2 import connect, tls_context

HOUR = timedelta(hours=1)


def revoked(hub: Hub) -> Pair:
    pair = hub.collaborators.collaborator("c1")
    hub.revoke(pair)
    wait_for("the list to be in force", lambda: answer(hub, pair) != "let in")
    return pair


def answer(hub: Hub, pair: Pair | None) -> str:
    """What comes after the handshake: the alert in the library's words; who is let in has to speak first."""
    with connect(hub.port, tls_context(pair, [names.protocol(RUN, "c1"), "h2"])) as connection:
        try:
            connection.settimeout(1)
            connection.recv(1)
        except ssl.SSLError as error:
            return str(error)
        except TimeoutError:
            return "let in"
    return "closed"


@pytest.mark.parametrize(
    ("pair", "alert"),
    [
        (revoked, "CERTIFICATE_REVOKED"),
        (lambda hub: hub.collaborators.collaborator("c1", begins=-2 * HOUR, ends=-HOUR), "CERTIFICATE_EXPIRED"),
        (lambda _: authority("collaborators").collaborator("c1"), "UNKNOWN_CA"),
        (lambda _: authority("another").collaborator("c1"), "UNKNOWN_CA"),
        (lambda hub: hub.collaborators.collaborator("c2"), "CERTIFICATE_UNKNOWN"),
        (lambda _: None, "CERTIFICATE_REQUIRED"),
    ],
    ids=["revoked", "expired", "another authority of the same name", "another authority", "another cluster's", "none"],
)
def test_the_alert_says_why(hub: Hub, pair: Callable[[Hub], Pair | None], alert: str) -> None:
    """After the handshake, which TLS 1.3 ends for the client before its certificate is judged."""
    came = answer(hub, pair(hub))
    assert alert in came
    assert "alert" in came.lower()
