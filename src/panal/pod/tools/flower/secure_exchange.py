"""Secure aggregation in the ServerApp process: the strategy gets the mean of a training phase, and nobody the updates of single sites.

Before the messages of a training leave, their sites agree on keys and share secrets (`..secure_aggregation`), by messages of panal's own;
those that take part get the training, and reply with masked updates (`masking`). What arrives is added up and unmasked, and each reply gets
the mean in place of what it brought. The mean of equal replies is that reply, so a strategy that averages goes on with it, as with a method
of spec.server.aggregation (`robust`). A site that is missing in a step has dropped out of the phase. A phase that is repeated begins with
new keys, and all of its sites train again.
"""

from __future__ import annotations

import copy
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..codes import QUERY, SECURE_KEYS, SECURE_SHARES, SECURE_SURVIVORS, SECURE_UNMASK, TRAIN, Refused
from ..files import log_line, number
from ..secure_aggregation.aggregator import COMMITMENT, NotUnmaskedError, Unmasking
from ..secure_aggregation.roster import KEY, PublicKeys, RefusedError, Roster
from ..secure_aggregation.shamir import SHARE
from ..secure_aggregation.site import SEALED, VOUCHED
from .exchange import Exchange, copy_for
from .journal import Journal
from .judge import Judge, Rules, Verdict
from .masked_form import SECURE, Mean, NoWeightError, mean, trouble
from .masking import INVALID
from .private import arrays_of
from .replies import Clusters, MessageResult, Phase
from .secure import SecureAggregation

STEP = 120.0  # seconds that a step without training may take
PATIENCE = 5.0  # seconds in which others may answer, when enough have sent their shares


@dataclass
class Sites:
    """The sites of a session. `nodes` by number; `members` have shared their secrets."""

    roster: Roster
    nodes: Mapping[int, int]
    commitments: dict[int, bytes] = field(default_factory=dict)
    sealed: dict[int, dict[int, bytes]] = field(default_factory=dict)  # by sender and receiver

    @property
    def members(self) -> list[int]:
        return sorted(self.commitments)


class TooFewError(Exception):
    """The phase has too few sites for its threshold."""


