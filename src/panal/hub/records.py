"""The records of runs on the hub: stored in ConfigMaps beside the run, sealed by the hub's key, and chained.

| ConfigMap | has |
|---|---|
| `<run>-evidence` | the record, immutable, and the hub's signature; of a long one the names of its parts, which are written first |
| `<run>-evidence-sealed` | the entry of the hub's ledger with the hub's public key, and later what is sealed about the receipts |
| `<run>-evidence-receipts-N` | receipts, by cluster |
| `panal-evidence` in the controller's namespace | the hub's public key, its former ones, and the last entry of its ledger |

The hub's ledger has one entry for each record (`panal.evidence.ledger`). Its last entry is written first, and then copied beside the run;
it is not replaced before that copy is there. So a controller that is killed at any moment leaves neither a gap nor two entries of one
number.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from panal.api import names
from panal.evidence.canonical import canonical, digest
from panal.evidence.ledger import Entry, Head, sealed
from panal.evidence.maps import (
    COMPONENT,
    FORMER,
    KEY_ASKED,
    KEY_CLOSING,
    KEY_DIGEST,
    KEY_ENTRY,
    KEY_PARTS,
    KEY_RECORD,
    KEY_RECORDED,
    KEY_SIGNATURE,
    LAST,
    PUBLIC_KEY,
    RECEIPTS,
    STORED_BY,
)
from panal.evidence.receipt import RECORD, Signed
from panal.evidence.sealed import public_pem, signed
from panal.evidence.stored import about_closing, about_receipt, about_record, is_own, is_own_closing, is_own_entry
from panal.hub.evidence import parsed, texts
from panal.kube import kinds
from panal.kube.backoff import Backoff
from panal.kube.client import Client
from panal.kube.errors import AlreadyExists, Conflict, Forbidden, KubeError, NotFound
from panal.kube.objects import Object, owner_uids, version_of
from panal.kube.signing_key import KeyUnusableError, signing_key
from panal.lifecycle.metadata import Owner, owned
from panal.lifecycle.plan import Close, Enter, Keep, Receive
from panal.lifecycle.record import written

log = logging.getLogger(__name__)

PART = 200_000  # characters of a record in one ConfigMap, at most four bytes each
SITES = 200  # whose receipts are in one ConfigMap
BACKUP = {"cluster.open-cluster-management.io/backup": ""}
RETRIES = Backoff(first=0.5, cap=30)
LOOK_AGAIN = 60.0  # seconds


class Identity(NamedTuple):
    """Of a run."""

    namespace: str
    name: str
    uid: str


class Records:
    """`key`: the public key, PEM; empty until it is there. `keys`: it, and those that the hub had before. `problem`: why it is not there.
    `blocked`: by the uid of a run the ConfigMap that somebody else has made, so that its record cannot be stored or sealed."""

    def __init__(self, client: Client, namespace: str) -> None:
        self.key = ""
        self.keys: tuple[str, ...] = ()
        self.problem = ""
        self.blocked: dict[str, str] = {}
        self._client = client
        self._namespace = namespace
        self._private: Ed25519PrivateKey | None = None
        self._writing = asyncio.Lock()

    async def run(self, ready: Callable[[], object]) -> None:
        """Until cancelled: keeps the key as it is in the Secret, which may be restored from a backup. Calls `ready` when it has changed."""
        failures = 0
        while True:
            try:
                await self.load(ready)
                failures, self.problem = 0, ""
            except (KubeError, KeyUnusableError) as error:
                failures += 1
                self.problem = f"records of runs: {error}"
                log.warning("%s", self.problem)
            await asyncio.sleep(RETRIES.delay(failures) if failures else LOOK_AGAIN)

    async def take(self, run: Owner, step: Keep | Enter | Receive | Close) -> None:
        """Raises KubeError."""
        match step:
            case Keep(content, asked):
                if await self._keep(run, content, asked):  # else there is another one, which the next pass sees
                    await self._enter(run, digest(content), content["recorded"])
            case Enter(record, recorded):
                await self._enter(run, record, written(recorded))
            case Receive(receipts, asked):
                await self._receive(run, receipts, asked)
            case Close(content):
                await self._close(run, content)

    @property
    def _signing(self) -> Ed25519PrivateKey:
        assert self._private, "there are no steps before there is a key"
        return self._private

    # --- the key ----------------------------------------------------------------------------------------------------------
    async def load(self, ready: Callable[[], object]) -> None:
        private = await signing_key(self._client, self._namespace, names.EVIDENCE_KEY, {**names.MANAGED_BY, **BACKUP})
        pem = public_pem(private.public_key())
        former = await self._publish(pem)
        self._private = private
        self.keys = (pem, *former)
        if pem != self.key:
            self.key = pem
            ready()

    async def _publish(self, pem: str) -> list[str]:
        """Returns the keys that the hub had before."""
        async with self._writing:
            data = (await self._ledger()).get("data") or {}
            known = data.get(PUBLIC_KEY, pem)
            former = [*dict.fromkeys((*texts(data.get(FORMER, "")), known))]
            former = [each for each in former if each != pem]
            if known != pem or PUBLIC_KEY not in data:
                new = {PUBLIC_KEY: pem, **({FORMER: json.dumps(former)} if former else {})}
                await self._client.merge_patch(kinds.CONFIG_MAP, self._namespace, names.EVIDENCE, {"data": new})
            return former

    # --- the ledger -------------------------------------------------------------------------------------------------------
    async def _ledger(self) -> Object:
        """The ConfigMap with the last entry."""
        try:
            return await self._client.get(kinds.CONFIG_MAP, self._namespace, names.EVIDENCE)
        except NotFound:
            metadata = {"name": names.EVIDENCE, "namespace": self._namespace, "labels": {**names.MANAGED_BY, **BACKUP}}
            return await self._client.create({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {}})

    async def _enter(self, run: Owner, record: str, recorded: str) -> None:
        """Once for each record, also if the cache does not have the entry yet."""
        async with self._writing:
            beside = await self._get(run, names.sealed(run.name))
            if beside and run.uid not in owner_uids(beside):  # an entry would get beside no run
                self._block(run, names.sealed(run.name))
                return
            self.blocked.pop(run.uid, None)
            if self._own_entry(run, beside).get("record") == record:
                return
            found = await self._ledger()
            last = parsed((found.get("data") or {}).get(LAST, ""))
            if (last.get("uid"), last.get("record")) != (run.uid, record):
                if last:
                    await self._copy(last, other=True)
                last = self._next(last, run, record, recorded)
                patch = {"metadata": {"resourceVersion": version_of(found)}, "data": {LAST: canonical(last).decode()}}
                await self._client.merge_patch(kinds.CONFIG_MAP, self._namespace, names.EVIDENCE, patch)
                log.info("run %s/%s: its record is entry %d of the hub's ledger", run.namespace, run.name, last["number"])
            await self._copy(last, other=False)

    def _own_entry(self, run: Owner, beside: Object | None) -> Entry:
        """The entry in the ConfigMap beside the run; empty if there is none that the hub has signed."""
        entry = parsed((beside.get("data") or {}).get(KEY_ENTRY, "")) if beside else {}
        return entry if is_own_entry(entry, run.uid, self.keys) else {}

    async def _get(self, run: Owner, name: str) -> Object | None:
        """The ConfigMap, whosever it is."""
        try:
            return await self._client.get(kinds.CONFIG_MAP, run.namespace, name)
        except NotFound:
            return None

    async def _of_run(self, run: Owner, name: str) -> Object | None:
        found = await self._get(run, name)
        return found if found and run.uid in owner_uids(found) else None

    def _next(self, last: Entry, run: Owner, record: str, recorded: str) -> Entry:
        content = {"kind": RECORD, "namespace": run.namespace, "name": run.name, "uid": run.uid, "record": record, "time": recorded}
        head = Head(last["number"], last["hash"]) if last else Head()
        return sealed(content, head, self._signing)[0]

    async def _copy(self, entry: Entry, *, other: bool) -> None:
        """Puts an entry beside its run. `other`: of another run, which may be gone."""
        owner = Identity(entry["namespace"], entry["name"], entry["uid"])
        data = {KEY_ENTRY: canonical(entry).decode(), PUBLIC_KEY: self.key}
        if other and not await self._of_run(owner, names.evidence(owner.name)):
            return  # its record went with it
        try:
            if not await self._create(owner, names.sealed(owner.name), data) and not (
                other and self._own_entry(owner, await self._of_run(owner, names.sealed(owner.name)))
            ):
                await self._client.merge_patch(kinds.CONFIG_MAP, owner.namespace, names.sealed(owner.name), {"data": data})
        except (NotFound, Forbidden, Conflict):  # its namespace ends, or it was made again
            if not other:
                raise

    # --- what is beside the run -------------------------------------------------------------------------------------------
    async def _keep(self, run: Owner, content: Object, asked: Sequence[str]) -> bool:
        """Whether it is stored now: not if the run has one already, and not while somebody else has made a ConfigMap of its name. The parts
        of a long record have its digest in their names, so that what another attempt has left does not get into this one."""
        text, hash_ = canonical(content).decode(), digest(content)
        about = {KEY_DIGEST: hash_, KEY_RECORDED: content["recorded"], KEY_ASKED: json.dumps(list(asked))}
        parts = [text[at : at + PART] for at in range(0, len(text), PART)]
        if len(parts) == 1:
            data = {**about, KEY_RECORD: text}
        else:
            called = [f"{names.evidence(run.name)}-{hash_[:8]}-{number}" for number in range(1, len(parts) + 1)]
            for name, part in zip(called, parts, strict=True):
                await self._create(run, name, {KEY_RECORD: part}, immutable=True)
            data = {**about, KEY_PARTS: json.dumps(called)}
        data[KEY_SIGNATURE] = signed(digest(about_record(run.uid, data)), self._signing)
        try:
            made = await self._create(run, names.evidence(run.name), data, immutable=True)
            found = {"data": data} if made else await self._of_run(run, names.evidence(run.name))
        except Conflict:
            made, found = False, None
        if found and is_own(run.uid, found.get("data") or {}, self.keys):
            self.blocked.pop(run.uid, None)
        else:
            self._block(run, names.evidence(run.name))
        return made

    def _block(self, run: Owner, name: str) -> None:
        self.blocked[run.uid] = name
        log.warning("run %s/%s: the ConfigMap %s is not the hub's", run.namespace, run.name, name)

    async def _receive(self, run: Owner, receipts: Mapping[Any, Signed], asked: Sequence[str]) -> None:
        shards: dict[int, dict[str, str]] = {}
        place = {cluster: number // SITES for number, cluster in enumerate(asked)}
        for cluster, each in receipts.items():
            about = about_receipt(run.uid, each.content["record"], cluster, each.hash, each.fingerprint)
            said = {"receipt": each.text, "signature": each.signature, "key": each.key, STORED_BY: signed(digest(about), self._signing)}
            shards.setdefault(place[cluster], {})[cluster] = json.dumps(said)
        for number, data in shards.items():
            name = names.receipts(run.name, number)
            if not await self._create(run, name, data, component=RECEIPTS):
                await self._client.merge_patch(kinds.CONFIG_MAP, run.namespace, name, {"data": data})

    async def _close(self, run: Owner, content: Object) -> None:
        """Once for each record, also if the cache does not have it yet."""
        found = await self._client.get(kinds.CONFIG_MAP, run.namespace, names.sealed(run.name))
        before = about_closing(parsed((found.get("data") or {}).get(KEY_CLOSING, "")))
        if is_own_closing(before, run.uid, content["record"], self.keys):
            return
        text = json.dumps({"content": content, "signature": signed(digest(content), self._signing)}, separators=(",", ":"))
        patch = {"metadata": {"resourceVersion": version_of(found)}, "data": {KEY_CLOSING: text}}
        await self._client.merge_patch(kinds.CONFIG_MAP, run.namespace, names.sealed(run.name), patch)

    async def _create(self, run: Owner, name: str, data: Mapping[str, str], *, component: str = COMPONENT, immutable: bool = False) -> bool:
        """Whether it was created; False if the run has it. Raises Conflict if an earlier run of this name has."""
        made = owned(run, "v1", "ConfigMap", name, component) | {"data": dict(data)} | ({"immutable": True} if immutable else {})
        try:
            await self._client.create(made, brief=True)
        except AlreadyExists:
            if await self._of_run(run, name) is None:
                why = f"the ConfigMap {run.namespace}/{name} belongs to another run or to somebody else"
                raise Conflict(409, "AlreadyExists", why) from None
            return False
        return True
