"""Secure aggregation over Flower's records in one process: sites with `masking.Masking`, and the aggregator's `SecureExchange` with
a grid that passes messages between them. Run with the Python of Flower's environment; prints what each case gives as JSON."""

import json
import os
import stat
import sys
import tempfile
from pathlib import Path

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, Error, Message, MetricRecord, RecordDict
from flwr.supercore.task_identity import TaskIdentity
from panal_tools.flower.exchange import Exchange
from panal_tools.flower.journal import Journal
from panal_tools.flower.judge import Judge, Rules
from panal_tools.flower.masked_form import SECURE
from panal_tools.flower.masking import Masking, is_step, taken
from panal_tools.flower.private import NotProtectedError, kept
from panal_tools.flower.replies import Clusters
from panal_tools.flower.secure import SecureAggregation
from panal_tools.flower.secure_exchange import SecureExchange

WHERE = Path(sys.argv[1])
TaskIdentity.run_id = TaskIdentity.node_id = TaskIdentity.task_id = 1
NODES = [11, 22, 33, 44]


class Named(Clusters):
    """Of node 11 is cluster c11."""

    def of(self, node):
        return f"c{node}" if node else ""

    def successor(self, node):
        return node


class Site:
    """`train` makes the content of a reply from the number of the site and the message's; `change` what leaves of it."""

    def __init__(self, number, train, change=lambda kind, reply: reply, least=3):
        self.number, self.train, self.change = number, train, change
        self.folder = Path(tempfile.mkdtemp(dir=WHERE))
        self.masking = Masking.of({"PANAL_PRIVACY": json.dumps({"secureAggregation": {"threshold": least}})}, self.folder)

    @property
    def file(self):
        return self.folder / "secure-aggregation.json"

    def answer(self, message):
        kind = str(message.metadata.message_type)
        if is_step(kind):
            return self.change(kind, self.masking.answer(message))
        given, sent = taken(message), kept(message)
        content = self.train(self.number, message.content)
        try:
            left = self.masking.masked(kind, given, sent, content)
        except NotProtectedError as error:
            return Message(Error(0, f"exception={error.code}"), reply_to=message)
        return self.change(kind, Message(left, reply_to=message))


class Grid:
    """Passes messages to sites. What passes is kept by type."""

    def __init__(self, sites):
        self.sites = dict(zip(NODES, sites))
        self.replies, self.passed = {}, []

    def push_messages(self, messages):
        names = []
        for message in messages:
            name = f"m{len(self.passed)}"
            node = message.metadata.dst_node_id
            copy = Message(RecordDict(dict(message.content.items())), node, message.metadata.message_type)
            copy.metadata.__dict__["_message_id"] = name
            reply = self.sites[node].answer(copy)
            reply.metadata.__dict__["_reply_to_message_id"] = name
            reply.metadata.__dict__["_src_node_id"] = node
            self.passed.append((message.metadata.message_type, node, reply))
            self.replies[name] = reply
            names.append(name)
        return names

    def pull_messages(self, names):
        return [self.replies.pop(name) for name in names if name in self.replies]

    def get_node_ids(self):
        return NODES[: len(self.sites)]


def exchanged(sites, arrays, least=3, timeout=1.0, again=False):
    """The replies, the phase and the grid of a training of these sites with a message that brings `arrays`."""
    grid, clusters = Grid(sites), Named()
    judge = Judge(Rules(alike=True))
    exchange = SecureExchange(Exchange(grid, judge, clusters), grid, SecureAggregation(True, least), clusters, Journal())
    content = RecordDict({"arrays": record(arrays), "config": ConfigRecord({"server-round": 1})})
    messages = [Message(content, node, "train") for node in grid.get_node_ids()]
    replies, phase = exchange(messages, timeout, "train")
    if again:
        replies, phase = exchange.resend(timeout, "train", 3)
    return replies, phase, grid


def record(arrays):
    return ArrayRecord({name: a if isinstance(a, Array) else Array(np.asarray(a)) for name, a in arrays.items()})


def reply(arrays, metrics=None, more=None):
    return RecordDict({"arrays": record(arrays), "metrics": MetricRecord(metrics or {"num-examples": 3}), **(more or {})})


def shown(replies, phase, grid):
    told = {"replies": phase.replies, "failures": phase.failures, "failed": phase.failed, "messages": phase.messages}
    told |= {"threshold": phase.threshold, "seconds": sorted(phase.collaborators)}
    if replies:
        content = replies[0].content
        told["metrics"] = {name: dict(each) for name, each in content.metric_records.items()}
        told["order"] = list(content["arrays"])
        told["arrays"] = {n: [a.dtype, list(a.shape), a.numpy().astype(float).ravel().tolist()[:5]] for n, a in content["arrays"].items()}
        told["same"] = len({id(each.content["arrays"]) for each in replies})
    return told