class SecureExchange:
    """Has the calls of `exchange`, which exchanges trainings."""

    def __init__(self, exchange: Exchange, grid: Any, settings: SecureAggregation, clusters: Clusters, journal: Journal) -> None:
        self._exchange, self._settings, self._clusters, self._journal = exchange, settings, clusters, journal
        self._steps = Exchange(grid, Judge(Rules(consistent=False, finite=False, strict=False)), clusters, spares=False)
        self._messages: list[Any] = []
        self._left_out: dict[str, MessageResult] = {}  # clusters whose shares have spoiled an earlier session of this phase
        self.reports, self.clear = exchange.reports, exchange.clear

    def __call__(self, messages: Any, timeout: float | None, kind: str) -> tuple[list[Any], Phase]:
        self._messages, self._left_out = list(messages), {}
        if len({tuple(map(id, m.content.array_records.values())) for m in self._messages}) > 1:
            self._settings.refuse(self._journal, "the messages of a training bring different arrays to the sites")
        return self._session(timeout)

    def resend(self, timeout: float | None, kind: str, quorum: int = 0) -> tuple[list[Any], Phase]:
        """Asks all sites again, and those that were not asked, since an update that was masked for another session is of no use."""
        nodes = [m.metadata.dst_node_id for m in self._messages]
        self._exchange.wait_for(nodes, max(quorum, self._settings.fewest(len(nodes))))
        asked = {self._clusters.successor(node) for node in nodes}
        one = len({id(m.content) for m in self._messages}) == 1
        spare = [node for node in self._exchange.nodes() if node not in asked] if one else []
        self._messages = [copy_for(m, self._clusters.successor(m.metadata.dst_node_id)) for m in self._messages]
        self._messages += [copy_for(self._messages[0], node) for node in spare]
        return self._session(timeout)

    def _session(self, timeout: float | None) -> tuple[list[Any], Phase]:
        self.clear()
        phase = Phase(sent=len(self._messages))
        for cluster, result in self._left_out.items():
            phase.take(cluster, result)
        replies: list[Any] = []
        try:
            replies = self._steps_of(phase, timeout)
        except TooFewError as error:
            log_line(f"secure aggregation: {error}")
        return replies, phase

    def _steps_of(self, phase: Phase, timeout: float | None) -> list[Any]:
        """The replies to the training, each with the mean. `phase` gets what has become of each site. Raises TooFewError."""
        session = uuid.uuid4().hex
        sites = self._keys(session, phase, timeout)
        phase.threshold = sites.roster.threshold
        self._shares(sites, phase, timeout)
        trained = self._trained(sites, phase, timeout)
        return self._unmasked(sites, trained, phase, timeout)

    def _keys(self, session: str, phase: Phase, timeout: float | None) -> Sites:
        nodes = [m.metadata.dst_node_id for m in self._messages if self._clusters.of(m.metadata.dst_node_id) not in self._left_out]
        fewest = self._settings.fewest(len(nodes))
        if len(nodes) < fewest:
            phase.failures += len(nodes)
            raise TooFewError(f"{len(nodes)} sites, and {fewest} are needed")
        found = self._step(SECURE_KEYS, self._to_all(nodes, {"session": session}), fewest, timeout, phase, self._public_keys)
        order = sorted(found, key=self._clusters.of)
        try:
            roster = Roster(session, self._settings.fewest(len(order)), tuple(found[node] for node in order))
        except RefusedError as error:
            self._fail(phase, order, str(error))
            raise TooFewError(str(error)) from error
        return Sites(roster, dict(enumerate(order, 1)))

    @staticmethod
    def _to_all(nodes: Iterable[int], content: Mapping[str, Any]) -> dict[int, Mapping[str, Any]]:
        return dict.fromkeys(nodes, content)

    @staticmethod
    def _public_keys(_: int, given: Mapping[str, Any]) -> PublicKeys:
        found = PublicKeys(*(_bytes(given[name], KEY) for name in ("share-key", "mask-key")))
        found.check()
        return found

    def _shares(self, sites: Sites, phase: Phase, timeout: float | None) -> None:
        keys = sites.roster.keys
        content = {"session": sites.roster.session, "share-keys": [k.shares for k in keys], "mask-keys": [k.masks for k in keys]}
        numbers = {node: number_ for number_, node in sites.nodes.items()}

        def sealed(node: int, given: Mapping[str, Any]) -> tuple[dict[int, bytes], bytes]:
            found = _by_site(given, "sealed", SEALED)
            if found.keys() != sites.nodes.keys() - {numbers[node]}:
                raise ValueError("it has not shared its secrets with every site")
            return found, _bytes(given["commitment"], COMMITMENT)

        asked = self._to_all(numbers, content)
        for node, (found, commitment) in self._step(SECURE_SHARES, asked, sites.roster.threshold, timeout, phase, sealed).items():
            sites.sealed[numbers[node]], sites.commitments[numbers[node]] = found, commitment
        if len(sites.members) < sites.roster.threshold:
            self._fail(phase, (sites.nodes[each] for each in sites.members), "too few others have shared their secrets")
            raise TooFewError(f"{len(sites.members)} sites have shared their secrets, and {sites.roster.threshold} must")

    def _trained(self, sites: Sites, phase: Phase, timeout: float | None) -> dict[int, Any]:
        """The masked replies by the number of their site. Raises TooFewError."""
        record = _record({"session": sites.roster.session, "members": sites.members})
        of = {m.metadata.dst_node_id: m for m in self._messages}
        contents: dict[int, Any] = {}
        messages, numbers = [], {}
        for each in sites.members:
            message = of[sites.nodes[each]]
            if (content := contents.get(id(message.content))) is None:
                content = contents[id(message.content)] = _with(message.content, record)
            messages.append(copy_for(message, node := self._clusters.successor(sites.nodes[each]), content))
            numbers[node] = each
        replies, own = self._exchange(messages, timeout, TRAIN, needed=sites.roster.threshold)
        sent = arrays_of(self._messages[0].content)
        found = {}
        for reply in replies:
            if not reply.has_content():
                continue
            if why := trouble(sent, reply.content):
                self._exchange.refuse(reply, own, (Refused.REPLY_INVALID, why))
            else:
                found[numbers[reply.metadata.src_node_id]] = reply
        phase.add(own)
        needed = max(sites.roster.threshold, min(number("PANAL_MIN_CLIENTS", 1), len(self._messages)))
        if len(found) < needed:  # their sum is of no use, and nobody should see it
            raise TooFewError(f"{len(found)} masked updates have arrived, and {needed} must")
        return found

    def _unmasked(self, sites: Sites, trained: Mapping[int, Any], phase: Phase, timeout: float | None) -> list[Any]:
        """Raises TooFewError."""
        survivors, members = sorted(trained), sites.members
        nodes = {trained[each].metadata.src_node_id: each for each in survivors}
        vouched = self._vouched(sites, nodes, survivors, timeout)
        asked = {}
        for node in vouched:
            receiver = nodes[node]
            others = [each for each in members if each != receiver]
            sealed = [sites.sealed[each][receiver] for each in others]
            vouching = {nodes[each]: found[receiver] for each, found in vouched.items() if each != node}
            asked[node] = {"session": sites.roster.session, "sites": others, "sealed": sealed}
            asked[node] |= {"vouching": list(vouching), "vouched": list(vouching.values())}

        def shares(_: int, given: Mapping[str, Any]) -> dict[int, bytes]:
            return _by_site(given, "shares", SHARE)

        answers = self._step(SECURE_UNMASK, asked, sites.roster.threshold, timeout, None, shares, PATIENCE)
        unmasking = Unmasking(sites.roster, sites.commitments, frozenset(survivors))
        try:
            masks = unmasking.masks({nodes[node]: each for node, each in answers.items()})
            found = mean(arrays_of(self._messages[0].content), [reply.content for reply in trained.values()], masks)
        except (NotUnmaskedError, RefusedError, NoWeightError) as error:
            self._not_unmasked(sites, trained, phase, error)
            raise TooFewError(f"the sum of {len(survivors)} updates stays masked: {error}") from error
        log_line(
            f"secure aggregation of {len(survivors)} updates; {len(members) - len(survivors)} of {len(members)} sites have dropped out"
        )
        return [replaced(reply, found, len(survivors)) for reply in trained.values()]

    def _vouched(
        self, sites: Sites, nodes: Mapping[int, int], survivors: Sequence[int], timeout: float | None
    ) -> dict[int, dict[int, bytes]]:
        """By node, what it vouches to each other survivor, that it was told these."""

        def read(node: int, given: Mapping[str, Any]) -> dict[int, bytes]:
            found = _by_site(given, "vouched", VOUCHED)
            if found.keys() != set(survivors) - {nodes[node]}:
                raise ValueError("it does not vouch to every survivor")
            return found

        asked = self._to_all(nodes, {"session": sites.roster.session, "survivors": list(survivors)})
        found: dict[int, dict[int, bytes]] = self._step(SECURE_SURVIVORS, asked, sites.roster.threshold, timeout, None, read, PATIENCE)
        return found

    def _not_unmasked(self, sites: Sites, trained: Mapping[int, Any], phase: Phase, error: Exception) -> None:
        """Takes back that the replies count."""
        for each in trained:
            phase.take_back(self._clusters.of(sites.nodes[each]), MessageResult(Refused.NOT_UNMASKED, str(error)))
        for each in getattr(error, "of", ()):
            result = MessageResult(Refused.SHARES_INVALID, str(error))
            if cluster := self._clusters.of(sites.nodes[each]):
                phase.failed[cluster] = result.reason
                self._left_out[cluster] = result

    def _step(
        self,
        kind: str,
        asked: Mapping[int, Mapping[str, Any]],
        needed: int,
        timeout: float | None,
        phase: Phase | None,
        read: Callable[[int, Mapping[str, Any]], Any],
        patience: float | None = None,
    ) -> dict[int, Any]:
        """What `read` makes of the answers, by node. `asked`: what each node is sent. `phase` gets the nodes without a valid answer. With
        `patience`, the step ends so many seconds after `needed` of them have answered. A node that has been replaced is asked at its
        successor."""
        first = self._messages[0]
        nodes = {self._clusters.successor(node): node for node in asked}
        records: dict[int, Any] = {}
        messages = []
        for node, before in nodes.items():
            if (content := records.get(id(asked[before]))) is None:
                content = records[id(asked[before])] = _with(None, _record(asked[before]))
            messages.append(type(first)(content, node, kind, ttl=first.metadata.ttl, group_id=first.metadata.group_id))
        replies, own = self._steps(messages, STEP if timeout is None else min(STEP, timeout), QUERY, needed=needed, patience=patience)
        found = {}
        for reply in replies:
            if not reply.has_content():
                continue
            node = nodes[reply.metadata.src_node_id]
            try:
                found[node] = read(node, reply.content.config_records[SECURE])
            except (RefusedError, *INVALID) as error:
                verdict: Verdict = (Refused.REPLY_INVALID, f"its answer to {kind} is not as it must be ({type(error).__name__})")
                self._steps.refuse(reply, own, verdict)
        self._steps.clear()
        if phase is not None:
            own.replies, own.collaborators = 0, {}  # an answer is no update
            phase.add(own)
        return found

    def _fail(self, phase: Phase, nodes: Iterable[int], text: str) -> None:
        for node in nodes:
            phase.take(self._clusters.of(node), MessageResult(Refused.NOT_UNMASKED, text))


