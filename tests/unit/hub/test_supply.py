"""What `supply` adds to a World."""

from __future__ import annotations

from dataclasses import replace

import pytest

from panal.addon.config import NOTHING
from panal.api.status import Phase, Status
from panal.hub.addon.authorities import Trust
from panal.hub.supply import Supplier
from panal.lifecycle.world import Credentials
from worlds import NOW, fresh, job, pod, run, service, sites


class Signer:
    """Signs every request, and counts them."""

    def __init__(self) -> None:
        self.signed = 0

    def trust(self) -> Trust:
        return Trust("SERVERS", "COLLABORATORS", "CRL")

    def server_certificate(self, name: str, request: str, current: str, now: object) -> str:
        self.signed += 1
        return f"{name} {request} after {current}"


class Names:
    """A resolver that knows one name, and records the wanted names."""

    def __init__(self) -> None:
        self.wanted: set[str] = set()
        self.known = {"hub.example": "10.1.2.3"}

    def want(self, name: str) -> None:
        self.wanted.add(name)


def test_certificate_and_addresses_are_added() -> None:
    observed = fresh(
        run=run(server={"listeners": [{"name": "main", "type": "NodePort", "ip": "hub.example"}]}),
        exposed=(service(),),
        job=job(pod()),
        sites={
            **sites(1, config=replace(NOTHING, address_host="way.example")),
            **sites(2, config=replace(NOTHING, address_host="10.9.9.9")),
            **sites(3),
        },
        credentials=Credentials(request="REQUEST", certificate="OLD"),
    )
    names = Names()
    found = Supplier(Signer(), names).supply(observed, NOW)  # type: ignore[arg-type]
    signed = "digits.ns.fl.panal REQUEST after OLD"
    assert found.credentials == Credentials(request="REQUEST", trust="COLLABORATORS", crl="CRL", certificate=signed)
    assert found.resolved == {"hub.example": "10.1.2.3"}
    assert names.wanted == {"hub.example", "way.example"}
    assert replace(found, credentials=observed.credentials, resolved={}) == observed


@pytest.mark.parametrize("phase", [Phase.COMPLETED, Phase.FAILED])
def test_no_certificate_is_signed_for_an_ended_run(phase: Phase) -> None:
    ended, signer = fresh(run=run(Status(phase=phase))), Signer()
    assert Supplier(signer, Names()).supply(ended, NOW) is ended  # type: ignore[arg-type]
    assert not signer.signed
