"""`panal doctor`: reads a hub, examines it (`checks`), and prints what is wrong and what to do about it. It writes nothing."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Iterable, Sequence

from cryptography import x509

from panal.api import names
from panal.cli import checks, output
from panal.cli.checks import Finding, Hub, Reach, State
from panal.cli.run import done
from panal.client import story
from panal.client.access import Access
from panal.client.problem import Code
from panal.hub.addon import versions
from panal.kube import kinds
from panal.kube.client import Client, Selector
from panal.kube.errors import Forbidden, NotFound
from panal.kube.kinds import Kind
from panal.kube.objects import Object, Objects, key_of
from panal.kube.times import now_utc

SHOWN = 10  # findings of one check and state
CONNECT = 5.0  # seconds within which a listener must answer
AT_A_TIME = 20  # connections to listeners
LEASES = (names.CONTROLLER_LEASE, names.FORMER_LEASE, checks.LEASE)
READ = (
    *(kinds.MANAGED_CLUSTER, kinds.MANAGED_CLUSTER_SET_BINDING, kinds.CLUSTER_MANAGEMENT_ADDON, kinds.CLUSTER_MANAGER),
    *(kinds.FEDERATED_LEARNING, kinds.STORAGE_CLASS),
)
MARK = {State.OK: "ok", State.WARNING: "WARNING", State.PROBLEM: "PROBLEM", State.UNKNOWN: "unknown"}


def doctor(access: Access, namespace: str, as_json: bool) -> Code:
    return done(_doctor(access, namespace, as_json), access)


async def _doctor(access: Access, namespace: str, as_json: bool) -> Code:
    async with access.open() as client:
        found = checks.examine(await _read(client, namespace, access.local))
    if as_json:
        output.as_json(checks.as_json(found))
    else:
        _print(checks.shortened(found, SHOWN))
    return Code.UNHEALTHY if any(each.state is State.PROBLEM for each in found) else Code.OK


def _print(found: Sequence[Finding]) -> None:
    for each in found:
        about = f"{each.about}: " if each.about else ""
        output.line(f"{MARK[each.state]:8} {each.check:24} {about}{each.message}")
        if each.remedy and each.state is not State.OK:
            output.line(f"{'':33} {each.remedy}")


async def _read(client: Client, namespace: str, local: bool) -> Hub:
    version = await client.server_version()
    client.speak(await versions.forms(client))
    wanted = (*checks.NEEDED, *checks.ADDONS, *READ)
    served = frozenset([kind for kind in wanted if await client.serves(kind)])
    objects: dict[Kind, Sequence[Object] | str] = {kind: await _list(client, kind) if kind in served else [] for kind in READ}
    objects[kinds.LEASE] = await _list(client, kinds.LEASE, *(Selector(fields=f"metadata.name={name}") for name in LEASES))
    addons = Selector(fields=f"metadata.name={names.ADDON}")
    installed = kinds.MANAGED_CLUSTER_ADDON in served
    objects[kinds.MANAGED_CLUSTER_ADDON] = await _list(client, kinds.MANAGED_CLUSTER_ADDON, addons) if installed else []
    deployments = Selector(namespace, fields=f"metadata.name={names.CONTROLLER}")
    objects[kinds.DEPLOYMENT] = [] if local else await _list(client, kinds.DEPLOYMENT, deployments)
    found = objects[kinds.FEDERATED_LEARNING]
    reached = await _reach([each for each in found if not story.ended(each)] if not isinstance(found, str) else [])
    return Hub(version, namespace, now_utc(), served, objects, local, reached)


async def _list(client: Client, kind: Kind, *selectors: Selector) -> Objects | str:
    """The objects, or why they may not be read. An API server that does not answer is an error of the command."""
    try:
        return [each for selector in selectors or (Selector(),) for each in (await client.list(kind, selector)).items]
    except NotFound:  # the hub does not have the kind
        return []
    except Forbidden as error:
        return error.message


# --- listeners -------------------------------------------------------------------------------------------------
async def _reach(runs: Iterable[Object]) -> list[Reach]:
    turns = asyncio.Semaphore(AT_A_TIME)

    async def one(run: Object, listener: Object) -> Reach:
        async with turns:
            return await asyncio.to_thread(reach, run, listener)

    ready = [(run, each) for run in runs for each in (run.get("status") or {}).get("listeners") or () if each.get("ready")]
    return list(await asyncio.gather(*(one(run, each) for run, each in ready)))


def reach(run: Object, listener: Object) -> Reach:
    """Connects to a listener of a run and reads its certificate, which is shown before the aggregator asks for one."""
    namespace, name = key_of(run)
    expected, host, port = names.server_name(name, namespace), listener["address"], listener["port"]
    told = Reach(f"{namespace}/{name}", listener.get("name") or listener["type"], f"{host}:{port}", expected)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # nothing is sent; the name is compared by `checks`
    try:
        with (
            socket.create_connection((host, port), CONNECT) as connection,
            context.wrap_socket(connection, server_hostname=listener.get("host") or expected) as secure,
        ):
            return Reach(told.run, told.listener, told.address, expected, _names(secure.getpeercert(binary_form=True)))
    except (OSError, ValueError) as error:
        return Reach(told.run, told.listener, told.address, expected, error=str(error) or type(error).__name__)


def _names(der: bytes | None) -> tuple[str, ...]:
    if not der:
        return ()
    try:
        found = x509.load_der_x509_certificate(der).extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except (x509.ExtensionNotFound, x509.DuplicateExtension, x509.UnsupportedGeneralNameType, ValueError, TypeError):  # a stranger's
        return ()
    return tuple(found.value.get_values_for_type(x509.DNSName))
