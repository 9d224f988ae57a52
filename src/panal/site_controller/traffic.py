"""What Pods send: each request is judged, counted, and recorded in the ledger.

What of a reply has passed is kept in a file for each Pod beside the ledger, so that a reply that is under way when the process ends is
still known when it starts again.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from panal.api.text import shown
from panal.site import flower
from panal.site.accounts import EXHAUSTED, NO_RUN, Accounts, OfPod, is_update, kind_of, rounds_of, wanting
from panal.site.codes import Code
from panal.site.decide import COUNTED, Decision, Left
from panal.site.entries import Kind
from panal.site.flower import NotFlowerError, Reply, Sent
from panal.site.request import Asked
from panal.site.sending import LONGEST, LostError, NotAnnouncedError, Open, Sending, pushed, restored
from panal.site_controller.book import Book, LedgerUnavailableError, cut, sync

log = logging.getLogger(__name__)

FOLDER = "messages"
SENT_EVERY = 60.0  # seconds between entries about what belongs to no reply
REFUSED_EVERY = 60.0  # and about refusals with one code
SWEEP = 1.0
MUCH = 1 << 20  # bytes that belong to no reply, of which an entry is written at once
Judge = Callable[[Left], Decision]
GONE = Decision(Code.POD_NOT_RECOGNIZED, "its Pod has ended")


@dataclass(slots=True)
class Sender:
    """One Pod. `requests` and `bytes` belong to no reply, and are in no entry yet, since `since`. `unknown`: it has sent what is no
    message."""

    about: Mapping[str, Any]
    run: str
    counted: bool
    file: Path
    sending: Sending = field(default_factory=Sending)
    requests: int = 0
    bytes: int = 0
    since: float = 0.0
    refused: dict[Code, float] = field(default_factory=dict)
    unknown: bool = False
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def unrecorded(self) -> int:
        """Bytes."""
        return self.bytes + self.sending.bytes

    def under_way(self, recorded: Mapping[str, str]) -> list[Reply]:
        """The replies that are, and that are not `recorded`."""
        return [each.reply for name, each in self.sending.open.items() if name not in recorded]


class Traffic:
    """`on_refusal(pod)` is called when a request of the Pod was refused for a reason that stays. `deciding` is held by whoever decides
    about what spends from a privacy budget, until that counts. `problem`: why what was under way is not known; until it is, nothing is
    allowed."""

    def __init__(
        self, book: Book, folder: Path, on_refusal: Callable[[str], object], monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._book = book
        self._folder = folder / FOLDER
        self._on_refusal = on_refusal
        self._monotonic = monotonic
        self._senders: dict[str, Sender] = {}
        self._read: Accounts | None = None  # those whose Pods have their senders
        self.deciding = asyncio.Lock()
        self.problem = ""

    async def keep(self) -> None:
        """Until cancelled: records what has been sent."""
        while True:
            await asyncio.sleep(SWEEP)
            for sender in list(self._senders.values()):
                with contextlib.suppress(LedgerUnavailableError):
                    async with sender.lock:
                        await self._record(sender)

    # --- what has left ----------------------------------------------------------------------------------------------
    def left(self, run: str, new: Sequence[Reply] = (), size: int = 0) -> Left:
        """Of a run, by `accounts.key_of`: also what is in no entry yet, and a request of `size` bytes that announces `new` replies.
        Raises LedgerUnavailableError."""
        self._restore_all()
        accounts = self._book.accounts
        found, pods = accounts.runs.get(run), accounts.pods
        under_way = [
            (each, reply) for uid, each in self._senders.items() for reply in each.under_way(pods[uid].replies if uid in pods else {})
        ]
        kinds = [*(found.replies.elements() if found else ()), *(kind_of(reply.type) for each, reply in under_way if each.run == run)]
        kinds += [kind_of(each.type) for each in new]
        bytes_ = (found.bytes if found else 0) + sum(each.unrecorded for each in self._senders.values() if each.run == run)
        updates = [(each.run, str(each.about["request"])) for each, reply in under_way if _is_update(reply)]
        usage = accounts.usage(updates, run)
        usage = usage.wanting(run, usage.runs[run].updates + sum(map(_is_update, new)))
        return Left(bytes_ + size, rounds_of(kinds), usage)

    def wanted(self, run: str) -> Left:
        """The same, or what it would be if the request had been allowed for which a limit was reached. Raises LedgerUnavailableError."""
        return wanting(run, self.left(run), self._book.accounts.runs.get(run, NO_RUN))

    def unknown(self, uid: str) -> bool:
        """Whether the Pod has sent what is no message."""
        return uid in self._senders and self._senders[uid].unknown

    # --- requests ---------------------------------------------------------------------------------------------------
    async def check(self, request: Asked, path: str, body: bytes, judge: Judge) -> Decision:
        """Decides about a request of a Pod, and counts it if it is allowed."""
        if request.uid not in self._book.accounts.pods:
            return GONE
        try:
            self._restore_all()
            sender = self._sender(request)
            try:
                sent: Sent | ValueError = await asyncio.to_thread(flower.read, path, body) if sender.counted else flower.NOTHING
            except NotFlowerError as error:
                sent = error
            async with sender.lock:
                return GONE if self._gone(sender) else await self._answered(sender, sent, len(body), judge)
        except LedgerUnavailableError as error:
            return Decision(Code.LEDGER_UNAVAILABLE, str(error))

    def _gone(self, sender: Sender) -> bool:
        """Whether its Pod has ended while the sender's lock was waited for: what it sent now would be in no account."""
        uid = str(sender.about["podUid"])
        return self._senders.get(uid) is not sender or uid not in self._book.accounts.pods

    async def _answered(self, sender: Sender, sent: Sent | ValueError, size: int, judge: Judge) -> Decision:
        try:
            if isinstance(sent, ValueError):
                raise sent
            return await self._judged(sender, sent, size, judge)
        except (NotFlowerError, NotAnnouncedError) as error:
            sender.unknown = True
            return await self._refused(sender, Decision(Code.MESSAGE_NOT_RECOGNIZED, shown(str(error), 300)), Left())

    async def _judged(self, sender: Sender, sent: Sent, size: int, judge: Judge) -> Decision:
        sender.sending.check(sent)
        async with self.deciding:
            new = sender.sending.new(sent)
            after = self.left(sender.run, new, size)
            decision = judge(after)
            if decision.code:
                return await self._refused(sender, decision, after)
            if new:
                await self._record(sender, announced=True)
            now = self._monotonic()
            if not sender.requests:
                sender.since = now
            rest = sender.sending.accept(sent, size, now)
        if sent == flower.NOTHING or rest:
            sender.requests, sender.bytes = sender.requests + 1, sender.bytes + rest
        if size > rest:
            try:
                await asyncio.to_thread(self._keep, sender, bool(new), sent, size - rest)
            except LedgerUnavailableError:
                for reply in new:  # it is announced again
                    sender.sending.open.pop(reply.name, None)
                raise
        await self._record(sender)
        return decision

    async def _refused(self, sender: Sender, decision: Decision, after: Left) -> Decision:
        code, now = decision.code, self._monotonic()
        assert code is not None
        if code not in sender.refused or now - sender.refused[code] >= REFUSED_EVERY:
            more = {"bytes": after.bytes, "rounds": after.rounds} if code in EXHAUSTED else {}
            more |= {"updates": after.usage.runs[sender.run].wanted} if code is Code.PRIVACY_BUDGET_SPENT else {}
            with contextlib.suppress(LedgerUnavailableError):
                await self._book.write(Kind.REFUSED, **sender.about, code=code.value, rule=decision.rule, text=decision.text, **more)
                sender.refused[code] = now
        if code in EXHAUSTED or code is Code.MESSAGE_NOT_RECOGNIZED:
            self._on_refusal(str(sender.about["pod"]))
        return decision

    # --- the ledger -------------------------------------------------------------------------------------------------
    async def _record(self, sender: Sender, *, announced: bool = False, ended: bool = False) -> None:
        """Raises LedgerUnavailableError."""
        now = self._monotonic()
        for each in sender.sending.finished(now, announced=announced, ended=ended):
            run, kind = self._book.accounts.run(sender.run), kind_of(each.reply.type)
            await self._book.write(Kind.LEFT, **sender.about, **_left(each), reply=run.replies[kind] + 1)
            sender.sending.closed(each.reply)
        late = not sender.counted and now - sender.since >= SENT_EVERY
        if sender.requests and (late or ended or sender.bytes >= MUCH):
            bytes_ = {"bytes": sender.bytes} if sender.counted or sender.bytes else {}
            requests, sent = sender.requests, sender.bytes
            await self._book.write(Kind.SENT, **sender.about, requests=requests, **bytes_)
            sender.requests, sender.bytes = sender.requests - requests, sender.bytes - sent

    async def end(self, uid: str, pod: OfPod) -> None:
        """The Pod has ended. Raises LedgerUnavailableError."""
        self._restore(uid, pod)
        sender = self._senders[uid]
        async with sender.lock:
            await self._record(sender, ended=True)
            sums = {"bytes": pod.bytes, "rounds": rounds_of(pod.replies.values()), "replies": len(pod.replies)}
            await self._book.write(Kind.ENDED, **_about(uid, pod), **sums)  # the accounts let go of the Pod by it
            self._senders.pop(uid, None)
            self._file(uid).unlink(missing_ok=True)

    # --- files ------------------------------------------------------------------------------------------------------
    def _sender(self, request: Asked) -> Sender:
        if request.uid not in self._senders:
            self._load(request.uid, about_pod(request), request.key, counted=request.framework == COUNTED)
        return self._senders[request.uid]

    def _restore_all(self) -> None:
        """What was under way when the process ended counts before its Pod sends again. Raises LedgerUnavailableError."""
        accounts = self._book.accounts
        if self._read is accounts or self._book.problem:
            return
        try:
            for file in sorted(self._folder.glob("*.jsonl")):
                if file.stem in accounts.pods:
                    self._restore(file.stem, accounts.pods[file.stem])
                elif file.stem in accounts.ended:
                    file.unlink()
                else:
                    raise LedgerUnavailableError(f"{file} is of a Pod that the ledger does not know: move it to the ledger that does")
        except (OSError, LedgerUnavailableError) as error:
            if str(error) != self.problem:
                log.error("%s", error)
            self.problem = str(error)
            raise LedgerUnavailableError(self.problem) from error
        self._read, self.problem = accounts, ""

    def _restore(self, uid: str, pod: OfPod) -> None:
        if uid not in self._senders:
            self._load(uid, _about(uid, pod), pod.key, counted=True)

    def _load(self, uid: str, about: Mapping[str, Any], run: str, *, counted: bool) -> None:
        self._senders[uid] = Sender(about, run, counted, self._file(uid), self._restored(uid))

    def _file(self, uid: str) -> Path:
        return self._folder / f"{uid}.jsonl"

    def _restored(self, uid: str) -> Sending:
        """Raises LedgerUnavailableError."""
        file = self._file(uid)
        try:
            with file.open(encoding="utf-8", errors="replace") as lines:
                found = restored(lines, self._monotonic())
            cut(file)
        except FileNotFoundError:
            return Sending()
        except (OSError, LostError) as error:
            raise LedgerUnavailableError(f"{file}, which has the replies that are under way, cannot be read: {error}") from error
        pod = self._book.accounts.pods.get(uid)
        for each in list(found.open.values()):
            if pod and each.reply.name in pod.replies:
                found.closed(each.reply)
        return found

    def _keep(self, sender: Sender, new: bool, sent: Sent, size: int) -> None:
        """In a thread, while the sender is locked. Raises LedgerUnavailableError."""
        try:
            if new:
                self._folder.mkdir(exist_ok=True)
                part = sender.file.with_suffix(".part")
                with part.open("w", encoding="utf-8") as file:
                    file.writelines(f"{line}\n" for line in sender.sending.lines())
                    file.flush()
                    os.fsync(file.fileno())
                part.replace(sender.file)
                sync(self._folder)
            else:
                with sender.file.open("a", encoding="utf-8") as file:
                    file.write(pushed(sent.objects, size) + "\n")
        except OSError as error:
            raise LedgerUnavailableError(f"{sender.file} cannot be written: {error}") from error


def _about(uid: str, pod: OfPod) -> dict[str, Any]:
    """Of a Pod that was never allowed its last request, if it was recognized."""
    of_run = {"request": pod.allowed or pod.asked, "run": pod.run, "uid": pod.run_uid}
    return {"pod": pod.name, "podUid": uid, **{name: value for name, value in of_run.items() if value}}


def about_pod(request: Asked) -> dict[str, Any]:
    """What each entry about a Pod has."""
    run = f"{request.namespace}/{request.name}"
    return {"pod": request.pod, "podUid": request.uid, "request": request.id, "run": run, "uid": request.run}


def _is_update(reply: Reply) -> bool:
    return is_update(reply.type, error=reply.error, objects=len(reply.objects))


def _left(each: Open) -> dict[str, Any]:
    reply = each.reply
    found: dict[str, Any] = {"type": shown(reply.type, LONGEST), "round": shown(reply.round, LONGEST), "digest": reply.digest}
    found |= {"announcement": reply.request, "bytes": each.bytes, "error": reply.error, "objects": len(reply.objects)}
    return found | ({"notSent": len(each.missing)} if each.missing else {}) | ({"text": shown(reply.text, LONGEST)} if reply.text else {})
