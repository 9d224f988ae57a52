"""The authorities in their Secrets, on an embedded API server: creation, rotation, signing and revocation."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

from embedded import Embedded
from panal.addon.authority import Times
from panal.addon.issued import Issued
from panal.api import names
from panal.hub.addon.authorities import Authorities
from panal.kube import kinds
from panal.kube.cache import Cache, Watched
from panal.kube.client import Client
from panal.kube.errors import NotFound
from panal.kube.objects import Object
from requests_of_certificates import key, pem, subject

NS = "keys"
NOW = datetime.now(UTC).replace(microsecond=0)
MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)
TIMES = Times(life=100 * DAY, leaf=DAY, spread=10 * MINUTE)
BOTH = (names.SERVER_AUTHORITY, names.COLLABORATOR_AUTHORITY)
LABEL = ",".join(f"{k}={v}" for k, v in names.MANAGED_BY.items())


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    embedded = Embedded(tmp_path_factory.mktemp("hub")).start()
    yield embedded.kubeconfig
    embedded.stop()


@pytest.fixture
async def client(server: Path) -> AsyncIterator[Client]:
    async with Client.from_kubeconfig(server) as client:
        await client.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NS}})
        for name in BOTH:
            await client.delete(kinds.SECRET, NS, name)
        await client.delete(kinds.CONFIG_MAP, NS, names.AUTHORITIES)
        yield client


@asynccontextmanager
async def running(client: Client, clock: Clock | None = None) -> AsyncIterator[Authorities]:
    cache = Cache(client, [Watched(kinds.CONFIG_MAP, label_selector=LABEL)])
    authorities = Authorities(client, cache, NS, TIMES, clock or Clock())
    tasks = [asyncio.create_task(work) for work in (cache.run(), authorities.run())]
    try:
        async with asyncio.timeout(20):
            await authorities.ready.wait()
        yield authorities
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def until(question: Callable[[], object]) -> None:
    async with asyncio.timeout(20):
        while not question():
            await asyncio.sleep(0.02)


async def secret(client: Client, name: str) -> dict[str, str]:
    found = await client.get(kinds.SECRET, NS, name)
    return {k: base64.b64decode(v).decode() for k, v in found["data"].items()}


async def shown(client: Client) -> Object:
    return await client.get(kinds.CONFIG_MAP, NS, names.AUTHORITIES)


def count(bundle: str) -> int:
    return bundle.count("BEGIN CERTIFICATE")


async def test_authorities_are_created_at_the_first_start_and_loaded_at_the_next(client: Client) -> None:
    async with running(client) as first:
        trust = first.trust()
    assert count(trust.server_bundle) == count(trust.collaborator_bundle) == 1
    assert trust.crl.count("BEGIN X509 CRL") == 1
    assert trust.server_bundle != trust.collaborator_bundle
    async with running(client) as second:
        assert second.trust() == trust
    for name in BOTH:
        found = await client.get(kinds.SECRET, NS, name)
        assert found["metadata"]["labels"]["cluster.open-cluster-management.io/backup"] == ""
    public = (await shown(client))["data"]
    assert public["ca.crt"] == trust.server_bundle
    assert "KEY" not in json.dumps(public)


async def test_two_controllers_use_the_same_authorities(client: Client) -> None:
    async with running(client) as one, running(client) as other:
        await until(lambda: one.trust() == other.trust())
        assert count(one.trust().server_bundle) == 1


async def test_a_deleted_secret_is_created_again_with_its_content(client: Client) -> None:
    async with running(client) as authorities:
        trust, before = authorities.trust(), await secret(client, names.SERVER_AUTHORITY)
        await client.delete(kinds.SECRET, NS, names.SERVER_AUTHORITY)
        request = {"metadata": {"annotations": {names.ANNOTATION_ROTATE: "nonsense"}}}  # causes a reconcile
        await client.merge_patch(kinds.CONFIG_MAP, NS, names.AUTHORITIES, request)
        async with asyncio.timeout(20):
            while not await _is(client, before):
                await asyncio.sleep(0.02)
        assert authorities.trust() == trust


async def _is(client: Client, before: dict[str, str]) -> bool:
    try:
        return await secret(client, names.SERVER_AUTHORITY) == before
    except NotFound:
        return False


async def test_a_requested_rotation_ends_after_the_time_to_spread(client: Client) -> None:
    clock = Clock()
    async with running(client, clock) as authorities:
        counts: list[int] = []
        authorities.subscribe(lambda: counts.append(count(authorities.trust().server_bundle)))
        old, request = authorities.trust(), pem(subject("x"))
        certificate = authorities.server_certificate("digits", request, "", NOW)
        clock.now += MINUTE
        await _request(client, f"servers@{clock.now.isoformat()}")
        await until(lambda: counts == [2])
        assert old.server_bundle in authorities.trust().server_bundle
        assert authorities.trust().collaborator_bundle == old.collaborator_bundle, "only the requested authority"
        assert authorities.server_certificate("digits", request, certificate, clock.now) == certificate, "the next signer does not sign yet"
        async with asyncio.timeout(20):
            while names.ANNOTATION_ROTATE in (await shown(client))["metadata"].get("annotations", {}):
                await asyncio.sleep(0.02)
        assert authorities.problem == ""
        clock.now += TIMES.spread
        await _request(client, "")  # causes a reconcile
        await until(lambda: len(counts) == 2)
        assert count(authorities.trust().server_bundle) == 2
        again = authorities.server_certificate("digits", request, certificate, clock.now)
        assert again != certificate, "of the new signer"
        assert authorities.server_certificate("digits", request, again, clock.now) == again


async def _request(client: Client, text: str) -> None:
    annotations = {names.ANNOTATION_ROTATE: text, "tests/at": str(datetime.now(UTC))}
    await client.merge_patch(kinds.CONFIG_MAP, NS, names.AUTHORITIES, {"metadata": {"annotations": annotations}})


async def test_a_server_keeps_its_certificate_while_it_is_current(client: Client) -> None:
    async with running(client) as authorities:
        request = pem(subject("whatever"))
        first = authorities.server_certificate("digits", request, "", NOW)
        found = x509.load_pem_x509_certificate(first.encode())
        assert list(found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value) == [x509.DNSName("digits")]
        assert authorities.server_certificate("digits", request, "", NOW) == first, "until the caller passes it"
        assert authorities.server_certificate("digits", request, first, NOW + DAY / 2) == first
        late = authorities.server_certificate("digits", request, first, NOW + DAY * 0.7)
        assert late != first
        assert authorities.server_certificate("digits", request, first, NOW + DAY * 0.7) == late
        assert authorities.server_certificate("digits", pem(subject("x"), private=key()), late, NOW) not in ("", late), "another key"
        assert authorities.server_certificate("digits", "", late, NOW) == ""
        assert authorities.server_certificate("digits", "nonsense", late, NOW) == ""


async def test_revoked_certificates_are_listed_until_they_expire(client: Client) -> None:
    clock = Clock()
    one, expired = Issued(7, NOW, NOW + DAY), Issued(8, NOW - DAY, NOW)
    async with running(client, clock) as authorities:
        await authorities.revoke("c1", [one, expired])
        before = authorities.trust().crl
        assert serials(before) == {7}
        await authorities.revoke("c1", [one])
        assert authorities.trust().crl == before, "it is already listed"
    async with running(client, clock) as later:
        assert later.trust().crl == before, "the same bytes after a restart"
    clock.now += 2 * DAY
    async with running(client, clock) as much_later:
        assert serials(much_later.trust().crl) == set()


def serials(crl: str) -> set[int]:
    return {revoked.serial_number for revoked in x509.load_pem_x509_crl(crl.encode())}


async def test_an_invalid_secret_is_reported_and_not_overwritten(client: Client) -> None:
    invalid = {"current.crt": base64.b64encode(b"nonsense").decode(), "current.key": ""}
    metadata = {"name": names.SERVER_AUTHORITY, "namespace": NS}
    await client.create({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": invalid})
    cache = Cache(client, [Watched(kinds.CONFIG_MAP, label_selector=LABEL)])
    authorities = Authorities(client, cache, NS, TIMES, Clock())
    tasks = [asyncio.create_task(work) for work in (cache.run(), authorities.run())]
    try:
        await until(lambda: f"Secret {NS}/{names.SERVER_AUTHORITY} has invalid data" in authorities.problem)
        assert not authorities.ready.is_set()
        assert (await secret(client, names.SERVER_AUTHORITY))["current.crt"] == "nonsense"
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
