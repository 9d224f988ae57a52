"""Federated averaging of softmax regression with plain numpy over HTTP: the server. docs/how-to/run-any-container.md has the contract."""

import io
import json
import os
import sys
import threading
import time
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np

ROUNDS, NEEDED = int(os.environ["PANAL_ROUNDS"]), int(os.environ["PANAL_MIN_CLIENTS"])
CHECKPOINTS = Path(os.environ["PANAL_CHECKPOINTS"])
PATIENCE = int(os.environ["PANAL_ROUND_TIMEOUT"])
SECRET = Path(os.environ["PANAL_SECRET_FILE"]).read_text().strip()
AWAY = 10  # seconds without a request until a cluster counts as away
LARGEST = 64 << 20  # bytes of a reply


class Federation:
    def __init__(self, model, round_):
        self.changed = threading.Condition()
        self.model, self.round, self.over = model, round_, False
        self.replies, self.refused, self.seen = {}, {}, {}
        self.told = None  # how many were connected, as it was reported
        self.training = set()  # the clusters that have fetched the model of the round

    def connected(self):
        """A cluster that trains is silent, and still connected."""
        recent = {cluster for cluster, at in self.seen.items() if time.monotonic() - at < AWAY}
        return recent | (self.training - {*self.replies, *self.refused})

    def take(self, cluster, round_, reply):
        """Whether the reply counts."""
        with self.changed:
            if round_ != str(self.round) or cluster in self.replies or cluster in self.refused:
                return False
            if self.fits(reply):
                self.replies[cluster] = reply
            else:
                self.refused[cluster] = "ReplyInvalid"
            self.changed.notify()
            return cluster in self.replies

    def fits(self, reply):
        wanted = {"examples": (), "loss": (), **{name: array.shape for name, array in self.model.items()}}
        if {name: array.shape for name, array in reply.items()} != wanted or any(a.dtype.kind not in "fi" for a in reply.values()):
            return False
        return reply["examples"] > 0 and all(np.isfinite(array).all() for array in reply.values())


class Handler(BaseHTTPRequestHandler):
    protocol_version, federation = "HTTP/1.1", None

    def do_GET(self):
        """The model of the round, where this cluster has to train it; 204: not now; 410: the run is over."""
        if (cluster := self.cluster()) is not None:
            of = self.federation
            with of.changed:
                of.seen[cluster] = time.monotonic()
                asked = of.round > 0 and cluster not in of.replies and cluster not in of.refused
                if asked:
                    of.training.add(cluster)
                status, round_, model = 410 if of.over else 200 if asked else 204, of.round, of.model
                of.changed.notify()
            file = io.BytesIO()
            if status == 200:
                np.savez(file, **model)
            self.respond(status, file.getvalue(), round_)

    def do_POST(self):
        if (cluster := self.cluster()) is None:
            return
        length = int(self.headers.get("content-length") or 0)
        if not 0 < length <= LARGEST:
            self.respond(413)
            return
        counts = self.federation.take(cluster, self.headers.get("x-round"), arrays(self.rfile.read(length)))
        self.respond(200 if counts else 409)

    def cluster(self):
        """Whose certificate the gateway has seen. A request without the Pod's secret did not come through the gateway."""
        if self.headers.get("x-panal-pod") == SECRET and self.headers.get("x-panal-cluster"):
            return self.headers["x-panal-cluster"]
        return self.respond(401)

    def respond(self, status, body=b"", round_=0):
        self.close_connection = status in (401, 413)  # the body was not read
        self.send_response(status)
        for name, value in (("x-round", round_), ("content-length", len(body)) if status != 204 else ("x-empty", 1)):
            self.send_header(name, str(value))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def arrays(body):
    """By name; empty if there is no npz file in it, or one that unfolds to more than a reply may have."""
    try:
        with zipfile.ZipFile(io.BytesIO(body)) as file:
            if sum(each.file_size for each in file.infolist()) > LARGEST:
                return {}
        with np.load(io.BytesIO(body), allow_pickle=False) as found:
            return dict(found)
    except Exception:  # noqa: BLE001  whatever a site sends costs that site its reply, and not the run
        return {}


def report(event, **fields):
    with open(os.environ["PANAL_PROGRESS"], "a") as file:
        file.write(json.dumps({"event": event, "time": time.time(), **fields}) + "\n")


def until(federation, enough, seconds):
    """Waits, and reports how many are connected whenever that changes."""
    end = time.monotonic() + seconds
    while not enough() and time.monotonic() < end:
        count_connected(federation)
        federation.changed.wait(1)
    count_connected(federation)


def count_connected(federation):
    if (count := len(federation.connected())) != federation.told:
        federation.told = count
        report("connected", count=count)


def save(model, round_):
    """A checkpoint: if this server is lost, another one goes on from it."""
    part = CHECKPOINTS / "part"
    part.mkdir(exist_ok=True)
    np.savez(part / "model.npz", **model)
    part.rename(CHECKPOINTS / str(round_))


def last_model():
    """The model of the last checkpoint and its round."""
    if not (folder := os.environ["PANAL_RESUME"]):
        return {"w": np.zeros((20, 10)), "b": np.zeros(10)}, 0
    round_ = int(os.environ["PANAL_RESUME_ROUND"])
    report("resumed", round=round_)
    with np.load(Path(folder) / "model.npz") as file:
        return dict(file), round_


def main():
    federation = Handler.federation = Federation(*last_model())
    host, port = os.environ["PANAL_ADDRESS"].rsplit(":", 1)
    threading.Thread(target=ThreadingHTTPServer((host, int(port)), Handler).serve_forever, daemon=True).start()
    with federation.changed:
        until(federation, lambda: len(federation.connected()) >= NEEDED, float("inf"))  # panal ends it after the quorum timeout
        report("started", rounds=ROUNDS, checkpoints=True)
        while federation.round < ROUNDS:
            train(federation)
            save(federation.model, federation.round)
        np.savez(os.environ["PANAL_MODEL"], **federation.model)
        federation.over = True
        federation.changed.wait_for(lambda: False, 2)  # the clients hear of it


def train(of):
    began = time.monotonic()
    of.round, of.replies, of.refused, of.training = of.round + 1, {}, {}, set()

    def enough():
        return len(of.replies) >= NEEDED and {*of.replies, *of.refused}.issuperset(of.connected())

    until(of, enough, PATIENCE)
    sites = {cluster: {"metrics": {"loss": float(reply["loss"])}} for cluster, reply in of.replies.items()}
    told = {"round": of.round, "replies": len(of.replies), "failures": len(of.refused), "collaborators": sites, "failed": of.refused}
    if len(of.replies) < NEEDED:
        report("round", phase="train", **told)
        report("stopped", reason="QuorumLost", message=f"round {of.round} has {len(of.replies)} replies, {NEEDED} are needed")
        sys.exit(1)
    replies = [of.replies[cluster] for cluster in sorted(of.replies)]  # in whatever order they arrived, the sum is the same
    weights = [float(reply["examples"]) for reply in replies]
    mean = {name: np.average([reply[name] for reply in replies], axis=0, weights=weights) for name in (*of.model, "loss")}
    report("round", phase="train", seconds=time.monotonic() - began, metrics={"loss": float(mean.pop("loss"))}, **told)
    report("round", round=of.round, phase="end", seconds=time.monotonic() - began)
    of.model = mean


if __name__ == "__main__":
    main()