# The mean of many forms:

RNG = np.random.default_rng(7)
WIDE = 3 * (1 << 20) + 5  # more numbers than are in memory at a time


def many_forms():
    first = {
        "zeros": np.zeros(3, np.float32),
        "big": RNG.normal(size=WIDE).astype(np.float32),
        "columns": np.asfortranarray(RNG.normal(size=(3, 4))),
        "half": RNG.normal(size=(2, 3, 2)).astype(np.float16),
        "scalar": np.array(2.5),
        "none": np.zeros((0, 4), np.float32),
        "count": np.array([7, 8], np.int64),
        "flag": np.array([True]),
        "was integer": np.array([1, 2, 3], np.int64),
        "averaged count": np.array([7.25]),
    }
    changes = {n: {k: RNG.normal(size=np.shape(v)) for k, v in first.items()} for n in (1, 2, 3, 4)}
    weights = {1: 10, 2: 2500, 3: 1, 4: 99}
    made = {}

    def train(number, content):
        arrays = {}
        for name, value in first.items():
            if name in ("count", "averaged count"):
                arrays[name] = np.asarray(np.asarray(value) + number, np.int64)
            elif name == "flag":
                arrays[name] = np.array([False])
            elif name == "was integer":
                arrays[name] = value + changes[number][name]
            else:
                arrays[name] = np.asarray(value + changes[number][name], value.dtype, order="F" if name == "columns" else "C")
        made[number] = arrays
        return reply(arrays, {"num-examples": weights[number], "loss": number / 2, "list": [1, 2]})

    replies, phase, grid = exchanged([Site(n, train) for n in (1, 2, 3, 4)], first)
    found = {name: array.numpy() for name, array in replies[0].content["arrays"].items()}
    errors = {}
    for name in ("zeros", "big", "columns", "half", "scalar", "none", "was integer"):
        plain = np.average([made[n][name].astype(np.float64) for n in (1, 2, 3, 4)], axis=0, weights=[weights[n] for n in (1, 2, 3, 4)])
        eps = float(np.finfo(found[name].dtype).eps) * np.abs(plain).max(initial=1.0)
        errors[name] = float(np.abs(found[name] - plain).max(initial=0.0) / (2.0**-29 / np.mean(list(weights.values())) + eps))
    trained = [each for kind, _, each in grid.passed if kind == "train"]
    kinds = {name: sorted({each.content["arrays"][name].dtype for each in trained}) for name in found}
    return shown(replies, phase, grid) | {"errors": errors, "kinds": kinds, "left": sorted(trained[0].content)}


# Single sites that do something else:

ZERO = np.zeros(3, np.float32)


def plus(number, content):
    return reply({"w": ZERO + number}, {"num-examples": 10})


def one_differs(train=plus, change=lambda kind, reply: reply, arrays=None, least=3, **more):
    """Sites 1 to 3 add their number to zeros; site 4 is special."""
    sites = [Site(n, plus) for n in (1, 2, 3)] + [Site(4, train, change, least)]
    return shown(*exchanged(sites, arrays or {"w": ZERO}, **more))


def bfloat16(*values):
    array = Array((np.array(values, np.float32).view(np.uint32) >> 16).astype(np.uint16).view("V2"))
    array.dtype = "bfloat16"
    return array


def tampering(step, **values):
    """Changes what site 4 says in a step."""

    def change(kind, made):
        if kind.endswith(step) and made.has_content():
            old = dict(made.content[SECURE])
            made.content[SECURE] = ConfigRecord({k: v(old) if callable(v) else v for k, v in {**old, **values}.items() if v is not None})
        return made

    return change


def unmasked(kind, made):
    """A site that sends its update as it is."""
    if kind == "train":
        made.content["arrays"] = record({"w": ZERO + 4})
    return made


def without(name):
    def change(kind, made):
        if kind == "train":
            del made.content[name]
        return made

    return change


def garbled(old):
    return [bytes(len(each)) for each in old["sealed"]]


def flipped(old):
    """The shares that it answers with, changed."""
    return [bytes([each[0]]) + bytes(reversed(each[1:])) for each in old["shares"]]


