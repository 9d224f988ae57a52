"""Answers the hub about the records of runs: what the hub says a record is gets into the ledger, and the site's receipt into the status.

Only about a run that the ledger knows, when none of its Pods is left here: until then the ledger may get more about it. A run whose Pod
stays gets no receipt, and the hub stops to wait.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable

from pydantic import ValidationError

from panal.evidence.canonical import canonical, digest
from panal.evidence.sealed import public_pem
from panal.kube import kinds
from panal.kube.cache import Cache
from panal.kube.client import Client
from panal.kube.kinds import Kind
from panal.kube.loop import Loop
from panal.kube.objects import Key, Object, key_of, uid_of
from panal.site.entries import Kind as EntryKind
from panal.site.in_force import InForce
from panal.site.policy import Disclosure
from panal.site.record import Refusal, RunRecordSpec, refusal
from panal.site_controller.book import Book, LedgerUnavailableError

log = logging.getLogger(__name__)

LOOK_AGAIN = 1.0  # seconds, while a Pod of the run is here
KEPT = ("name", "namespace", "uid", "resourceVersion", "deletionTimestamp")
RETRY = 5.0  # seconds, while there is no ledger


def trimmed(record: Object) -> Object:
    """What the cache keeps: the hub may write many of them, with much in their metadata."""
    metadata = {name: value for name, value in record["metadata"].items() if name in KEPT}
    return {**{name: record[name] for name in ("apiVersion", "kind", "spec", "status") if name in record}, "metadata": metadata}


class Records:
    """Needs `cache` to have RUN_RECORD of the namespace of collaborators. `policy`: that in force."""

    def __init__(self, client: Client, cache: Cache, book: Book, policy: Callable[[], InForce]) -> None:
        self._client = client
        self._cache = cache
        self._book = book
        self._policy = policy
        self._loop = Loop("run record", cache, self._concerns, self._reconcile)

    async def run(self) -> None:
        """Until cancelled."""
        await self._loop.run()

    def _concerns(self, kind: Kind, obj: Object) -> Iterable[Key]:
        return (key_of(obj),) if kind == kinds.RUN_RECORD else ()

    async def _reconcile(self, key: Key) -> float | None:
        found = self._cache.get(kinds.RUN_RECORD, *key)
        status = (found or {}).get("status") or {}
        if found is None or found["metadata"].get("deletionTimestamp") or status.get("receipt") or status.get("refusal"):
            return None
        if self._book.problem:
            return RETRY
        try:
            spec = RunRecordSpec.model_validate(found.get("spec") or {})
        except ValidationError:
            await self._answer(found, {"refusal": self._told(Refusal.NOT_SIGNED)})
            return None
        if any(pod.run_uid == spec.uid for pod in self._book.accounts.pods.values()):
            return LOOK_AGAIN
        try:
            await self._answer(found, await self._receipt(spec))
        except LedgerUnavailableError:
            return RETRY
        return None

    async def _receipt(self, spec: RunRecordSpec) -> dict[str, str]:
        """The status. Raises LedgerUnavailableError."""
        known = self._book.accounts.known.by_uid.get(spec.uid)
        why = refusal(spec, known)
        if why or known is None:
            return {"refusal": self._told(why or Refusal.RUN_NOT_KNOWN)}
        if spec.record not in known.records:
            await self._book.write(EntryKind.RECORD, **spec.about())
            log.info("the record of run %s is in the ledger", spec.run)
        content = known.receipt(spec.record, disclosed=self._disclosed)
        return {
            "receipt": canonical(content).decode(),
            "signature": self._book.signature(digest(content)),
            "key": public_pem(self._book.public_key),
        }

    @property
    def _disclosed(self) -> bool:
        spec = self._policy().spec
        return spec is not None and spec.disclosure is Disclosure.REASON

    def _told(self, why: Refusal) -> str:
        return (why if self._disclosed else Refusal.UNDISCLOSED).value

    async def _answer(self, found: Object, status: dict[str, str]) -> None:
        namespace, name = key_of(found)
        body = {"metadata": {"uid": uid_of(found)}, "status": status}
        await self._client.merge_patch(kinds.RUN_RECORD, namespace, name, body, "status")
