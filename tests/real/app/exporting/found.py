"""Every site adds one to the model. The export writes it as npz, with what it could reach besides the model."""

import json
import os
import socket
from pathlib import Path

import numpy as np
from flwr.app import Array, ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg

server, client = ServerApp(), ClientApp()


@server.main()
def main(grid: Grid, context: Context) -> None:
    first = ArrayRecord({"w": Array(np.zeros((2, 3), np.float32))})
    FedAvg(fraction_evaluate=0.0).start(grid=grid, initial_arrays=first, num_rounds=int(context.run_config["num-server-rounds"]))


@client.train()
def train(message: Message, _context: Context) -> Message:
    arrays = message.content["arrays"]
    grown = ArrayRecord({key: Array(arrays[key].numpy() + 1) for key in arrays})
    return Message(content=RecordDict({"arrays": grown, "metrics": MetricRecord({"num-examples": 1})}), reply_to=message)


def export(arrays, metadata, folder):
    np.savez(folder / "model.npz", **arrays)
    hub = (os.environ.get("KUBERNETES_SERVICE_HOST", "127.0.0.1"), 443)
    tries = {
        "tcp": lambda: socket.create_connection(hub, timeout=5),
        "udp": lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).connect(hub),
        "name": lambda: socket.getaddrinfo("kubernetes.default", 443),
        "token": lambda: Path("/var/run/secrets/kubernetes.io/serviceaccount/token").read_text(),
        "storage": lambda: os.listdir("/panal/storage"),
        "model": lambda: Path(os.environ["PANAL_MODEL"]).write_bytes(b"mine"),
    }
    (folder / "reached.json").write_text(json.dumps([name for name, attempt in tries.items() if succeeds(attempt)]))


def succeeds(attempt):
    try:
        attempt()
    except OSError:
        return False
    return True