DIFFERENT = {
    "as the others": lambda: one_differs(),
    "more arrays": lambda: one_differs(lambda n, c: reply({"w": ZERO, "v": ZERO})),
    "another shape": lambda: one_differs(lambda n, c: reply({"w": np.zeros(4, np.float32)})),
    "integers": lambda: one_differs(lambda n, c: reply({"w": np.zeros(3, np.int32)})),
    "complex": lambda: one_differs(lambda n, c: reply({"w": ZERO.astype(complex)})),
    "bfloat16": lambda: one_differs(lambda n, c: reply({"w": bfloat16(1, 2, 3)})),
    "float64": lambda: one_differs(lambda n, c: reply({"w": np.zeros(3) + 4}, {"num-examples": 10})),
    "another format": lambda: one_differs(lambda n, c: reply({"w": Array("float32", (3,), "my.format", b"123")})),
    "damaged": lambda: one_differs(lambda n, c: reply({"w": Array("float32", (3,), "numpy.ndarray", b"123")})),
    "not a number": lambda: one_differs(lambda n, c: reply({"w": ZERO * np.nan})),
    "infinite": lambda: one_differs(lambda n, c: reply({"w": ZERO + np.inf})),
    "too large": lambda: one_differs(lambda n, c: reply({"w": ZERO + 1e10})),
    "too heavy": lambda: one_differs(lambda n, c: reply({"w": ZERO}, {"num-examples": 2**40})),
    "no weight": lambda: one_differs(lambda n, c: reply({"w": ZERO}, {"loss": 1.0})),
    "two weights": lambda: one_differs(lambda n, c: reply({"w": ZERO}, {"num-examples": 1, "num_examples": 1})),
    "a list as weight": lambda: one_differs(lambda n, c: reply({"w": ZERO}, {"num-examples": [1, 2]})),
    "negative weight": lambda: one_differs(lambda n, c: reply({"w": ZERO}, {"num-examples": -1})),
    "infinite weight": lambda: one_differs(lambda n, c: reply({"w": ZERO}, {"num-examples": float("inf")})),
    "weight 0": lambda: one_differs(lambda n, c: reply({"w": ZERO}, {"num-examples": 0})),
    "another metric": lambda: one_differs(lambda n, c: reply({"w": ZERO}, {"num-examples": 1, "loss": 1.0})),
    "a record of panal": lambda: one_differs(lambda n, c: reply({"w": ZERO}, more={"panal-weight:x": record({"y": ZERO})})),
    "unmasked": lambda: one_differs(change=unmasked),
    "without the weight": lambda: one_differs(change=without("panal-weight:metrics")),
    "short keys": lambda: one_differs(change=tampering("keys", **{"share-key": b"123"})),
    "numbers for keys": lambda: one_differs(change=tampering("keys", **{"share-key": 1 << 40})),
    "texts for shares": lambda: one_differs(change=tampering("shares", sealed=["a", "b", "c"])),
    "a number as commitment": lambda: one_differs(change=tampering("shares", commitment=1 << 40)),
    "numbers in the end": lambda: one_differs(change=tampering("unmask", shares=[1, 2, 3, 4])),
    "no keys": lambda: one_differs(change=tampering("keys", **{"share-key": None})),
    "one key for two": lambda: one_differs(change=tampering("keys", **{"share-key": lambda old: old["mask-key"]})),
    "a key of low order": lambda: one_differs(change=tampering("keys", **{"share-key": bytes(32)})),
    "shares for two": lambda: one_differs(change=tampering("shares", sites=[1, 2], sealed=lambda old: old["sealed"][:2])),
    "shares for itself": lambda: one_differs(change=tampering("shares", sites=[1, 2, 4])),
    "garbled shares": lambda: one_differs(change=tampering("shares", sealed=garbled)),
    "garbled shares, and again": lambda: one_differs(change=tampering("shares", sealed=garbled), again=True),
    "no commitment": lambda: one_differs(change=tampering("shares", commitment=None)),
    "another commitment": lambda: one_differs(change=tampering("shares", commitment=bytes(32))),
    "no answer in the end": lambda: one_differs(change=tampering("unmask", shares=None)),
    "wrong shares in the end": lambda: one_differs(change=tampering("unmask", shares=flipped)),
    "wrong shares of the first site": lambda: shown(
        *exchanged([Site(1, plus, tampering("unmask", shares=flipped)), *(Site(n, plus) for n in (2, 3, 4))], {"w": ZERO})
    ),
    "another threshold": lambda: one_differs(least=4),
    "a threshold of all": lambda: shown(*exchanged([Site(n, plus, least=4) for n in (1, 2, 3, 4)], {"w": ZERO}, least=4)),
    "weights of 0": lambda: shown(
        *exchanged([Site(n, lambda n, c: reply({"w": ZERO}, {"num-examples": 0})) for n in (1, 2, 3, 4)], {"w": ZERO})
    ),
    "two of four stay": lambda: shown(
        *exchanged([*(Site(n, plus) for n in (1, 2)), *(Site(n, lambda n, c: reply({"w": ZERO * np.nan})) for n in (3, 4))], {"w": ZERO})
    ),
    "two sites": lambda: shown(*exchanged([Site(n, plus) for n in (1, 2)], {"w": ZERO})),
}