def replaced(reply: Any, found: Mean, replies: int) -> Any:
    """A copy of the reply with the mean in place of what it brought; the weights add up to the same as those of the sites."""
    from flwr.app import MetricRecord

    metrics = {name: dict(each) for name, each in found.metrics.items()}
    metrics.setdefault(found.weight_of[0], {})[found.weight_of[1]] = found.weight / replies
    made = copy.copy(reply)
    made.content = type(reply.content)({**found.arrays, **{name: MetricRecord(each) for name, each in metrics.items()}})
    return made


def _by_site(given: Mapping[str, Any], name: str, length: int) -> dict[int, bytes]:
    """Of an answer, by the numbers of sites. Raises ValueError, KeyError, TypeError."""
    return {int(site): _bytes(each, length) for site, each in zip(given["sites"], given[name], strict=True)}


def _bytes(value: Any, length: int) -> bytes:
    if not isinstance(value, bytes) or len(value) != length:
        raise ValueError(f"it is not {length} bytes")
    return value


def _record(values: Mapping[str, Any]) -> Any:
    from flwr.app import ConfigRecord

    return ConfigRecord(dict(values))


def _with(content: Any, record: Any) -> Any:
    """The content with the record of the protocol; alone, if there is no content."""
    from flwr.app import RecordDict

    return RecordDict({**(dict(content.items()) if content is not None else {}), SECURE: record})