def below_the_quorum():
    """Three updates are enough for the threshold, and not for the run: they stay masked."""
    os.environ["PANAL_MIN_CLIENTS"] = "4"
    replies, phase, grid = exchanged([*(Site(n, plus) for n in (1, 2, 3)), Site(4, lambda n, c: reply({"w": ZERO * np.nan}))], {"w": ZERO})
    del os.environ["PANAL_MIN_CLIENTS"]
    return shown(replies, phase, grid) | {"passed": sorted({kind for kind, _, _ in grid.passed})}


# A site by itself:


def to(site, kind, **values):
    return site.masking.answer(Message(RecordDict({SECURE: ConfigRecord(values)}), 1, f"query.panal_{kind}"))


def state():
    """The file of a site after each step, and what it says when a step is repeated."""
    sites, found = [Site(n, plus) for n in (1, 2, 3)], {"steps": [], "modes": []}

    def note():
        found["steps"].append(json.loads(sites[0].file.read_text())["step"] if sites[0].file.exists() else "")
        if sites[0].file.exists():
            found["modes"].append(oct(stat.S_IMODE(sites[0].file.stat().st_mode)))

    keys = [to(site, "keys", session="s").content[SECURE] for site in sites]
    note()
    lists = {"share-keys": [k["share-key"] for k in keys], "mask-keys": [k["mask-key"] for k in keys]}
    sealed = [to(site, "shares", session="s", **lists).content[SECURE] for site in sites]
    note()
    again = {"shares twice": to(sites[0], "shares", session="s", **lists)}
    message = Message(RecordDict({"arrays": record({"w": ZERO}), SECURE: ConfigRecord({"session": "s", "members": [1, 2, 3]})}), 1, "train")
    site = sites[0]
    trained = [site.answer(Message(RecordDict(dict(message.content.items())), 1, "train")) for _ in range(2)]
    note()
    for each in sites[1:]:
        each.answer(Message(RecordDict(dict(message.content.items())), 1, "train"))
    said = [to(each, "survivors", session="s", survivors=[1, 2, 3]).content[SECURE]["vouched"] for each in sites]
    note()
    again["survivors twice"] = to(site, "survivors", session="s", survivors=[1, 2, 3])
    of = {
        "sites": [2, 3],
        "sealed": [sealed[1]["sealed"][0], sealed[2]["sealed"][0]],
        "vouching": [2, 3],
        "vouched": [said[1][0], said[2][0]],
    }
    again["another session"] = to(site, "unmask", session="t", **of)
    again["malformed"] = to(site, "unmask", session="s", **of | {"sealed": []})
    note()
    again["unmasked twice"] = to(site, "unmask", session="s", **of)
    found["masked twice"] = [each.has_content() for each in trained]
    found["refused"] = {name: each.error.reason for name, each in again.items() if each.has_error()}
    found["again"] = list(again)
    to(site, "keys", session="u")
    first = json.loads(site.file.read_text())
    to(site, "keys", session="u")
    second = json.loads(site.file.read_text())
    found["new keys"] = all(first[name] != second[name] for name in ("shareKey", "maskKey", "seed"))
    found["without content"] = site.masking.answer(Message(RecordDict(), 1, "query.panal_keys")).error.reason
    return found


def leaves(kind, content):
    site = Site(1, plus)
    try:
        found = site.masking.masked(kind, None, {}, content)
    except NotProtectedError as error:
        return str(error.code)
    return sorted(found)


METRICS = {"metrics": MetricRecord({"num-examples": 3, "auc": 0.5}), "config": ConfigRecord({"name": "patient 4711"})}
found = {name: case() for name, case in DIFFERENT.items()}
found["many forms"] = many_forms()
found["state"] = state()
found["below the quorum"] = below_the_quorum()
found["leaves"] = {
    "evaluate": leaves("evaluate", RecordDict(METRICS)),
    "evaluate with arrays": leaves("evaluate", RecordDict({**METRICS, "a": record({"w": ZERO})})),
    "query": leaves("query.counts", RecordDict(METRICS)),
    "train": leaves("train", reply({"w": ZERO})),
}
print(json.dumps(found))
